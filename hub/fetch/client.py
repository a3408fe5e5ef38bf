"""The client: a pool of connections under one policy, and what it gives back."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiohttp.abc import ResolveResult
from yarl import URL

from hub import __version__
from hub.dial import Dialled
from hub.errors import Ambiguous, BadCredentials, SendError, Unreachable
from hub.exchange import Observer, Redactor, observers
from hub.fetch.request import LARGE, Request
from hub.fetch.verdicts import Blocked, Forbidden, Interrupted, TooLarge, verdict
from hub.guard import STRICT, Policy, forbidden_address, forbidden_url

API_BYTES = 1 << 20
"""Largest answer of an API call."""

WEBHOOK_BYTES = 20 << 10
"""How much of a webhook's answer is read."""

DNS_SECONDS = 2.0
CONNECT_SECONDS = 10.0
WS_CLOSE_SECONDS = 5.0
_HTTP_OF = {"ws": "http", "wss": "https"}
_HEADERS = {
    "User-Agent": f"messaging-hub/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


class Answer(NamedTuple):
    """What came back; the shape of ``hub.channel.HttpAnswer``. Header names ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, whatever its Content-Type says; raises ValueError."""
        return msgspec.json.decode(self.body)


class Download(NamedTuple):
    """An answer whose body comes in pieces."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


def http_of(url: str) -> str:
    """*url* with ``http`` for ``ws``: a WebSocket begins as that request."""
    scheme, mark, rest = url.partition("://")
    return _HTTP_OF.get(scheme.lower(), scheme) + mark + rest


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A middleware that keeps aiohttp from sending a request a second time."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Interrupted(error) from error


class _Resolver(aiohttp.ThreadedResolver):
    """The system's resolver, with a time limit."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(DNS_SECONDS):
                return await super().resolve(host, port, family)
        except TimeoutError as error:
            raise OSError(None, f"no answer from DNS in {DNS_SECONDS:g} s") from error


class Fetcher:
    """A pool of connections under one policy; made for one account or one destination.

    Calls as ``hub.channel.Http`` says. With a *proxy* only literal addresses in URLs can be judged, since
    the proxy looks the names up.
    """

    def __init__(
        self,
        policy: Policy = STRICT,
        *,
        proxy: str | None = None,
        limit: int = 32,
        keep_alive: float = 15.0,
        max_bytes: int = API_BYTES,
        secrets: Iterable[str] = (),
        on_exchange: Observer | None = None,
        resolver: aiohttp.abc.AbstractResolver | None = None,
    ) -> None:
        """*limit* connections at a time, idle ones kept for *keep_alive* seconds.

        *secrets* are hidden wherever they stand in what *on_exchange* gets.
        """
        self.policy = policy
        self._proxy = proxy
        self._limit = limit
        self._keep_alive = keep_alive
        self._max_bytes = max_bytes
        self._redactor = Redactor(tuple(secrets))
        self._on_exchange = on_exchange
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._judged = lru_cache(maxsize=256)(self._judge)

    async def __call__(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        timeout: float = 15.0,
        max_bytes: int | None = None,
    ) -> Answer:
        """Make one call; the contract is ``hub.channel.Http``. *max_bytes* limits the answer.

        Raises:
            Forbidden: the policy does not allow the URL, or the address that it resolves to.
            Unreachable: the request was not written in full.
            Ambiguous: it was, and no whole answer came.
        """
        request = Request(method, url, params, headers, json, form, data, files)
        most = max_bytes or self._max_bytes
        watching = observers(self._on_exchange)
        if not watching:
            return await self._call(request, timeout, most)
        seen = self._redactor.begin(method, request.shown_url, request.headers, request.shown_body)
        try:
            answer = await self._call(request, timeout, most)
        except SendError as error:
            for watcher in watching:
                watcher(seen.failed(error))
            raise
        for watcher in watching:
            watcher(seen.answered(answer.status, answer.headers, answer.body))
        return answer

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: float = 15.0
    ) -> tuple[int, Mapping[str, str], bytes]:
        """POST *body*: the lean call of webhooks. Returns status, headers, the first 20 kB.

        Once the status has come it is the answer, even if the body then stalls or breaks off.
        Raises as ``__call__`` does; an error after the connection stood is Ambiguous.
        """
        target = self._judged(url)
        session = self._session or self._open()
        try:
            async with session.post(
                target,
                data=body if len(body) <= LARGE else io.BytesIO(body),
                headers=headers,
                timeout=_timeout(timeout),
                allow_redirects=False,
                auto_decompress=False,
                proxy=self._proxy,
            ) as answer:
                return (
                    answer.status,
                    answer.headers,
                    await _beginning(answer.content, WEBHOOK_BYTES),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise verdict(error, None, timeout) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        max_bytes: int,
    ) -> AsyncIterator[Download]:
        """An answer whose body is read in pieces, at most *max_bytes* of it.

        Raises:
            TooLarge: the body is longer, by its header or in fact.
        """
        request = Request(method, url, params, headers, None, None, None, None)
        try:
            async with self._request(request, timeout, None) as answer:
                length = answer.content_length
                if length is not None and length > max_bytes:
                    raise TooLarge(f"{length} bytes, at most {max_bytes} are allowed")
                pieces = _pieces(answer.content, max_bytes)
                yield Download(answer.status, answer.headers, pieces)
        except (aiohttp.ClientError, OSError) as error:
            raise verdict(error, None, timeout) from error

    async def connect(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_frame_bytes: int = API_BYTES,
        heartbeat: float | None = 30.0,
    ) -> Dialled:
        """A WebSocket to *url*, under the same policy; the contract is ``hub.channel.Connect``.

        Raises:
            BadCredentials: the peer answered 401 or 403.
            Unreachable: there is no connection; Forbidden: the policy does not allow one.
        """
        target = self._judged(http_of(url))
        session = self._session or self._open()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await session.ws_connect(
                    target,
                    headers=headers,
                    proxy=self._proxy,
                    max_msg_size=max_frame_bytes,
                    heartbeat=heartbeat,
                    timeout=aiohttp.ClientWSTimeout(ws_close=WS_CLOSE_SECONDS),
                )
        except aiohttp.WSServerHandshakeError as error:
            kind = BadCredentials if error.status in (401, 403) else Unreachable
            raise kind(f"HTTP {error.status}", external_code=error.status) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = verdict(error, None, CONNECT_SECONDS)
            if isinstance(failure, Forbidden):
                raise failure from error
            raise Unreachable(failure.detail) from error  # nothing is said before it stands
        return Dialled(socket)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _judge(self, url: str) -> URL:
        reason = forbidden_url(url, self.policy)
        if reason is not None:
            raise Forbidden(f"the URL is refused: {reason}")
        return URL(url)

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if self._proxy is None:
            policy = self.policy
            reason = forbidden_address(
                address[0], allow_private=policy.allow_private, inside=policy.inside
            )
            if reason is not None:
                raise Blocked(f"the host is refused: {reason}")
        return socket.socket(family, kind, protocol)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._limit,
            keepalive_timeout=self._keep_alive,
            ttl_dns_cache=30,
            resolver=self._resolver or _Resolver(),
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            trust_env=False,
        )
        return self._session

    def _request(
        self, request: Request, timeout: float, tracker: aiohttp.UploadTracker | None
    ) -> Any:
        target = self._judged(request.url)
        if request.params:
            target = target.update_query(request.params)
        return (self._session or self._open()).request(
            request.method,
            target,
            headers=request.headers,
            data=request.content(),
            timeout=_timeout(timeout),
            allow_redirects=False,
            proxy=self._proxy,
            middlewares=(_once,),
            upload_tracker=tracker,
        )

    async def _call(self, request: Request, timeout: float, max_bytes: int) -> Answer:
        tracker = aiohttp.UploadTracker()
        try:
            async with self._request(request, timeout, tracker) as answer:
                body = b"".join([piece async for piece in _pieces(answer.content, max_bytes)])
                return Answer(answer.status, answer.headers, body)
        except TooLarge as error:
            raise Ambiguous(f"the answer has more than {max_bytes} bytes") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise verdict(error, tracker, timeout) from error


@lru_cache(maxsize=64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # Connecting has less time than the whole, so that what ends it is never taken for a sent request.
    return aiohttp.ClientTimeout(
        total=seconds, connect=min(CONNECT_SECONDS, seconds * 0.8), ceil_threshold=1e9
    )


async def _pieces(content: aiohttp.StreamReader, max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    while piece := await content.readany():
        size += len(piece)
        if size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        yield piece


async def _beginning(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """At most *max_bytes* of *content*; less when it breaks off."""
    body = b""
    try:
        while len(body) < max_bytes and (piece := await content.read(max_bytes - len(body))):
            body += piece
    except (aiohttp.ClientError, OSError):
        return body
    return body
