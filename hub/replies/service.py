"""Step 5, reply: claims the lanes in which something waits and says it."""

import asyncio
import contextlib
import time
from collections import Counter

import structlog

from hub.core import Core
from hub.replies.pace import Pace
from hub.replies.records import Fenced, Holder
from hub.replies.saying import LaneRun
from hub.replies.sweeps import sweep
from hub.store import AWAY, replies
from hub.store.replies import ReplyLane

__all__ = ["ReplyService"]

_log = structlog.get_logger("hub.replies")


class ReplyService:
    """Sends replies for all accounts; any number of processes may run one."""

    def __init__(self, core: Core, pace: Pace | None = None, *, name: str | None = None) -> None:
        """*name* tells the lanes' holder apart when one process runs several."""
        self._core = core
        self._pace = pace or Pace()
        self._name = name or core.name
        self._running: dict[asyncio.Task[None], tuple[Holder, LaneRun]] = {}
        self._swept = 0.0

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Send until cancelled or *stop* is set; then calls under way end and lanes are given back."""
        renewing = asyncio.create_task(self._renew_forever(), name="reply-leases")
        try:
            while not (stop and stop.is_set()):
                try:
                    await self._round()
                except AWAY as error:
                    _log.warning("database_away", error=type(error).__name__)
                    await asyncio.sleep(0.5)
                await self._core.bells.wait("reply", self._pace.poll_s)
        finally:
            await self._drain()
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    async def _round(self) -> None:
        if time.monotonic() - self._swept > self._pace.sweep_s:
            self._swept = time.monotonic()
            self._ring(await sweep(self._core, self._pace))
        while (room := self._pace.lanes - len(self._running)) > 0:
            asked = time.monotonic()
            lanes = await replies.claim_replies(
                self._core.db,
                self._name,
                self._pace.lease_s,
                room=room,
                each_account=self._pace.lanes_each_account,
                busy=Counter(holder.lane.account for holder, _ in self._running.values()),
            )
            for lane in lanes:
                self._serve(lane, asked)
            if not lanes:
                return

    def _serve(self, lane: ReplyLane, asked: float) -> None:
        holder = Holder(self._core, lane, self._pace, asked)
        run = LaneRun(holder)
        task = asyncio.create_task(self._work(holder, run), name=f"reply-lane-{lane.id}")
        self._running[task] = (holder, run)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()):
            _log.error("lane_failed", exc_info=error)
        self._core.bells.ring_here("reply")  # there is room again

    async def _work(self, holder: Holder, run: LaneRun) -> None:
        drained, pause_s = False, self._pace.poll_s
        try:
            drained, pause_s = await run.run()
        except Fenced:
            _log.warning("lane_lost", lane=holder.lane.id, account=holder.lane.account)
            return
        except AWAY as error:
            _log.warning("database_away", error=type(error).__name__)
        except Exception:
            pause_s = self._pace.reconcile_s
            _log.exception("lane_failed", lane=holder.lane.id, account=holder.lane.account)
        self._ring(frozenset(holder.destinations))
        with contextlib.suppress(*AWAY):
            await replies.release(self._core.db, holder.lane, drained=drained, pause_s=pause_s)

    def _ring(self, destinations: frozenset[str]) -> None:
        if destinations:
            self._core.bells.ring("deliver")

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._pace.renew_s)
            holders = {holder.lane.id: holder for holder, _ in self._running.values()}
            if not holders:
                continue
            asked = time.monotonic()
            try:
                ours = await replies.renew(
                    self._core.db,
                    [holder.lane for holder in holders.values()],
                    self._pace.lease_s,
                )
            except AWAY as error:
                _log.warning("database_away", error=type(error).__name__)
                continue
            for lane_id in ours & holders.keys():
                holders[lane_id].renewed(asked)

    async def _drain(self) -> None:
        for _, run in self._running.values():
            run.stopping = True
        tasks = list(self._running)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._pace.drain_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
