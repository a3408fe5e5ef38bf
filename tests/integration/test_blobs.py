"""The store of files: a folder, and a bucket on a server that speaks the API of S3 and checks signatures."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hub.blobs import AttachmentSettings, Blobs, StoreAway, open_blobs
from hub.fetch import TooLarge
from hub.model import Secret
from sandbox.http import free_port

KEY, SECRET = "hubtests", "hub-tests-secret-key"
BIG = 12 << 20  # more than one part of an upload in parts


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    (folder / "hub-files").mkdir()  # a bucket is a folder there
    environment = os.environ | {"NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
    command = [
        sys.executable,
        "-c",
        "from nanio.cli import main; main()",
        "serve",
        "--no-access-log",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder)]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


def place(endpoint: str, secret: str = SECRET, prefix: str = "shop") -> AttachmentSettings:
    return AttachmentSettings(
        bucket="hub-files",
        prefix=prefix,
        endpoint=endpoint,
        access_key_id=Secret(KEY),
        secret_access_key=Secret(secret),
    )


@pytest.fixture(params=["folder", "bucket"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "folder":
        return open_blobs(AttachmentSettings(), tmp_path)
    where = request.getfixturevalue("endpoint")
    made = open_blobs(place(where), tmp_path)
    for _ in range(100):
        try:
            await made.read("0" * 64)
            break
        except StoreAway:
            await asyncio.sleep(0.1)
    return made


async def pieces(content: bytes, each: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), each):
        yield content[start : start + each]


async def test_what_is_kept_is_read_again(blobs: Blobs) -> None:
    """Whole and in pieces, under the name of its content."""
    kept = await blobs.keep(b"GIF89a and more")
    assert kept.sha256 == hashlib.sha256(b"GIF89a and more").hexdigest()
    assert await blobs.read(kept.sha256) == b"GIF89a and more"
    opened = await blobs.open(kept.sha256)
    assert opened is not None
    assert (opened.size_bytes, opened.head) == (15, b"GIF89a and more")
    assert b"".join([piece async for piece in opened.pieces]) == b"GIF89a and more"


async def test_a_large_file_goes_through_in_pieces(blobs: Blobs) -> None:
    """Neither way is it held in memory at once."""
    content = os.urandom(1 << 20) * (BIG >> 20)
    kept = await blobs.keep_stream(pieces(content), BIG)
    assert kept.size_bytes == BIG
    opened = await blobs.open(kept.sha256)
    assert opened is not None
    assert opened.size_bytes == BIG
    found, digest = [], hashlib.sha256()
    async for piece in opened.pieces:
        found.append(len(piece))
        digest.update(piece)
    assert digest.hexdigest() == kept.sha256 == hashlib.sha256(content).hexdigest()
    assert max(found) < BIG


async def test_an_empty_file_is_a_file(blobs: Blobs) -> None:
    """Platforms send them."""
    kept = await blobs.keep_stream(pieces(b""), 10)
    assert await blobs.read(kept.sha256) == b""
    opened = await blobs.open(kept.sha256)
    assert opened is not None
    assert opened.head == b""


async def test_too_much_keeps_nothing(blobs: Blobs) -> None:
    """The limit holds while it comes, whatever was claimed."""
    content = b"x" * 300_000
    with pytest.raises(TooLarge):
        await blobs.keep_stream(pieces(content), 200_000)
    assert await blobs.read(hashlib.sha256(content[:200_000]).hexdigest()) is None


@pytest.mark.parametrize("name", ["0" * 64, "../../etc/passwd", "", "A" * 64])
async def test_what_is_not_there_is_none(blobs: Blobs, name: str) -> None:
    """Nothing but a hash becomes part of a path."""
    assert await blobs.read(name) is None
    assert await blobs.open(name) is None
    await blobs.remove(name)


async def test_what_is_removed_is_gone(blobs: Blobs) -> None:
    """And may be removed twice."""
    kept = await blobs.keep(b"for a while")
    await blobs.remove(kept.sha256)
    await blobs.remove(kept.sha256)
    assert await blobs.read(kept.sha256) is None


async def test_what_was_stored_once_more_stays(blobs: Blobs) -> None:
    """A message with the same file may be on its way to the database."""
    kept = await blobs.keep(b"for a while")
    assert not await blobs.remove(kept.sha256, unless_kept_s=60.0)
    assert await blobs.read(kept.sha256) == b"for a while"
    await asyncio.sleep(1.1)  # S3 tells whole seconds
    assert await blobs.remove(kept.sha256, unless_kept_s=1.0)
    assert await blobs.read(kept.sha256) is None
    assert await blobs.remove(kept.sha256, unless_kept_s=60.0)


async def test_a_bucket_that_refuses_us_is_away(endpoint: str, tmp_path: Path) -> None:
    """A wrong secret is told by the service; the file is not taken for missing."""
    await asyncio.sleep(0)
    with pytest.raises(StoreAway, match="bucket"):
        await open_blobs(place(endpoint, secret="wrong-secret"), tmp_path).read("0" * 64)


async def test_a_bucket_that_is_away_is_told(tmp_path: Path) -> None:
    """Callers try again, as with the database."""
    away = open_blobs(place(f"http://127.0.0.1:{free_port()}"), tmp_path)
    with pytest.raises(OSError, match="bucket"):
        await away.keep(b"x")
