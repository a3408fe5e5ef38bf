"""Step 4, deliver: each lane's events to its helpdesk, in order, one at a time.

Lanes are claimed, read and recorded many at a time; the next request of a lane may start when the last
was acknowledged, before that is on disk: a crash repeats it, with the same id. The retry clock belongs
to the destination: while it is down, one probe speaks for all its lanes.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec
import structlog

from hub.core import Core
from hub.delivery.offers import Offers
from hub.delivery.recorder import Lost, Recorder
from hub.delivery.target import FAULTS, OPEN_AFTER, Outcome, Target, probe_pause
from hub.failpoints import failpoint
from hub.ids import new_id, show_id
from hub.store import AWAY, Transaction
from hub.store import queues as queue_rows
from hub.store.breakers import (
    Breaker,
    breakers,
    claim_probe,
    close_breaker,
    disable,
    ensure_destinations,
    note_successes,
    open_breaker,
)
from hub.store.lanes import (
    ClaimedLane,
    Done,
    Failure,
    Head,
    QueueRules,
    append_again,
    claim_lanes,
    expired_lanes,
    give_way,
    note_failures,
    record,
    refusals,
    release_lost,
)

__all__ = ["Deliverer", "replay"]

POLL_S = 1.0
DRAIN_S, ROUND_S, WRITTEN_S = 8.0, 1.0, 1.0
"""At the end of a process: for requests under way, for a claim, for outcomes to be on disk."""
EACH = 20
PACE_S = 0.006
"""Claims are made no closer together: each of them is a commit."""
RENEW_AFTER_S = 10.0
TRIES = 3
EXPIRE_LANES, EXPIRE_EACH = 20, 100
FAULT_PAUSE_S = 1.0
GIVE_UP_S = 5 * 86400.0
"""A destination that took nothing for so long is switched off."""
BETWEEN_TRIES_S = (0.0, 10.0, 30.0)

_log = structlog.get_logger("hub.delivery")


class Deliverer:
    """Delivers for all destinations; any number of processes may run one."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._targets: dict[str, Target] = {}
        self._leaving: list[Target] = []
        self._recorder = Recorder(core)
        self._serving: set[asyncio.Task[None]] = set()
        self._served: set[int] = set()
        self._unsure = False  # whether a claim may have been made whose answer was lost
        self._stopping = False
        self._looked = 0.0
        self._offers = Offers(core.name, self._targets, self._start)
        self.offer = self._offers.offer
        self.delivered = 0
        self.failed = 0

    async def run(self) -> None:
        """Deliver until cancelled; then lanes are given back as far as they got."""
        self._stopping = False
        recorder = asyncio.create_task(self._recorder.run(), name="delivery-recorder")
        try:
            while True:
                started = time.monotonic()
                try:
                    await self._whole_round()
                except AWAY as error:
                    _log.warning("database_away", error=type(error).__name__)
                    await asyncio.sleep(0.5)
                await self._core.bells.wait("deliver", POLL_S)
                await asyncio.sleep(started + PACE_S - time.monotonic())
        finally:
            await self._drain()
            recorder.cancel()
            for target in [*self._targets.values(), *self._leaving]:
                await target.fetcher.close()

    async def _whole_round(self) -> None:
        """One round, which is not left half done: a claim that nobody serves would hold its lanes."""
        round_ = asyncio.ensure_future(self._round())
        try:
            await asyncio.shield(round_)
        except asyncio.CancelledError:
            await asyncio.wait([round_], timeout=ROUND_S)
            round_.cancel()
            raise

    async def _drain(self) -> None:
        """Let requests under way end, for at most as long as the shutdown allows; give lanes back."""
        self._stopping = self._offers.stopped = True
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=DRAIN_S)
            for task in late:
                task.cancel()
        await self._recorder.written(WRITTEN_S)
        with contextlib.suppress(TimeoutError, *AWAY):
            async with asyncio.timeout(ROUND_S):
                await self._release_lost()

    async def _release_lost(self) -> None:
        """Give back what may be ours and is not served, if there may be such a thing."""
        async with self._offers.none(ROUND_S) as sure:
            if not sure:  # what that transaction takes looks just the same: the next round sees
                self._offers.unsure = True
                return
            if self._unsure or self._offers.unsure:
                await release_lost(self._core.db, self._core.name, sorted(self._served))
            self._unsure = self._offers.unsure = False

    async def _round(self) -> None:
        if self._unsure or self._offers.unsure:
            await self._release_lost()
        self._unsure = True
        await self._claim()
        self._unsure = False
        self._offers.stopped = self._stopping  # which queues and destinations rest is known now

    async def _claim(self) -> None:
        await self._reconcile()
        if time.monotonic() - self._looked > POLL_S:
            await self._look_at_breakers()
        room = {name: target.room for name, target in self._targets.items() if target.room}
        if not room:
            return
        asked = time.monotonic()
        lanes = await claim_lanes(self._core.db, self._core.name, room, EACH, self._offers.rules)
        failpoint("delivery.claimed")
        claimed = Counter(lane.destination for lane in lanes)
        for name, free in room.items():
            self._targets[name].full = claimed[name] >= free
        for lane in lanes:
            self._start(self._targets[lane.destination], lane, asked)

    async def _reconcile(self) -> None:
        """Serve the destinations that are configured now."""
        plans = {n: p for n, p in self._core.settings.destinations.items() if p.enabled}
        for name in [n for n, target in self._targets.items() if plans.get(n) != target.plan]:
            target = self._targets.pop(name)
            target.leaving = True
            self._leaving.append(target)
        for target in [one for one in self._leaving if not one.busy]:
            self._leaving.remove(target)
            await target.fetcher.close()
        added = [name for name in plans if name not in self._targets]
        if added:
            await ensure_destinations(self._core.db, added)
            for name in added:
                self._targets[name] = Target(plans[name])
            self._looked = 0.0
        for target in self._targets.values():
            target.stand_in = self._targets.get(target.plan.fail_over or "")

    # -- breakers ------------------------------------------------------------------------------------

    async def _look_at_breakers(self) -> None:
        known = await breakers(self._core.db)
        self._offers.rules = await self._queue_rules()
        self._looked = time.monotonic()
        await self._tell_successes()
        for name, target in self._targets.items():
            breaker = known.get(name)
            was_open, target.open = target.open, bool(breaker and breaker.state != "closed")
            target.is_known = True
            if was_open and not target.open:
                target.allowed = 1  # another process heard it answer: start slowly here too
                self._core.bells.ring("deliver")
            if breaker and breaker.state == "open" and (breaker.open_s or 0) > GIVE_UP_S:
                await self._give_up(target, f"nothing but failures for {GIVE_UP_S / 86400:g} days")
            elif breaker and breaker.state == "open" and (breaker.probe_in_s or 0) <= 0:
                await self._probe(target, breaker)

    async def _give_up(self, target: Target, reason: str) -> None:
        """Switch the destination off, loudly, until a person restores it; what waits stays."""
        await disable(self._core.db, target.plan.target.name, reason)
        target.open = True
        _log.error("destination_disabled", destination=target.plan.target.name, reason=reason)

    async def _queue_rules(self) -> QueueRules:
        queues = self._core.settings.queues
        bulk = frozenset(name for name, one in queues.items() if one.priority == "bulk")
        return QueueRules(frozenset(await queue_rows.paused(self._core.db)), bulk)

    async def _tell_successes(self) -> None:
        """For `hub status`: who took something since the last look."""
        well = [name for name, target in self._targets.items() if target.taken]
        for name in well:
            self._targets[name].taken = False
        if well:
            await note_successes(self._core.db, well)

    async def _probe(self, target: Target, breaker: Breaker) -> None:
        pause = max(probe_pause(3, breaker.open_s or 0), target.plan.timeout_s)
        probes = await claim_probe(self._core.db, breaker.name, pause)
        if probes is None:
            return
        asked = time.monotonic()
        one = {breaker.name: 1}
        lanes = await claim_lanes(self._core.db, self._core.name, one, EACH, self._offers.rules)
        if not lanes:
            await close_breaker(
                self._core.db, breaker.name
            )  # nothing waits: the next event will tell
            return
        for lane in lanes:
            self._start(target, lane, asked, probe=(probes, breaker.open_s or 0.0))

    async def _fault(
        self, target: Target, outcome: Outcome, probe: tuple[int, float] | None
    ) -> None:
        """The destination is not well: after three in a row, or at a probe, its breaker opens."""
        target.failures += 1
        name = target.plan.target.name
        if outcome.status == 410:
            await self._give_up(target, "answered 410 Gone")
        elif probe is not None or outcome.retry_after_s or target.failures >= OPEN_AFTER:
            probes, open_s = probe or (0, 0.0)
            pause = outcome.retry_after_s or probe_pause(probes, open_s)
            if not target.open or probe is not None:
                await open_breaker(self._core.db, name, outcome.error, pause)
                _log.warning("breaker_open", destination=name, error=outcome.error, pause_s=pause)
            target.open = True
            target.allowed = 1
            asyncio.get_running_loop().call_later(pause + 0.02, self._look_again)

    def _look_again(self) -> None:
        self._looked = 0.0
        self._core.bells.ring("deliver")

    # -- lanes ---------------------------------------------------------------------------------------

    def _start(
        self,
        target: Target,
        lane: ClaimedLane,
        asked: float,
        probe: tuple[int, float] | None = None,
    ) -> None:
        target.busy += 1
        self._served.add(lane.id)
        task = asyncio.create_task(self._serve(target, lane, probe, asked), name=f"lane-{lane.id}")
        self._serving.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._serving.discard(task)
            self._served.discard(lane.id)
            target.busy -= 1
            if target.full:  # more may wait than there was room for
                self._core.bells.ring_here("deliver")
            if not task.cancelled() and task.exception() is not None:
                _log.error("lane_failed", lane=lane.id, error=repr(task.exception()))

        task.add_done_callback(ended)

    async def _serve(
        self, target: Target, lane: ClaimedLane, probe: tuple[int, float] | None, renewed: float
    ) -> None:
        """Send the heads of *lane* in order, and give it back; it is ours since *renewed* at least."""
        pending: Done | None = None
        told: asyncio.Future[bool] | None = None
        try:
            for head in lane.heads:
                down = target.open and probe is None and not target.stands_in
                if self._stopping or target.leaving or down:
                    break
                if told is not None and told.done():
                    told.result()  # raises when the lane is lost
                if time.monotonic() - renewed > RENEW_AFTER_S:
                    started = time.monotonic()
                    await self._recorder.add(Done(lane.id, lane.epoch, None, (), False))
                    renewed = started
                taker = target if probe is not None else target.taker
                outcome = await taker.post(lane, head, self._core)
                if not outcome.ok:
                    await self._failed(taker, lane, head, outcome, probe)
                    return
                self.delivered += 1
                taker.succeeded()
                if probe is not None:
                    await self._recovered(target)
                    probe = None
                failpoint("delivery.posted")
                last = head is lane.heads[-1]
                pending = Done(lane.id, lane.epoch, head.n, (head.id,), last)
                told = self._recorder.add(pending)
                if last and await told:
                    self._core.bells.ring("deliver")
            if pending is None or not pending.release:
                await self._release(lane)
        except Lost:
            _log.info("lane_lost", lane=lane.id)
        except AWAY as error:  # the database, or the store of a connector's files
            _log.warning("store_away", error=type(error).__name__)
            await self._release(lane, FAULT_PAUSE_S)
        except asyncio.CancelledError:
            self._recorder.add(Done(lane.id, lane.epoch, None, (), True))
            raise

    async def _recovered(self, target: Target) -> None:
        await close_breaker(self._core.db, target.plan.target.name)
        target.open = False
        target.allowed = 1
        _log.info("breaker_closed", destination=target.plan.target.name)
        self._core.bells.ring("deliver")

    async def _release(self, lane: ClaimedLane, pause_s: float = 0.0) -> None:
        if await self._recorder.add(Done(lane.id, lane.epoch, None, (), True, pause_s)):
            self._core.bells.ring("deliver")

    async def _failed(
        self,
        target: Target,
        lane: ClaimedLane,
        head: Head,
        outcome: Outcome,
        probe: tuple[int, float] | None,
    ) -> None:
        self.failed += 1
        failure = Failure(
            head.id, outcome.status, outcome.error, outcome.duration_ms, outcome.answer
        )
        await note_failures(self._core.db, [failure])
        if target.leaving:
            await self._release(lane)
            return
        if outcome.fault or target.same_refusal(lane.id, outcome.status):
            await self._fault(target, outcome, probe)
            await self._release(lane, 0.0 if target.open else FAULT_PAUSE_S)
            return
        if probe is not None:  # it answers; what it refuses is the one message
            await self._recovered(target)
        if outcome.status is None and outcome.retry_after_s is not None:
            await self._release(lane, outcome.retry_after_s)
            return
        tries = await refusals(self._core.db, head.id, sorted(FAULTS))
        if outcome.parks:
            await self._park(lane, head, outcome.error)
        elif tries >= TRIES:
            await self._park(lane, head, f"{outcome.error} {tries} times")
        else:
            await self._release(lane, BETWEEN_TRIES_S[tries])

    async def _park(self, lane: ClaimedLane, head: Head, reason: str) -> None:
        """Set *head* aside as a dead letter, and let the lane go on with a ``delivery.gap``."""
        if await self._give_way(lane, head, reason):
            await self._release(lane)

    async def _give_way(self, lane: ClaimedLane, head: Head, reason: str) -> bool:
        gap = None
        if head.type != "delivery.gap":
            data = {
                "event_id": show_id("evt", head.event_id),
                "event_type": head.type,
                "delivery_id": show_id("dlv", head.id),
                "reason": reason,
            }
            body = {"type": "delivery.gap", "timestamp": self._core.clock(), "data": data}
            gap = (new_id(), msgspec.json.encode(body))

        async def work(tx: Transaction) -> bool:
            return await give_way(tx, lane, head, reason, gap)

        ours = await self._core.db.transaction(work)
        if ours:
            _log.error("delivery_parked", destination=lane.destination, reason=reason)
        return ours

    async def expire(self) -> int:
        """Park what has waited longer than the horizon, breaker or not; in how many lanes.

        Runs as a job too, beside no deliverer.
        """
        hours = self._core.settings.hub.horizon_hours
        lanes = await expired_lanes(
            self._core.db, self._core.name, hours * 3600, EXPIRE_LANES, EXPIRE_EACH
        )
        for lane in lanes:
            for head in lane.heads:
                if not await self._give_way(lane, head, f"not delivered in {hours:g} h"):
                    break
            else:
                await record(self._core.db, [Done(lane.id, lane.epoch, None, (), True)])
        if lanes:
            self._core.bells.ring("deliver")
        return len(lanes)


async def replay(core: Core, deliveries: Sequence[UUID]) -> int:
    """Put dead letters at the end of their lanes again, with the same ``webhook-id``; how many."""

    async def work(tx: Transaction) -> int:
        return await append_again(tx, deliveries)

    count = await core.db.transaction(work)
    if count:
        core.bells.ring("deliver")
    return count
