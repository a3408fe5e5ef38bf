"""A helpdesk that is down for an hour and ill in every way, and what others notice of it."""

import asyncio
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
from rig.ground import Desk, Ground, configuration, plain_url
from rig.moody import MOODS
from rig.process import Process

from bench.events import Made, fill, made_events
from bench.field import SHOP, Field
from hub.bells import Bells
from hub.settings import Settings, load
from hub.store import Database

Figures = dict[str, Any]

WAITING = 10_000
CONVERSATIONS = 1000
RATE = 100
"""Events a second for the helpdesk that is well."""
CYCLES = 2
FIRST_S, ALL_S = 120.0, 120.0
"""So long is waited for the first delivery and for all of them; the targets are shorter."""
OTHERS_FROM = 500_000


async def outage(ground: Ground, seconds: float) -> Figures:
    """An hour's outage (the clock is moved), every illness, 10,000 events that wait; the neighbours' p99."""
    async with Field(ground, "outage") as field:
        ill = await field.speaker("ill", "bench.ill")
        port = int(await ill.hear())
        field.config.write_text(_configured(field, port))
        await field.worker()
        settings = load(field.config)
        db = await Database.open(field.database_url, pool=2)
        raw = await asyncpg.connect(plain_url(field.database_url))
        bells = Bells(ground.servers.redis_url)
        try:
            await bells.start()
            await _known(raw)
            trial = _Trial(field, ill, _Feed(db, settings, bells), raw)
            neighbours = await trial.neighbours(max(1.0, seconds / (2 * CYCLES * len(MOODS))))
            return neighbours | await trial.comes_back()
        finally:
            await bells.stop()
            await raw.close()
            await db.close()


def _configured(field: Field, port: int) -> str:
    """Two helpdesks with a queue each; the ill one as it is configured by default."""
    url = f"http://127.0.0.1:{field.port}/webhook"
    well = Desk("well", url, field.secret, (SHOP,), ("message.received",))
    ill = Desk(
        "ill", f"http://127.0.0.1:{port}/hook", field.secret, ("other",), ("message.received",)
    )
    return configuration([field.shop], [well, ill], {"log_level": "warning"}) + "[queues.other]\n"


async def _known(raw: asyncpg.Connection) -> None:
    """Wait until the worker has made the rows of the destinations."""
    while await raw.fetchval("SELECT count(*) FROM destinations") < 2:
        await asyncio.sleep(0.1)


class _Feed(NamedTuple):
    """Where events are made."""

    db: Database
    settings: Settings
    bells: Bells

    async def publish(self, made: Sequence[Made], queue: str) -> float:
        """Queue *made* for the helpdesk of *queue*; when that was committed."""
        await fill(self.db, self.settings, made, queue=queue)
        self.bells.ring("deliver")
        return time.monotonic()


class _Trial:
    """The two helpdesks, and a worker that serves both."""

    def __init__(self, field: Field, ill: Process, feed: _Feed, raw: asyncpg.Connection) -> None:
        self._field, self._ill, self._feed, self._raw = field, ill, feed, raw

    async def _be(self, mood: str) -> None:
        await self._ill.ask(f"mood {mood}")

    # -- neighbours --------------------------------------------------------------------------------

    async def neighbours(self, each_s: float) -> Figures:
        """The p99 of the helpdesk that is well, in turn without and with the ill one, for every illness.

        Without: the ill one is switched off, and asked nothing. With: its breaker is closed, and it has
        10,000 events; so each stretch has its first faults, its time-outs and its probes.
        """
        await self._switch("disabled")
        await self._feed.publish(made_events(1, WAITING, CONVERSATIONS), "other")
        await self._stretch(each_s)  # warms up
        took: dict[str, list[list[float]]] = {"without": [], "with": []}
        for _ in range(CYCLES):
            for mood in MOODS:
                await self._be(mood)
                for side in ("without", "with"):
                    await self._switch("closed" if side == "with" else "disabled")
                    took[side].append(await self._stretch(each_s))
        ratios = [
            _p99(one) / _p99(other)
            for other, one in zip(took["without"], took["with"], strict=True)
        ]
        pooled = {
            side: _p99([one for part in parts for one in part]) for side, parts in took.items()
        }
        return {
            "outage_others_p99_ratio": round(statistics.median(ratios), 3),
            "outage_others_p99_ratios": [round(one, 3) for one in ratios],
            "outage_others_p99_ms": {side: round(1000 * one, 1) for side, one in pooled.items()},
        }

    async def _switch(self, state: str) -> None:
        await self._raw.execute(
            "UPDATE destinations SET state = $1, opened_at = NULL, probes = 0, next_probe_at = NULL "
            "WHERE name = 'ill'",
            state,
        )
        await asyncio.sleep(1.2)  # workers look once a second

    async def _stretch(self, seconds: float) -> list[float]:
        """How long each event took to the helpdesk that is well, from its commit, at a steady rate."""
        count = int(RATE * seconds)
        first = OTHERS_FROM + self._field.numbers(count)
        made = made_events(first, count, CONVERSATIONS)
        started = time.monotonic()
        sent: dict[int, float] = {}
        for place, one in enumerate(made):
            await asyncio.sleep(started + place / RATE - time.monotonic())
            sent[first + place] = await self._feed.publish([one], SHOP)
        received = await self._field.drained(count)
        return [max(0.0, one.at - sent[one.number]) for one in received]

    # -- coming back -------------------------------------------------------------------------------

    async def comes_back(self) -> Figures:
        """After an hour the ill helpdesk answers again, just when a probe has begun to hang."""
        await self._be("slow")
        await self._switch("closed")
        while (
            await self._raw.fetchval("SELECT state FROM destinations WHERE name = 'ill'") != "open"
        ):
            await asyncio.sleep(0.2)
        tried = json.loads(await self._ill.ask("count"))
        await self._raw.execute(
            "UPDATE destinations SET opened_at = clock_timestamp() - interval '1 hour', probes = 120, "
            "next_probe_at = clock_timestamp() WHERE name = 'ill'"
        )
        while json.loads(await self._ill.ask("count")) == tried:
            await asyncio.sleep(0.05)
        await self._be("well")
        back = time.monotonic()
        taken = await self._taken(1, FIRST_S)
        first = min(one["at"] for one in taken)
        taken = await self._taken(WAITING, ALL_S)
        _check(json.loads(await self._ill.ask("report")))
        last = max(one["at"] for one in taken)
        return {
            "outage_first_s": round(first - back, 1),
            "outage_10000_s": round(last - first, 1),
            "outage_probed_s": round(last - back, 1),
        }

    async def _taken(self, count: int, seconds: float) -> list[Any]:
        deadline = time.monotonic() + seconds
        while True:
            report = json.loads(await self._ill.ask("taken"))
            if len(report) >= count:
                return list(report)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(report)} of {count} were delivered")
            await asyncio.sleep(0.2)


def _p99(values: Sequence[float]) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))]


def _check(came: Sequence[Any]) -> None:
    """Every event was taken, in order within its conversation; a repeat has the same id.

    Raises:
        RuntimeError: not so.
    """
    taken = {(one["lane"], one["n"]) for one in came if one["mood"] == "well"}
    if len(taken) != WAITING:
        raise RuntimeError(f"{len(taken)} of {WAITING} events were taken")
    lanes: dict[str, list[int]] = defaultdict(list)
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in came:
        lanes[one["lane"]].append(one["n"])
        ids[one["lane"], one["n"]].add(one["event"])
    if any(numbers != sorted(numbers) for numbers in lanes.values()):
        raise RuntimeError("events came out of order")
    if any(len(seen) > 1 for seen in ids.values()):
        raise RuntimeError("a repeat came with another id")
