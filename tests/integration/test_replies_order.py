"""Order within a conversation, with many processes; and no wake-up is lost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from hub import outbox
from hub.feed import NewEvent, publish
from hub.model import Draft, Receipt
from hub.replies import cancel
from hub.store import Database, Transaction, replies
from tests.support.replies import QUICK, World, until


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=20)
    yield database
    await database.close()


async def _all_sent(world: World, count: int) -> bool:
    rows = await world.db.fetch("SELECT count(*) AS n FROM messages WHERE status = 'sent'")
    return bool(rows[0]["n"] == count)


async def test_eight_processes_keep_each_conversation_in_order(db: Database) -> None:
    """Few busy conversations, where races show: every reply once, in the order of acceptance."""
    world = World(db)
    conversations = [await world.conversation(f"c{n}") for n in range(6)]

    async def slowly(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        await asyncio.sleep(0.002)
        return world.platform.act(draft, results)

    world.platform.script = slowly
    async with world.serving(processes=8):
        for number in range(20):
            await asyncio.gather(
                *[world.reply(one, f"{number}a\n{number}b") for one in conversations]
            )
        await until(lambda: _all_sent(world, 120), 60.0)

    expected = [f"{number}{part}" for number in range(20) for part in "ab"]
    assert [world.platform.texts(f"c{n}") for n in range(6)] == [expected] * 6


async def test_a_reply_accepted_while_the_lane_is_given_back_is_not_forgotten(
    db: Database,
) -> None:
    """The lost wake-up: what is added after the holder's last look shows in the release itself."""
    world = World(db)
    conversation = await world.conversation()
    await world.reply(conversation, "one")
    (lane,) = await replies.claim_replies(db, "me", 30.0, room=1, each_account=1, busy={})
    # The holder has said "one" and seen nothing more; then this comes.
    await world.reply(conversation, "two")
    more = await replies.release(db, lane, drained=True, pause_s=60.0)

    assert more
    again = await replies.claim_replies(db, "me", 30.0, room=1, each_account=1, busy={})
    assert [one.id for one in again] == [lane.id]


async def test_a_person_who_wakes_a_lane_while_it_is_given_back_is_not_overheard(
    db: Database,
) -> None:
    """The holder is about to let the lane sleep for an hour; then somebody cancels what it waits for."""
    world = World(db)
    conversation = await world.conversation()
    message = await world.reply(conversation, "one")
    (lane,) = await replies.claim_replies(db, "me", 30.0, room=1, each_account=1, busy={})
    await cancel(world.core, message)
    await replies.release(db, lane, drained=False, pause_s=3600.0)

    again = await replies.claim_replies(db, "me", 30.0, room=1, each_account=1, busy={})
    assert [one.id for one in again] == [lane.id]


async def test_without_bells_the_poll_finds_it(db: Database) -> None:
    """A lost doorbell delays; it loses nothing."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving():
        await asyncio.sleep(0.3)
        world.core.bells.ring = lambda kind, facts=None: None  # type: ignore[method-assign]
        await world.reply(conversation, "one")
        await until(lambda: _all_sent(world, 1))


async def test_one_busy_account_leaves_room_for_another(db: Database) -> None:
    """No more lanes of an account are taken than its share."""
    world = World(db)
    for number in range(10):
        await world.reply(await world.conversation(f"c{number}"), "x")
    await db.fetch("UPDATE lanes SET target = 'other' WHERE id IN (SELECT id FROM lanes LIMIT 1)")

    lanes = await replies.claim_replies(db, "me", 30.0, room=8, each_account=3, busy={"shop": 1})
    assert sorted(lane.account for lane in lanes) == ["other", "shop", "shop"]


async def test_a_stopping_process_gives_its_lanes_back(db: Database) -> None:
    """After an orderly stop another goes on at once, and nothing is unknown."""
    world = World(db)
    conversation = await world.conversation()

    async def slowly(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        await asyncio.sleep(0.2)
        return world.platform.act(draft, results)

    world.platform.script = slowly
    for number in range(4):
        await world.reply(conversation, str(number))
    pace = QUICK._replace(lease_s=60.0)
    async with world.serving(pace):
        await until(lambda: _seen(world))
    said = len(world.platform.log)
    assert said < 4
    async with world.serving(pace):
        await until(lambda: _all_sent(world, 4), 5.0)

    assert world.platform.texts() == ["0", "1", "2", "3"]


async def _seen(world: World) -> bool:
    return bool(world.platform.seen)


async def test_filing_reports_and_replies_do_not_block_one_another(db: Database) -> None:
    """The locks are taken in one order: busy conversations of all three make no deadlock."""
    world = World(db, desk=True)
    conversations = [await world.conversation(f"c{n}") for n in range(3)]

    async def file_like_ingest(number: int) -> None:
        """What filing does in the conversations it holds: an event, then reports, then held replies."""
        place = conversations[number % 3]
        own = [
            (row["account"], Receipt(status="delivered", external_id=row["external_id"]))
            for row in await db.fetch(
                "SELECT account, external_id FROM messages WHERE conversation_id = $1 "
                "AND external_id IS NOT NULL AND status = 'sent' LIMIT 20",
                place,
            )
        ]

        async def work(tx: Transaction) -> None:
            now = world.core.clock()
            await replies.lock_conversation(tx, place)
            event = NewEvent("message.received", {"n": number}, "shop", "inbox", place)
            await publish(tx, world.settings, [event], now)
            await outbox.apply_receipts(tx, world.settings, own, now)
            await outbox.release_held(tx, world.settings, {place}, now)

        await db.transaction(work)

    async with world.serving(processes=4):
        for number in range(30):
            await asyncio.gather(
                *[world.reply(one, str(number)) for one in conversations],
                *[file_like_ingest(number + n) for n in range(3)],
            )
        await until(lambda: _none_waits(world), 60.0)

    rows = await db.fetch(
        "SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot(), deadlocks "
        "FROM pg_stat_database WHERE datname = current_database()"
    )
    assert rows[0]["deadlocks"] == 0
    assert [world.platform.texts(f"c{n}") for n in range(3)] == [[str(n) for n in range(30)]] * 3


async def _none_waits(world: World) -> bool:
    rows = await world.db.fetch(
        "SELECT FROM messages WHERE direction = 'outbound' AND status IN ('queued', 'sending') LIMIT 1"
    )
    return not rows
