"""The measures of the helpdesk side: events out, replies in; each against plain aiohttp."""

import asyncio
import json
import statistics
from typing import Any

import asyncpg
from rig.ground import Ground, new_token, plain_url
from rig.process import Process

from bench.events import fill, made_events
from bench.field import Field, Received, Usage, check_order
from hub.ids import show_id
from hub.settings import Settings, load
from hub.store import Database

Figures = dict[str, Any]

CONVERSATIONS = 1000
RUNS = 4
PAIRS = 9
SENDERS = 64
ALL_EVENTS: tuple[str, ...] = ()


# -- (e) ------------------------------------------------------------------------------------------------


async def deliveries(ground: Ground, seconds: float) -> Figures:
    """Waiting events of 1,000 conversations to one fast receiver, against a loop that only posts."""
    async with Field(ground, "deliveries") as field:
        worker = await field.worker()
        bare = await field.speaker("bare", "bench.bare", "calls")
        settings = load(field.config)
        db = await Database.open(field.database_url, pool=2)
        try:
            usage = Usage(worker=worker.pid, bare=bare.pid, postgres=ground.postgres.pid)
            count = max(CONVERSATIONS, int(seconds / (2 * RUNS) * 2500))
            rates: list[list[float]] = [[], []]
            for run in range(RUNS + 1):
                for which in (0, 1) if run % 2 else (1, 0):
                    if which == 0:
                        rate = await _delivered(field, db, settings, count)
                    else:
                        rate = await _posted(field, bare, count)
                    if run:  # the first one warms up
                        rates[which].append(rate)
        finally:
            await db.close()
        ratios = [one / other for one, other in zip(*rates, strict=True)]
        return {
            "deliveries_ratio": round(statistics.median(ratios), 3),
            "deliveries_per_s": round(statistics.median(rates[0])),
            "deliveries_bare_per_s": round(statistics.median(rates[1])),
            "deliveries_ratios": [round(one, 3) for one in ratios],
            "deliveries_cpu_s": usage.spent(),
        }


async def _delivered(field: Field, db: Database, settings: Settings, count: int) -> float:
    """Deliveries a second by a worker, from the first arrival to the last."""
    await fill(db, settings, made_events(field.numbers(count), count, CONVERSATIONS))
    received = await field.drained(count)
    check_order(received, count)
    return _rate(received)


async def _posted(field: Field, bare: Any, count: int) -> float:
    """Calls a second by the bare loop, from the first arrival to the last."""
    wanted = {
        "first": field.numbers(count),
        "count": count,
        "conversations": CONVERSATIONS,
    }
    await bare.ask(json.dumps(wanted), 600)
    received = await field.drained(count)
    return _rate(received)


def _rate(received: list[Received]) -> float:
    times = [one.at for one in received]
    return (len(times) - 1) / (max(times) - min(times))


# -- (f) ------------------------------------------------------------------------------------------------


async def replies(ground: Ground, seconds: float) -> Figures:
    """Replies accepted by the API, on disk with their calls, against a handler that only answers."""
    async with Field(ground, "replies", events=ALL_EVENTS) as field:
        web, port = await field.web()
        conversations = await _meet(field, port)
        bare, bare_port = await field.web("bench.bare", "answers")
        token = await new_token(field.database_url)
        sides = [await Side.made(field, one, token, conversations) for one in (port, bare_port)]
        usage = Usage(web=web.pid, bare=bare.pid, postgres=ground.postgres.pid)
        each = max(0.2, seconds / (2 * PAIRS))
        rates: list[list[float]] = [[], []]
        p99: list[float] = []
        for pair in range(PAIRS + 1):
            for which in (0, 1) if pair % 2 else (1, 0):
                run = await sides[which].post(each)
                if pair:  # the first one warms up
                    rates[which].append(run["sent"] / run["seconds"])
                    p99 += [run["p99_ms"]] * (which == 0)
        await _check_stored(field, sides[0].answered)
        ratios = [one / other for one, other in zip(*rates, strict=True)]
        return {
            "replies_ratio": round(statistics.median(ratios), 3),
            "replies_per_s": round(statistics.median(rates[0])),
            "replies_bare_per_s": round(statistics.median(rates[1])),
            "replies_ratios": [round(one, 3) for one in ratios],
            "replies_p99_ms": round(statistics.median(p99), 1),
            "replies_cpu_s": usage.spent(),
        }


class Side:
    """A helpdesk's program that posts to one server."""

    def __init__(self, field: Field, process: Process) -> None:
        self._field = field
        self._process = process
        self.answered = 0

    @classmethod
    async def made(cls, field: Field, port: int, token: str, conversations: list[str]) -> "Side":
        """One that posts to *port*."""
        process = await field.speaker(f"agents-{port}", "bench.agents")
        spec = {"port": port, "token": token, "conversations": conversations}
        await process.ask(json.dumps(spec))
        return cls(field, process)

    async def post(self, seconds: float) -> dict[str, Any]:
        """Post for *seconds*.

        Raises:
            RuntimeError: something was not accepted.
        """
        count = int(seconds * 12_000) + 100
        wanted = {"first": self._field.numbers(count), "count": count, "seconds": seconds}
        run: dict[str, Any] = json.loads(await self._process.ask(json.dumps(wanted), 600))
        if set(run["statuses"]) != {"202"}:
            raise RuntimeError(f"not every reply was accepted: {run['statuses']}")
        self.answered += run["sent"]
        return run


async def _meet(field: Field, port: int) -> list[str]:
    """The conversations of customers who wrote once, so that each may be answered; no worker runs then."""
    worker = await field.worker()
    load_ = await field.load(port)
    await load_.prepare(CONVERSATIONS, CONVERSATIONS)
    await load_.closed(SENDERS)
    found = await _filed(field.database_url)
    await worker.terminate()
    return found


async def _filed(url: str) -> list[str]:
    db = await asyncpg.connect(plain_url(url))
    try:
        while await db.fetchval("SELECT count(*) FROM messages") < CONVERSATIONS:
            await asyncio.sleep(0.1)
        rows = await db.fetch("SELECT id FROM conversations ORDER BY id")
    finally:
        await db.close()
    return [show_id("cnv", row["id"]) for row in rows]


async def _check_stored(field: Field, accepted: int) -> None:
    """What was answered 202 is stored, once each, with its call and its place in the lane.

    Raises:
        RuntimeError: it is not.
    """
    db = await asyncpg.connect(plain_url(field.database_url))
    try:
        row = await db.fetchrow(
            "SELECT (SELECT count(*) FROM messages WHERE direction = 'outbound') AS messages, "
            "(SELECT count(*) FROM drafts) AS drafts, "
            "(SELECT count(*) FROM idempotency_keys WHERE status = 202) AS keys, "
            "(SELECT sum(wanted) FROM lanes WHERE kind = 'reply') AS wanted, "
            "(SELECT count(*) FROM events WHERE type = 'message.status') AS events, "
            "(SELECT count(*) FROM deliveries d JOIN events e ON e.id = d.event_id "
            "WHERE e.type = 'message.status') AS deliveries"
        )
    finally:
        await db.close()
    wrong = {name: value for name, value in dict(row).items() if value != accepted}
    if wrong:
        raise RuntimeError(f"{accepted} replies were accepted, but stored are {wrong}")
