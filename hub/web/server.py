"""Listening: limits on connections, headers and idle time, and a stop that loses nothing."""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

__all__ = ["MAX_CONNECTIONS", "Listening", "listen"]

MAX_CONNECTIONS = 5000
MAX_HEADER_BYTES = 8190
MAX_HEADERS = 64
KEEP_ALIVE_S = 15.0
LINGER_S = 1.0
READ_BUFFER_BYTES = 16 << 10
STOP_S = 10.0
SPARE_FILES = 256

_log = structlog.get_logger("hub.web.server")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Full(asyncio.Protocol):
    """What a connection gets when there is no room: one write, no parser, no task."""

    _ANSWER = (
        b"HTTP/1.1 503 Service Unavailable\r\nServer: hub\r\nRetry-After: 2\r\n"
        b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(self._ANSWER)
            transport.close()


_FULL = _Full()


class Gate:
    """How many connections stand, how many were refused, and how many spoke no HTTP."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.open = 0
        self.refused = 0
        self.malformed = 0


class _Connection(RequestHandler):
    """One connection: counted, and with fixed answers to what is no HTTP."""

    __slots__ = ("_gate",)

    def __init__(self, gate: Gate, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            lingering_time=LINGER_S,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type] # what aiohttp itself passes for "none"
        )
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._gate.open += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._gate.open -= 1
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A fixed answer; nothing of what was sent is repeated."""
        if status >= 500:
            _log.error("request_broken", status=status, error=type(exc).__name__)
        else:
            self._gate.malformed += 1
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        response = web.Response(
            status=status,
            text=HTTPStatus(status).phrase.lower(),
            headers={"Server": "hub", "X-Content-Type-Options": "nosniff"},
        )
        response.force_close()
        return response


class Listening:
    """A web server that listens on *port*; made by :func:`listen`."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server, gate: Gate) -> None:
        self._runner = runner
        self._server = server
        self._stopping: asyncio.Task[None] | None = None
        self.gate = gate
        self.port: int = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Accept no more, let requests end (at most 10 s), and close; may be called again."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="web-stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._server.close()
        await self._runner.cleanup()


def room_for_connections(wanted: int = MAX_CONNECTIONS) -> int:
    """How many connections this process may hold, after raising its limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(16, min(wanted, soft - SPARE_FILES))


def _straight(prefix: str, first: Handler, rest: Handler) -> Handler:
    """Requests under *prefix* go straight to *first*, past the router; it takes half their overhead."""

    async def dispatch(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.startswith(prefix) and hdrs.EXPECT not in request.headers:
            return await first(request)
        return await rest(request)

    return dispatch


async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    intake: Handler | None = None,
    reuse_port: bool = False,
    max_connections: int = MAX_CONNECTIONS,
) -> Listening:
    """Serve *app* at *host* and *port* (0: any free one); *intake* takes ``/in/…`` itself.

    Raises:
        OSError: the port is taken.
    """
    runner = web.AppRunner(app, shutdown_timeout=STOP_S / 2)  # aiohttp waits twice as long as that
    await runner.setup()
    inner = cast("web.Server", runner.server)
    if intake is not None:
        inner.request_handler = _straight("/in/", intake, inner.request_handler)
    gate = Gate(room_for_connections(max_connections))

    def connection() -> asyncio.Protocol:
        if gate.open >= gate.room:
            gate.refused += 1
            return _FULL
        return _Connection(gate, inner)

    try:
        server = await asyncio.get_running_loop().create_server(
            connection, host, port, backlog=1024, reuse_port=reuse_port or None
        )
    except BaseException:
        await runner.cleanup()
        raise
    return Listening(runner, server, gate)
