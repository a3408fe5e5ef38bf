"""The virus scanner: ClamAV's INSTREAM protocol, and what becomes of what it finds."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.blobs import AttachmentSettings
from hub.clamd import Clamd
from hub.core import now
from hub.media import Infected, Media
from hub.model import Attachment
from hub.store import Database

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file that every scanner finds (eicar.org)."""


class Daemon:
    """Answers INSTREAM as clamd(8) documents it."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.limit = limit
        self.seen: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        content = b""
        while size := struct.unpack(">I", await reader.readexactly(4))[0]:
            content += await reader.readexactly(size)
            if len(content) > self.limit:
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                writer.close()
                return
        self.seen.append(content)
        writer.write(b"stream: Eicar-Signature FOUND\0" if EICAR in content else b"stream: OK\0")
        writer.close()


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[str]:
    server = await asyncio.start_server(daemon.serve, "127.0.0.1", 0)
    async with server:
        yield f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_it_is_asked_piece_by_piece() -> None:
    """The parts of a file make one stream, and empty ones do not end it."""
    daemon = Daemon()
    async with running(daemon) as address:
        assert await Clamd(address).infection(pieces(b"a", b"", b"bc")) is None
        assert await Clamd(address).infection(pieces(EICAR[:20], EICAR[20:])) == "Eicar-Signature"
    assert daemon.seen[0] == b"abc"


async def test_it_speaks_through_a_socket_file(tmp_path: Path) -> None:
    """As on most machines."""
    path = tmp_path / "clamd.ctl"
    async with await asyncio.start_unix_server(Daemon().serve, path):
        assert await Clamd(f"unix:{path}").infection(pieces(EICAR)) == "Eicar-Signature"


async def test_what_it_will_not_look_at_is_not_clean() -> None:
    """Its own limit, a hang-up, and nobody there are all errors."""
    async with running(Daemon(limit=10)) as address:
        with pytest.raises(OSError, match="size limit"):
            await Clamd(address).infection(pieces(*[b"x" * 65536] * 100))
    with pytest.raises(OSError):
        await Clamd(address).infection(pieces(b"x"))


async def test_what_it_finds_is_not_kept(database_url: str, tmp_path: Path) -> None:
    """An upload is refused, and a mail's file comes as refused; clean ones pass."""
    async with running(Daemon()) as address:
        db = await Database.open(database_url)
        media = Media(db, tmp_path, 1 << 20, settings=AttachmentSettings(clamd=address))
        file = {"filename": "a.txt", "mime_type": "text/plain", "token_id": None, "at": now()}
        with pytest.raises(Infected, match="Eicar-Signature"):
            await media.upload(pieces(EICAR), **file)  # type: ignore[arg-type]
        clean = await media.upload(pieces(b"hello"), **file)  # type: ignore[arg-type]
        mailed = await media.keep(Attachment(kind="file", content=EICAR))
        assert (clean.state, mailed.state, mailed.sha256) == ("stored", "refused", None)
        assert clean.sha256
        assert await media.blobs.read(clean.sha256) == b"hello"
        assert not [path for path in (tmp_path / "media").rglob("*") if EICAR in _content(path)]
        await media.close()
        await db.close()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
