"""Requests that may be made twice and take effect once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hub import idempotency
from hub.idempotency import Answer, IdempotencyMismatch, StillRunning, once
from hub.ids import new_id
from hub.store import Database, Transaction

TOKEN = UUID(int=1)
Work = Callable[[Transaction], Awaitable[Answer]]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=24)
    yield database
    await database.close()


def effect(
    answer: Answer | None = None,
    *,
    gate: asyncio.Event | None = None,
    begun: asyncio.Event | None = None,
) -> Work:
    """Work with an effect that can be counted, and a new answer each time; it waits at *gate*."""

    async def work(tx: Transaction) -> Answer:
        await tx.fetch("INSERT INTO contacts (id, created_at) VALUES ($1, now())", own := new_id())
        if begun is not None:
            begun.set()
        if gate is not None:
            await gate.wait()
        return answer or Answer(202, str(own).encode())

    return work


async def effects(db: Database) -> int:
    return len(await db.fetch("SELECT FROM contacts"))


async def test_the_same_request_gets_the_same_bytes(db: Database) -> None:
    """One effect, and the repeat says that it is one."""
    first = await once(db, TOKEN, "k", "hash", effect())
    second = await once(db, TOKEN, "k", "hash", effect())

    assert (second.body, first.replayed, second.replayed) == (first.body, False, True)
    assert await effects(db) == 1


async def test_another_request_with_the_same_key_is_refused(db: Database) -> None:
    """A client with a bug must notice."""
    await once(db, TOKEN, "k", "hash", effect())

    with pytest.raises(IdempotencyMismatch):
        await once(db, TOKEN, "k", "other", effect())
    assert await effects(db) == 1


async def test_keys_belong_to_their_token(db: Database) -> None:
    """Two helpdesks may use the same key."""
    await once(db, TOKEN, "k", "hash", effect())
    other = await once(db, UUID(int=2), "k", "other", effect())

    assert not other.replayed


async def test_twins_take_effect_once(db: Database) -> None:
    """Twenty at the same moment: one works, the others wait and get its answer."""
    answers = await asyncio.gather(*[once(db, TOKEN, "k", "hash", effect()) for _ in range(20)])

    assert len({answer.body for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await effects(db) == 1


async def test_a_twin_that_takes_too_long_is_not_waited_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears "still running", and gets the answer when it asks again."""
    monkeypatch.setattr(idempotency, "TWIN_WAITS_MS", 200)
    gate, begun = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(once(db, TOKEN, "k", "hash", effect(gate=gate, begun=begun)))
    await begun.wait()
    with pytest.raises(StillRunning):
        await once(db, TOKEN, "k", "hash", effect())
    gate.set()

    assert (await once(db, TOKEN, "k", "hash", effect())).body == (await first).body
    assert await effects(db) == 1


async def test_a_request_that_failed_leaves_its_key_free(db: Database) -> None:
    """Neither an exception nor an answer of 400 or more burns it, and both undo the effect."""

    async def breaks(tx: Transaction) -> Answer:
        await effect()(tx)
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        await once(db, TOKEN, "k", "hash", breaks)
    refused = await once(db, TOKEN, "k", "other", effect(Answer(422, b"no")))
    assert (refused.status, await effects(db)) == (422, 0)

    assert (await once(db, TOKEN, "k", "hash", effect())).status == 202
    assert await effects(db) == 1


async def test_a_key_counts_for_a_day(db: Database) -> None:
    """After that it may be used again, for something else."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    await once(db, TOKEN, "k", "hash", effect(), clock=lambda: start)
    almost = start + timedelta(hours=23, minutes=59)
    assert (await once(db, TOKEN, "k", "hash", effect(), clock=lambda: almost)).replayed
    later = start + timedelta(hours=24, minutes=1)
    again = await once(db, TOKEN, "k", "other", effect(), clock=lambda: later)

    assert not again.replayed
