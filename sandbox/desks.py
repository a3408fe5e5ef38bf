"""What all simulated helpdesks have: a server, faults, numbers for what is made, and callbacks."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

__all__ = ["DeskSimulator", "Fault"]

_LARGEST = 64 << 20


@dataclass
class Fault:
    """What happens to calls that *match*: they get *status*, after they were *kept* or not."""

    match: Callable[[web.Request], bool]
    status: int = 500
    kept: bool = False
    count: int = 1
    delay_s: float = 0.0
    body: bytes = b"error"


class DeskSimulator:
    """A helpdesk in memory, listening on the loopback address; what it keeps survives a stop.

    *tries* and *pause_s* are how often, and how far apart, it makes a callback that is not taken; it waits
    *patience_s* for an answer.
    """

    tries = 1
    pause_s = 0.0
    patience_s = 30.0

    def __init__(self) -> None:
        self.webhook_url: str | None = None
        self.lose_callbacks = False
        self.reads_first = False
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        self.callbacks: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.port = 0
        self._ids = 100
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """What the connector's ``base_url`` must say."""
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> Sequence[web.RouteDef]:
        """What it serves."""
        raise NotImplementedError

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a call without the right credentials; None: they are right."""
        raise NotImplementedError

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST)
        app.add_routes(self.routes())
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.patience_s))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; what is on its way ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if self.reads_first:
            await request.read()  # so that a fault may look at it
        if (refusal := self.refusal(request)) is not None:
            return refusal
        for fault in self.faults:
            if fault.count > 0 and fault.match(request):
                fault.count -= 1
                if fault.kept:
                    await handler(request)
                await asyncio.sleep(fault.delay_s)
                return web.Response(status=fault.status, body=fault.body)
        answer: web.StreamResponse = await handler(request)
        return answer

    def new_id(self) -> int:
        """A number that nothing else has."""
        self._ids += 1
        return self._ids

    # -- callbacks -----------------------------------------------------------------------------------

    def call_back(self, headers: dict[str, str], raw: bytes, query: str = "") -> None:
        """Have the hub called, in the background."""
        if self.webhook_url is None or self.lose_callbacks:
            return
        self.callbacks.append((query, headers, raw))
        task = asyncio.create_task(self._send(query, headers, raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, query: str, headers: dict[str, str], raw: bytes) -> None:
        for _ in range(self.tries):
            if await self._post(query, headers, raw):
                return
            await asyncio.sleep(self.pause_s)

    async def _post(self, query: str, headers: dict[str, str], raw: bytes) -> bool:
        """One try; whether it was taken."""
        assert self._http is not None  # noqa: S101
        assert self.webhook_url is not None  # noqa: S101
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            url = self.webhook_url + (f"?{query}" if query else "")
            async with self._http.post(url, data=raw, headers=headers) as answer:
                self.answers.append(answer.status)
                return answer.status < 300
        return False

    @property
    def is_quiet(self) -> bool:
        """Whether no callback is on its way."""
        return not self._tasks

    async def repeat_callbacks(self) -> None:
        """Send every callback so far again, backwards."""
        for query, headers, raw in reversed(list(self.callbacks)):
            await self._send(query, headers, raw)
