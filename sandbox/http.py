"""Small HTTP helpers that every part of the sandbox uses."""

import contextlib
import random
import re
import socket
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")

QUIET_PORTS = (20000, 32768)
"""Below those of Linux (from 32768) and of macOS (from 49152) that last as long as a connection."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Act = Callable[[web.Request], Awaitable[web.Response]]


async def read_limited(stream: aiohttp.StreamReader, limit: int) -> bytes:
    """The first *limit* bytes of a body, however it is cut into pieces."""
    pieces: list[bytes] = []
    size = 0
    async for piece in stream.iter_chunked(limit):
        pieces.append(piece)
        size += len(piece)
        if size >= limit:
            break
    return b"".join(pieces)[:limit]


def is_loopback(host_header: str) -> bool:
    """Whether a ``Host`` header names this machine and nothing else.

    A page of a stranger can point its own name at 127.0.0.1 (DNS rebinding);
    the ``Host`` header then still carries the stranger's name.
    """
    return _LOOPBACK_HOST.fullmatch(host_header) is not None


@web.middleware
async def only_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a browser may have been tricked into: strange Host, or any Origin not ours."""
    origin = request.headers.get("Origin")
    if not is_loopback(request.host) or (origin is not None and origin != f"http://{request.host}"):
        return web.Response(status=403, text="403: this service answers to its own machine only\n")
    return await handler(request)


async def serve(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Start *app*; port 0 picks a free one. Returns the runner and the port."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port, reuse_address=True)
    try:
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, and stays so for a while.

    It is none of those that the system gives to whoever connects or binds to 0: on a busy machine
    such a port is soon somebody's.
    """
    for _ in range(1000):
        port = random.randrange(*QUIET_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free on 127.0.0.1")


def cut(request: web.Request) -> None:
    """Cut the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
