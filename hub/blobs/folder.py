"""Files in a folder, whole or not at all."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import BinaryIO

from hub.blobs.contract import PIECE_BYTES, Kept, Opened, is_name, limited
from hub.sniff import HEAD_BYTES

__all__ = ["FolderBlobs"]

STALE_S = 24 * 3600.0


class _Draft:
    """A file being written; under its final name only when it is whole and on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = _draft_path(folder)
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


def _draft_path(folder: Path) -> Path:
    drafts = folder / "drafts"
    drafts.mkdir(parents=True, exist_ok=True)
    return drafts / f"{os.getpid()}-{secrets.token_hex(8)}"


def _place(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256[2:]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
    finally:
        file.close()


def _is_younger(path: Path, seconds: float) -> bool:
    return time.time() - path.stat().st_mtime < seconds


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
            async for piece in limited(pieces, max_bytes):
                await asyncio.to_thread(draft.write, piece)
            return await asyncio.to_thread(draft.finish)
        except BaseException:
            draft.drop()
            raise

    async def read(self, sha256: str) -> bytes | None:
        """As :class:`Blobs` says."""
        path = self._path(sha256)
        return await asyncio.to_thread(path.read_bytes) if path else None

    async def open(self, sha256: str) -> Opened | None:
        """As :class:`Blobs` says."""
        path = self._path(sha256)
        if path is None:
            return None
        head = await asyncio.to_thread(_head, path)
        return Opened(path.stat().st_size, head, _pieces(path), path)

    def _path(self, sha256: str) -> Path | None:
        path = _place(self._folder, sha256)
        return path if is_name(sha256) and path.is_file() else None

    async def remove(self, sha256: str, *, unless_kept_s: float = 0.0) -> bool:
        """As :class:`Blobs` says; whoever stores the file at this very moment keeps it."""
        path = self._path(sha256)
        return path is None or await asyncio.to_thread(self._remove, path, unless_kept_s)

    def _remove(self, path: Path, unless_kept_s: float) -> bool:
        aside = _draft_path(self._folder)
        try:
            if _is_younger(path, unless_kept_s):
                return False
            path.replace(aside)
            if _is_younger(aside, unless_kept_s):  # it was stored after the first look
                aside.replace(path)
                return False
            aside.unlink()
        except FileNotFoundError:  # somebody else removed it, or swept what was set aside
            return True
        return True

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
