"""Order within a conversation, with many processes; and no wake-up is lost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from hub.model import Draft, Receipt
from hub.store import Database, replies
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
