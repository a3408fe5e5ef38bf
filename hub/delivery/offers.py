"""Lanes that go from the transaction which fills them straight to who delivers, with no claim between."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count

from hub.delivery.target import Target
from hub.failpoints import failpoint
from hub.store.lanes import ClaimedLane, QueueRules

__all__ = ["Offer", "Offers"]

Start = Callable[[Target, ClaimedLane, float], None]


class Offer:
    """What one transaction may hand over."""

    def __init__(self, offers: "Offers", holder: str) -> None:
        self._offers = offers
        self.holder = holder
        self.kept: list[Target] = []
        """A destination for each lane that it has room for."""
        self.lanes: list[ClaimedLane] = []

    def anew(self) -> None:
        """The transaction begins: what an earlier try of it took was undone, and is nobody's."""
        for target in self.kept:
            target.promised -= 1
        self.kept, self.lanes = [], []

    def wants(self, destination: str, queue: str | None) -> bool:
        """Whether there is room for one more lane of *destination*; True keeps that room."""
        target = self._offers.target_of(destination, queue)
        if target is None:
            return False
        target.promised += 1
        self.kept.append(target)
        return True

    def hand(self, lanes: Sequence[ClaimedLane]) -> None:
        """These were taken in the transaction."""
        self.lanes += lanes


class Offers:
    """What a deliverer has room for; *start* begins to serve a lane that is ours since a time."""

    def __init__(self, name: str, targets: Mapping[str, Target], start: Start) -> None:
        self._name = name
        self._targets = targets
        self._start = start
        self._numbers = count(1)
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._shut = 0
        self.stopped = True
        self.unsure = False
        """Whether lanes may be held that nobody serves: the answer to a commit was lost."""
        self.rules = QueueRules()

    @property
    def closed(self) -> bool:
        """Whether nothing is taken now: nobody would serve it, or what nobody serves is given back. What was
        taken before is served all the same unless *stopped*."""
        return self.stopped or self._shut > 0

    def target_of(self, destination: str, queue: str | None) -> Target | None:
        """The destination when it has room and nothing older waits for it; None: leave it to a claim."""
        target = self._targets.get(destination)
        if self.closed or target is None or not target.is_known:
            return None
        if target.open or target.leaving or target.full:
            return None
        if queue in self.rules.paused or queue in self.rules.bulk:
            return None
        if target.room <= 0:
            target.full = True
            return None
        return target

    @contextmanager
    def offer(self) -> Iterator[Offer]:
        """For the time of one transaction: what it hands over is served when it ends well."""
        one = Offer(self, f"{self._name}/{next(self._numbers)}")
        since = time.monotonic()
        self._under_way += 1
        self._quiet.clear()
        try:
            yield one
        except BaseException:
            self.unsure = self.unsure or bool(one.lanes)
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()
            for target in one.kept:
                target.promised -= 1
        if one.lanes:
            failpoint("delivery.claimed")
        if self.stopped:
            self.unsure = self.unsure or bool(one.lanes)
            return
        targets = {target.plan.target.name: target for target in one.kept}
        for lane in one.lanes:
            self._start(targets[lane.destination], lane, since)

    @asynccontextmanager
    async def none(self, within_s: float) -> AsyncIterator[bool]:
        """For this time nothing is taken. False: a transaction that may take something is still under way
        after *within_s*; it may wait for locks, or for a database that does not answer."""
        self._shut += 1
        sure = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    sure = await self._quiet.wait()
            yield sure
        finally:
            self._shut -= 1
