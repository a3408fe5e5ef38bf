"""Outcomes written with group commit."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

import structlog

from hub.core import Core
from hub.failpoints import failpoint
from hub.store import AWAY
from hub.store.lanes import Done, record

__all__ = ["Lost", "Recorder"]

AGAIN_S = 0.3
LINGER_S = 0.008
"""Nobody waits for an outcome but the next of its lane: a few of them make one commit."""

_log = structlog.get_logger("hub.delivery")


class Lost(Exception):
    """The lane belongs to another process now."""


def _merged(old: Done, new: Done) -> Done:
    """Two outcomes of one lane, which the same holder has added, as one."""
    return new._replace(
        handled=new.handled if new.handled is not None else old.handled,
        deliveries=[*old.deliveries, *new.deliveries],
        release=old.release or new.release,
    )


def _tell_lost(futures: Iterable["asyncio.Future[bool]"]) -> None:
    for told in futures:
        if not told.done():
            told.set_exception(Lost())
            told.exception()  # nobody may be waiting for it


class Recorder:
    """Writes outcomes with group commit: what gathers while one statement runs goes in the next."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[int, tuple[Done, list[asyncio.Future[bool]]]] = {}
        self._due = asyncio.Event()
        self._all_written = asyncio.Event()
        self._all_written.set()

    def add(self, done: Done) -> "asyncio.Future[bool]":
        """Write *done* soon; the future tells whether the lane has more work, or raises Lost."""
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._wait(done, [told])
        return told

    def _wait(self, done: Done, futures: list["asyncio.Future[bool]"]) -> None:
        old, before = self._waiting.get(done.lane, (done, None))
        if before is None:
            self._waiting[done.lane] = (done, futures)
        elif old.epoch == done.epoch:
            self._waiting[done.lane] = (_merged(old, done), [*before, *futures])
        elif old.epoch < done.epoch:  # this process has the lane anew
            self._waiting[done.lane] = (done, futures)
            _tell_lost(before)
        else:
            _tell_lost(futures)
        self._all_written.clear()
        self._due.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._due.wait()
            await asyncio.sleep(LINGER_S)
            self._due.clear()
            batch, self._waiting = self._waiting, {}
            try:
                await self._write(batch)
            except AWAY as error:
                _log.warning("database_away", error=type(error).__name__)
                await self._again(batch)
            except Exception as error:  # a deadlock, say: whoever waits for this must not hang
                _log.error("not_recorded", error=repr(error))
                await self._again(batch)
            else:
                if not self._waiting:
                    self._all_written.set()

    async def _again(self, batch: dict[int, tuple[Done, list["asyncio.Future[bool]"]]]) -> None:
        newer, self._waiting = self._waiting, batch
        for done, futures in newer.values():
            self._wait(done, futures)
        await asyncio.sleep(AGAIN_S)
        self._due.set()

    async def written(self, seconds: float) -> None:
        """Returns when all that was added is written, or after *seconds*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_written.wait()

    async def _write(self, batch: Mapping[int, tuple[Done, list["asyncio.Future[bool]"]]]) -> None:
        if not batch:
            return
        failpoint("delivery.before_record")
        more = await record(self._core.db, [done for done, _ in batch.values()])
        failpoint("delivery.after_record")
        for lane, (_, futures) in batch.items():
            if lane not in more:
                _tell_lost(futures)
                continue
            for told in futures:
                if not told.done():
                    told.set_result(more[lane])
