"""Where files lie: content-addressed, whole or not at all."""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from hub.fetch import TooLarge
from hub.sniff import HEAD_BYTES

__all__ = ["Blobs", "FolderBlobs", "Kept"]

STALE_S = 24 * 3600.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Kept(NamedTuple):
    """A file that is stored: *head* is how it starts."""

    sha256: str
    size_bytes: int
    head: bytes


class Blobs(Protocol):
    """A store of files by their sha256 (lower-case hex)."""

    async def keep(self, content: bytes) -> Kept:
        """Store *content*; returns when it would survive a crash."""
        ...

    async def keep_stream(self, pieces: AsyncIterable[bytes], max_bytes: int) -> Kept:
        """Store what *pieces* yields.

        Raises:
            TooLarge: it has more than *max_bytes*; nothing is kept.
        """
        ...

    async def read(self, sha256: str) -> bytes | None:
        """The whole file, or None when there is no such file."""
        ...

    def path(self, sha256: str) -> Path | None:
        """Where the file can be served from; None when it is not on this machine."""
        ...

    async def remove(self, sha256: str) -> None:
        """Forget the file."""
        ...

    async def sweep(self) -> int:
        """Remove what crashed writers left; how many files."""
        ...


class _Draft:
    """A file being written; under its final name only when it is whole and on disk."""

    def __init__(self, folder: Path) -> None:
        drafts = folder / "drafts"
        drafts.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.path = drafts / f"{os.getpid()}-{secrets.token_hex(8)}"
        self._file: BinaryIO = self.path.open("xb")
        self._hash = hashlib.sha256()
        self._head = b""
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + piece)[:HEAD_BYTES]

    def finish(self) -> Kept:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        sha256 = self._hash.hexdigest()
        final = _place(self._folder, sha256)
        new_folder = not final.parent.exists()
        final.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(final)
        _sync_folder(final.parent)
        if new_folder:
            _sync_folder(self._folder)
        return Kept(sha256, self.size, self._head)

    def drop(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


def _place(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256[2:]


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderBlobs:
    """Files in a folder: ``ab/cdef…``. Several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, content: bytes) -> Kept:
        """As :class:`Blobs` says."""

        def work() -> Kept:
            draft = _Draft(self._folder)
            try:
                draft.write(content)
                return draft.finish()
            except BaseException:
                draft.drop()
                raise

        return await asyncio.to_thread(work)

    async def keep_stream(self, pieces: AsyncIterable[bytes], max_bytes: int) -> Kept:
        """As :class:`Blobs` says."""
        draft = await asyncio.to_thread(_Draft, self._folder)
        try:
            async for piece in pieces:
                if draft.size + len(piece) > max_bytes:
                    raise TooLarge(f"more than {max_bytes} bytes")
                await asyncio.to_thread(draft.write, piece)
            return await asyncio.to_thread(draft.finish)
        except BaseException:
            draft.drop()
            raise

    async def read(self, sha256: str) -> bytes | None:
        """As :class:`Blobs` says."""
        path = self.path(sha256)
        return await asyncio.to_thread(path.read_bytes) if path else None

    def path(self, sha256: str) -> Path | None:
        """As :class:`Blobs` says."""
        if not _SHA256.fullmatch(sha256):
            return None
        path = _place(self._folder, sha256)
        return path if path.is_file() else None

    async def remove(self, sha256: str) -> None:
        """As :class:`Blobs` says."""
        if (path := self.path(sha256)) is not None:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def sweep(self) -> int:
        """Remove what crashed writers left a day ago; how many files."""

        def work() -> int:
            count = 0
            with contextlib.suppress(FileNotFoundError):
                for path in (self._folder / "drafts").iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        if time.time() - path.stat().st_mtime > STALE_S:
                            path.unlink()
                            count += 1
            return count

        return await asyncio.to_thread(work)
