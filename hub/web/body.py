"""Reading a request's body within limits of size, time and memory."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["BodyReader", "BodyRefused"]

_TOO_LARGE = "the body is too large"


class BodyRefused(Exception):
    """The body was not taken: *status* is 400, 408, 413 or 503."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class BodyReader:
    """Reads bodies for one server.

    *budget_bytes* bounds what bodies hold together, whatever their number: those still arriving, and
    apart from them (so that slow senders cannot shut others out) those being worked on.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._arriving = 0
        self._working = 0

    async def read(self, request: web.BaseRequest, max_bytes: int, timeout_s: float) -> bytes:
        """The whole body, to be given back with :meth:`release` when it is done with.

        Raises:
            BodyRefused: too large (before a byte is read, when Content-Length says so), too slow (it
                is not complete in *timeout_s*), cut off, or no room.
        """
        length = request.content_length
        if length is not None and length > max_bytes:
            raise BodyRefused(413, _TOO_LARGE)
        if request.content.is_eof():  # the common case: it came together with the head
            body = request.content.read_nowait(-1)
            if len(body) > max_bytes:
                raise BodyRefused(413, _TOO_LARGE)
        else:
            parts = [part async for part in self.parts(request, max_bytes, timeout_s)]
            body = b"".join(parts)
        if self._working + len(body) > self._budget:
            raise BodyRefused(503, "busy")
        self._working += len(body)
        return body

    def release(self, body: bytes) -> None:
        """*body* is done with."""
        self._working -= len(body)

    async def parts(
        self, request: web.BaseRequest, max_bytes: int, timeout_s: float
    ) -> AsyncIterator[bytes]:
        """The body as it arrives; raises as :meth:`read` does."""
        taken = 0
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            while part := await _next(request, deadline):
                taken += len(part)
                self._arriving += len(part)
                if taken > max_bytes:
                    raise BodyRefused(413, _TOO_LARGE)
                if self._arriving > self._budget:
                    raise BodyRefused(503, "busy")
                yield part
        finally:
            self._arriving -= taken


async def _next(request: web.BaseRequest, deadline: float) -> bytes:
    try:
        async with asyncio.timeout_at(deadline):
            return await request.content.readany()
    except TimeoutError:
        raise BodyRefused(408, "the body is too slow") from None
    except (HttpProcessingError, web.RequestPayloadError, OSError) as error:
        raise BodyRefused(400, "the body is broken") from error
