"""The ledger against a real database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hub import ledger
from hub.ids import new_id
from hub.model import Allowance, ReplyState
from hub.store import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=4)
    yield database
    await database.close()


def allowance(
    key: str,
    *,
    opened: datetime = NOW,
    hours: float = 48,
    remaining: int | None = 5,
    group: str | None = None,
) -> Allowance:
    return Allowance(
        trigger="message",
        key=key,
        opened_at=opened,
        until=opened + timedelta(hours=hours),
        remaining=remaining,
        group=group,
    )


async def enter(db: Database, conversation: UUID, *allowances: Allowance) -> None:
    await db.transaction(
        lambda tx: ledger.open_allowances(tx, [(conversation, "shop", one) for one in allowances])
    )


async def reserve(db: Database, conversation: UUID, cost: int = 1) -> UUID | None:
    taken = await take(db, conversation, cost)
    return taken.id if taken else None


async def take(db: Database, conversation: UUID, cost: int = 1) -> ledger.Reserved | None:
    return await db.transaction(lambda tx: ledger.reserve(tx, conversation, cost, NOW))


async def keys(db: Database, conversation: UUID) -> list[tuple[str, int | None]]:
    known = await ledger.known(db, [conversation])
    return [(one.key, one.remaining) for one in known.get(conversation, ())]


async def test_a_newer_allowance_of_a_group_closes_the_older_one(db: Database) -> None:
    """Each message of a WeChat user opens a fresh five, and they do not add up."""
    conversation = new_id()
    await enter(db, conversation, allowance("1", group="message"))
    await enter(db, conversation, allowance("2", opened=NOW + timedelta(hours=1), group="message"))

    assert await keys(db, conversation) == [("2", 5)]


async def test_an_older_allowance_that_comes_late_does_not_close_the_newer_one(
    db: Database,
) -> None:
    """Messages may be filed out of order; the newest trigger counts."""
    conversation = new_id()
    await enter(db, conversation, allowance("2", opened=NOW + timedelta(hours=1), group="message"))
    await enter(db, conversation, allowance("1", group="message"))

    assert await keys(db, conversation) == [("2", 5)]


async def test_a_trigger_counts_once(db: Database) -> None:
    """Filing a message again does not give back what was used."""
    conversation = new_id()
    await enter(db, conversation, allowance("1"))
    await reserve(db, conversation)
    await enter(db, conversation, allowance("1"))

    assert await keys(db, conversation) == [("1", 4)]


async def test_two_allowances_of_one_group_in_one_batch(db: Database) -> None:
    """The newest of a batch stays."""
    conversation = new_id()
    newer = allowance("2", opened=NOW + timedelta(seconds=1), group="message")
    await enter(db, conversation, newer, allowance("1", group="message"))

    assert await keys(db, conversation) == [("2", 5)]


async def test_the_allowance_that_ends_first_is_used_first(db: Database) -> None:
    """What would be lost soonest is spent first, then the next."""
    conversation = new_id()
    await enter(
        db, conversation, allowance("late", hours=48), allowance("soon", hours=1, remaining=1)
    )
    await reserve(db, conversation)
    await reserve(db, conversation)

    assert await keys(db, conversation) == [("soon", 0), ("late", 4)]


async def test_a_count_never_falls_below_nought(db: Database) -> None:
    """Twenty who reserve at the same time get five between them."""
    conversation = new_id()
    await enter(db, conversation, allowance("1"))
    got = await asyncio.gather(*[reserve(db, conversation) for _ in range(20)])

    assert len([one for one in got if one is not None]) == 5
    assert await keys(db, conversation) == [("1", 0)]


async def test_an_allowance_that_is_over_gives_nothing(db: Database) -> None:
    """The window counts, not only the number."""
    conversation = new_id()
    await enter(db, conversation, allowance("1", opened=NOW - timedelta(hours=49)))

    assert await reserve(db, conversation) is None


async def test_an_allowance_without_a_count_has_no_end_of_replies(db: Database) -> None:
    """A platform that sets a window only."""
    conversation = new_id()
    await enter(db, conversation, allowance("1", remaining=None))
    first = await reserve(db, conversation)

    assert first is not None
    assert await keys(db, conversation) == [("1", None)]


async def test_a_refund_gives_back_what_was_taken(db: Database) -> None:
    """Proven not sent: the allowance is whole again."""
    conversation = new_id()
    await enter(db, conversation, allowance("1"))
    taken = await reserve(db, conversation, 2)
    assert taken is not None
    await db.transaction(lambda tx: ledger.refund(tx, taken, 2))

    assert await keys(db, conversation) == [("1", 5)]


async def test_the_reply_state_of_many_conversations(db: Database) -> None:
    """What a message shows under ``reply``."""
    limited, free, unknown = new_id(), new_id(), new_id()
    await enter(db, limited, allowance("1"))
    states = await ledger.reply_states(db, {limited: True, free: False, unknown: True}, NOW)

    assert states == {
        limited: ReplyState(NOW + timedelta(hours=48), 5, ("free",)),
        free: ReplyState(None, None, ("free",)),
        unknown: ReplyState(None, 0, ()),
    }


async def test_turns_are_given_once(db: Database) -> None:
    """A hundred who speak under one allowance at the same moment have a hundred numbers."""
    conversation = new_id()
    await enter(db, conversation, allowance("1", remaining=100))
    got = await asyncio.gather(*[take(db, conversation) for _ in range(100)])

    assert sorted(one.turn for one in got if one) == list(range(1, 101))


async def test_a_turn_is_not_given_again_after_a_refund(db: Database) -> None:
    """What was not sent may be said again, but never under a number that was out."""
    conversation = new_id()
    await enter(db, conversation, allowance("1"))
    first = await take(db, conversation)
    assert first is not None
    await db.transaction(lambda tx: ledger.refund(tx, first.id, 1))
    second = await take(db, conversation)

    assert (first.turn, second and second.turn) == (1, 2)
    assert await keys(db, conversation) == [("1", 4)]


async def test_what_is_over_is_put_away_when_another_opens(db: Database) -> None:
    """One for each message ever written would be read with every reply."""
    conversation = new_id()
    first = NOW - timedelta(hours=100)
    await enter(db, conversation, allowance("1", opened=first), allowance("2", opened=NOW))
    await enter(db, conversation, allowance("3", opened=NOW))

    assert await keys(db, conversation) == [("2", 5), ("3", 5)]
