"""What a store of files is; they are named by their content and whole or not at all."""

import re
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import NamedTuple, Protocol

from hub.fetch import TooLarge

__all__ = ["PIECE_BYTES", "Blobs", "Kept", "Opened", "StoreAway", "is_name", "limited"]

PIECE_BYTES = 256 << 10
_SHA256 = re.compile(r"[0-9a-f]{64}")


class StoreAway(OSError):
    """The store does not answer now; whoever asked tries again."""


class Kept(NamedTuple):
    """A file that is stored: *head* is how it starts."""

    sha256: str
    size_bytes: int
    head: bytes


class Opened(NamedTuple):
    """A stored file to be handed out: *head* is how it starts, *path* where it lies on this machine."""

    size_bytes: int
    head: bytes
    pieces: AsyncIterator[bytes]
    path: Path | None = None


class Blobs(Protocol):
    """A store of files by their sha256 (lower-case hex); each call may raise OSError: away now."""

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

    async def open(self, sha256: str) -> Opened | None:
        """The file piece by piece, or None when there is no such file."""
        ...

    async def remove(self, sha256: str, *, unless_kept_s: float = 0.0) -> bool:
        """Forget the file, unless it was stored, perhaps once more, in the last *unless_kept_s* seconds.

        Returns whether it is gone.
        """
        ...

    async def sweep(self) -> int:
        """Remove what crashed writers left; how many files."""
        ...


def is_name(sha256: str) -> bool:
    """Whether *sha256* can name a file; anything else must not become part of a path."""
    return _SHA256.fullmatch(sha256) is not None


async def limited(pieces: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """*pieces*, of at most *max_bytes* in all.

    Raises:
        TooLarge: there are more.
    """
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        yield piece
