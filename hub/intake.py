"""Step 1, take in: what is proven genuine is on disk before the platform gets its answer.

One committer per process gathers what arrives and stores it with group commit: many requests, one
statement, one fsync.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import structlog

from hub.bells import Bells
from hub.errors import HubError
from hub.failpoints import failpoint
from hub.model import InboundEvent
from hub.store import AWAY, Database
from hub.store.inbox import Arrived, insert_events

__all__ = ["Committer", "Overloaded"]

BATCH = 500
PACE_S = 0.005
"""Commits begin no closer together, so that what comes meanwhile shares one; one alone goes at once."""
TICK_S = 0.1
"""How late a caller may learn that its time is over."""
MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 0.5

_log = structlog.get_logger("hub.intake")


class Overloaded(HubError):
    """There is no room now, or the database is away; the platform should try again."""


class _Waiting(NamedTuple):
    arrived: Sequence[Arrived]
    size: int
    stored: "asyncio.Future[None]"
    until: float


class Committer:
    """Stores events in batches; :meth:`store` returns when they are committed."""

    def __init__(
        self, db: Database, bells: Bells, *, max_events: int, max_bytes: int, wait_s: float
    ) -> None:
        """*wait_s* is how long one call may wait for room and for the commit, in all."""
        self._db = db
        self._bells = bells
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._wait_s = wait_s
        self._queue: deque[_Waiting] = deque()
        self._events = 0
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._room = asyncio.Condition()
        self._limits: list[tuple[float, int, _Waiting]] = []  # a heap: whose time is over first
        self._turn = count()
        self._tasks: list[asyncio.Task[None]] = []
        self.committed = 0
        self.refused = 0

    async def start(self) -> None:
        """Start to commit."""
        self._tasks = [
            asyncio.create_task(self._run(), name="committer"),
            asyncio.create_task(self._watch_time(), name="committer-time"),
        ]

    async def stop(self) -> None:
        """Commit what waits, for as long as a caller may wait for it, and end."""
        waiting = [each.stored for each in self._queue]
        if waiting:
            await asyncio.wait(waiting, timeout=self._wait_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def filling(self) -> float:
        """How full the queue is, 0 to 1."""
        return max(self._events / self._max_events, self._bytes / self._max_bytes)

    async def store(self, account: str, channel: str, events: Sequence[InboundEvent]) -> None:
        """Returns when *events* are committed, or were known already.

        Raises:
            Overloaded: neither was possible in time; the caller must not confirm.
        """
        if not events:
            return
        size = sum(len(event.body) + 512 for event in events)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(
            [Arrived(account, channel, event) for event in events],
            size,
            loop.create_future(),
            loop.time() + self._wait_s,
        )
        if not self._has_room(waiting):
            await self._wait_for_room(waiting)
        self._put(waiting)
        await waiting.stored

    async def _watch_time(self) -> None:
        """Tell those whose time is over; a timer for each would cost more than all the rest here."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            while self._limits and (self._limits[0][0] <= now or self._limits[0][2].stored.done()):
                stored = heappop(self._limits)[2].stored
                if not stored.done():
                    self.refused += 1
                    stored.set_exception(Overloaded())

    def _has_room(self, waiting: _Waiting) -> bool:
        return (
            self._events + len(waiting.arrived) <= self._max_events
            and self._bytes + waiting.size <= self._max_bytes
        ) or not self._queue

    async def _wait_for_room(self, waiting: _Waiting) -> None:
        try:
            async with asyncio.timeout_at(waiting.until), self._room:
                await self._room.wait_for(lambda: self._has_room(waiting))
        except TimeoutError as error:
            self.refused += 1
            raise Overloaded from error

    def _put(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        heappush(self._limits, (waiting.until, next(self._turn), waiting))
        self._events += len(waiting.arrived)
        self._bytes += waiting.size
        self._arrival.set()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        events = 0
        while self._queue and (not batch or events + len(self._queue[0].arrived) <= BATCH):
            waiting = self._queue.popleft()
            self._events -= len(waiting.arrived)
            self._bytes -= waiting.size
            if not waiting.stored.done():  # whoever gave up has told the platform to come again
                events += len(waiting.arrived)
                batch.append(waiting)
        return batch

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        following = 0.0
        while True:
            await self._arrival.wait()
            if self._events < BATCH:
                await asyncio.sleep(following - loop.time())
            following = loop.time() + PACE_S
            batch = self._take()
            if not self._queue:
                self._arrival.clear()
            if batch:
                await self._commit(batch)
            async with self._room:
                self._room.notify_all()

    async def _commit(self, batch: list[_Waiting]) -> None:
        pause = MIN_PAUSE_S
        while batch:
            try:
                failpoint("intake.before_commit")
                await insert_events(self._db, [one for each in batch for one in each.arrived])
                failpoint("intake.after_commit")
            except AWAY as error:
                _log.warning("database_away", error=type(error).__name__, waiting=len(batch))
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_S)
                batch = [each for each in batch if not each.stored.done()]
            except Exception as error:
                await self._commit_apart(batch, error)
                return
            else:
                self._settle(batch)
                return

    def _settle(self, batch: list[_Waiting]) -> None:
        for each in batch:
            self.committed += len(each.arrived)
            if not each.stored.done():
                each.stored.set_result(None)
        self._bells.ring("ingest")

    async def _commit_apart(self, batch: list[_Waiting], error: Exception) -> None:
        """One event that the database refuses must not take its neighbours with it."""
        if len(batch) > 1:
            for each in batch:
                await self._commit([each])
            return
        _log.error("event_refused", error=repr(error), account=batch[0].arrived[0].account)
        if not batch[0].stored.done():
            batch[0].stored.set_exception(Overloaded())
