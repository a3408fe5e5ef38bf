"""``/live`` and ``/ready``: does the process run, and can it keep the promise now."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from aiohttp import web
from msgspec import Struct

from hub.core import Core
from hub.store import AWAY
from hub.store.api import try_commit

__all__ = ["Finding", "Health"]

MAX_LAG_S = 1.0
MAX_COMMIT_S = 1.0
MAX_QUEUE = 0.8
MIN_DISK = 0.05
TICK_S = 0.25
FRESH_S = 1.0

HEADERS = {"Server": "hub", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Health:
    """Watches the event loop, and tries a commit when asked; *filling* is the intake queue's, 0 to 1."""

    def __init__(self, core: Core, filling: Callable[[], float]) -> None:
        self._core = core
        self._filling = filling
        self._ticked = time.monotonic()
        self._lag = 0.0
        self._findings: tuple[Finding, ...] = ()
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        self.stopping = False

    @property
    def lag_s(self) -> float:
        """How late the event loop is, in seconds."""
        return max(self._lag, time.monotonic() - self._ticked - TICK_S)

    @property
    def filling(self) -> float:
        """How full the intake queue is, 0 to 1."""
        return self._filling()

    async def watch(self, _app: web.Application) -> AsyncIterator[None]:
        """Measure the loop's lag while the application runs."""
        task = asyncio.create_task(self._tick(), name="loop-lag")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def note_stop(self, _app: web.Application) -> None:
        """From now on the process is not ready."""
        self.stopping = True

    async def _tick(self) -> None:
        while True:
            self._ticked = time.monotonic()
            await asyncio.sleep(TICK_S)
            self._lag = max(0.0, time.monotonic() - self._ticked - TICK_S)

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the event loop runs with less than a second's lag."""
        lag = self.lag_s
        return _answer((Finding("loop", lag < MAX_LAG_S, f"{lag * 1000:.0f} ms late"),))

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while a callback could be taken and kept. Redis is no part of it."""
        return _answer(await self.findings())

    async def findings(self) -> tuple[Finding, ...]:
        """What was found, at most a second ago."""
        async with self._looking:
            if time.monotonic() - self._looked > FRESH_S:
                self._findings = (
                    await self._database(),
                    self._queue(),
                    self._disk(),
                    Finding("running", not self.stopping, "stopping" if self.stopping else "yes"),
                )
                self._looked = time.monotonic()
        return self._findings

    async def _database(self) -> Finding:
        started = time.monotonic()
        try:
            async with asyncio.timeout(MAX_COMMIT_S):
                await try_commit(self._core.db)
        except AWAY as error:
            return Finding("database", False, f"no commit: {type(error).__name__}")
        took = f"commit in {(time.monotonic() - started) * 1000:.0f} ms"
        if self._core.db.unsafe:
            return Finding("database", False, f"{took}, but it may lose what it confirms")
        return Finding("database", True, took)

    def _queue(self) -> Finding:
        filling = self._filling()
        return Finding("queue", filling < MAX_QUEUE, f"{filling:.0%} full")

    def _disk(self) -> Finding:
        folder = Path(self._core.settings.hub.data_dir)
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        usage = shutil.disk_usage(folder)
        free = usage.free / usage.total
        return Finding("disk", free > MIN_DISK, f"{free:.0%} free")


def _answer(findings: tuple[Finding, ...]) -> web.Response:
    ok = all(one.ok for one in findings)
    return web.Response(
        status=200 if ok else 503,
        body=msgspec.json.encode({"ok": ok, "findings": findings}),
        content_type="application/json",
        headers=HEADERS,
    )
