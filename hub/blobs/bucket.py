"""Files in a bucket of any service that speaks the API of S3, so that several hosts share them."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import Any

from obstore import delete_async, get_async, get_range_async, head_async, put_async
from obstore.exceptions import BaseError
from obstore.store import S3Store

from hub.blobs.contract import PIECE_BYTES, Kept, Opened, StoreAway, is_name, limited
from hub.blobs.options import AttachmentSettings
from hub.sniff import HEAD_BYTES

__all__ = ["BucketBlobs"]

SPOOL_BYTES = 1 << 20
"""What is larger waits on disk until its name, which is its hash, is known."""
REQUEST_S, CONNECT_S, RETRY_S, RETRIES = 30, 5, 20, 3


class BucketBlobs:
    """Files named ``<prefix>ab/cdef…``; any number of hosts may share them."""

    def __init__(self, settings: AttachmentSettings) -> None:
        """Without a key the machine's own identity is asked for, as Amazon's tools do it."""
        key_id, secret = settings.access_key_id, settings.secret_access_key
        known: dict[str, Any] = {"endpoint": settings.endpoint}
        if key_id is not None and secret is not None:
            known |= {"access_key_id": key_id.reveal(), "secret_access_key": secret.reveal()}
        self._store = S3Store(
            settings.bucket,
            prefix=settings.prefix or None,
            region=settings.region,
            virtual_hosted_style_request=not settings.path_style,
            client_options={
                "allow_http": True,
                "timeout": timedelta(seconds=REQUEST_S),
                "connect_timeout": timedelta(seconds=CONNECT_S),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
            **{name: value for name, value in known.items() if value is not None},
        )

    async def keep(self, content: bytes) -> Kept:
        """As :class:`Blobs` says."""
        sha256 = hashlib.sha256(content).hexdigest()
        with _told_plainly():
            await put_async(self._store, _key(sha256), content)
        return Kept(sha256, len(content), content[:HEAD_BYTES])

    async def keep_stream(self, pieces: AsyncIterable[bytes], max_bytes: int) -> Kept:
        """As :class:`Blobs` says."""
        digest, size, head = hashlib.sha256(), 0, b""
        with SpooledTemporaryFile(SPOOL_BYTES) as spool:
            async for piece in limited(pieces, max_bytes):
                digest.update(piece)
                size += len(piece)
                head = (head + piece)[:HEAD_BYTES] if len(head) < HEAD_BYTES else head
                await asyncio.to_thread(spool.write, piece)
            spool.seek(0)
            sha256 = digest.hexdigest()
            with _told_plainly():
                await put_async(self._store, _key(sha256), _read_on(spool))
        return Kept(sha256, size, head)

    async def read(self, sha256: str) -> bytes | None:
        """As :class:`Blobs` says."""
        if not is_name(sha256):
            return None
        with _told_plainly():
            try:
                found = await get_async(self._store, _key(sha256))
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                return None

    async def open(self, sha256: str) -> Opened | None:
        """As :class:`Blobs` says."""
        if not is_name(sha256):
            return None
        key = _key(sha256)
        with _told_plainly():
            try:
                size = (await head_async(self._store, key))["size"]
                end = min(size, HEAD_BYTES)
                head = (
                    bytes(await get_range_async(self._store, key, start=0, end=end)) if end else b""
                )
            except FileNotFoundError:
                return None
        return Opened(size, head, self._pieces(key))

    async def _pieces(self, key: str) -> AsyncIterator[bytes]:
        with _told_plainly():
            found = await get_async(self._store, key)
            async for piece in found.stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    async def remove(self, sha256: str, *, unless_kept_s: float = 0.0) -> bool:
        """As :class:`Blobs` says, by the service's clock and ours."""
        if not is_name(sha256):
            return True
        key = _key(sha256)
        with _told_plainly():
            if unless_kept_s:
                try:
                    kept_at = (await head_async(self._store, key))["last_modified"]
                except FileNotFoundError:
                    return True
                if (datetime.now(UTC) - kept_at).total_seconds() < unless_kept_s:
                    return False
            await delete_async(self._store, key)
        return True

    async def sweep(self) -> int:
        """Nothing is left behind: a file is there when it is whole."""
        return 0


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256[2:]}"


async def _read_on(spool: "SpooledTemporaryFile[bytes]") -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(spool.read, PIECE_BYTES):
        yield piece


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn the library's errors into what callers know: the store is away, or refuses us, for now."""
    try:
        yield
    except FileNotFoundError:
        raise
    except BaseError as error:
        raise StoreAway(f"the bucket: {str(error).strip().splitlines()[0]}") from error
