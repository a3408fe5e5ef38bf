"""Allowances of a reply, and replies that wait for the customer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from hub import outbox
from hub.errors import Unreachable, WindowClosed
from hub.replies import cancel, resend
from hub.replies.records import Holder
from hub.store import Database
from tests.support.replies import World, acting, failing, until_status


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


async def writes(world: World, conversation: object, *, key: str = "2", remaining: int = 5) -> None:
    """The customer writes: a fresh allowance, and held replies go, as filing does it."""
    await world.allow(conversation, remaining, key=key)  # type: ignore[arg-type]
    await world.db.transaction(
        lambda tx: outbox.release_held(tx, world.settings, {conversation}, world.core.clock())  # type: ignore[arg-type]
    )
    world.core.bells.ring("reply")


async def test_each_thing_said_is_taken_from_the_allowance(db: Database) -> None:
    """Three parts, three replies."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)
    async with world.serving():
        await until_status(world, await world.reply(conversation, "a\nb\nc"), "sent")

    assert await world.left(conversation) == 2


async def test_proven_not_sent_is_given_back(db: Database) -> None:
    """Tries that did not leave cost nothing."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)
    world.platform.script = failing(world, Unreachable("refused"), Unreachable("refused"))
    async with world.serving():
        await until_status(world, await world.reply(conversation, "a"), "sent")

    assert await world.left(conversation) == 4


async def test_what_may_have_gone_out_stays_taken(db: Database) -> None:
    """Nobody knows: the allowance is spent, to be safe."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)

    async def lost() -> None:
        raise ConnectionResetError

    world.platform.script = acting(world, lost)
    async with world.serving():
        await until_status(world, await world.reply(conversation, "a"), "unknown")

    assert await world.left(conversation) == 4


async def test_a_reply_outside_of_the_window_is_held(db: Database) -> None:
    """With the plan "hold" it is accepted, says why it waits, and nothing is sent."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 0)
    async with world.serving():
        message = await world.reply(conversation, "a")
        await asyncio.sleep(0.3)

    assert await world.status(message) == "held"
    assert (await world.body(message))["error"]["code"] == "window_closed"
    assert world.platform.seen == []


async def test_with_the_plan_fail_it_is_refused_early(db: Database) -> None:
    """The agent learns it at once."""
    world = World(db, windowed=True, when_closed="fail")
    conversation = await world.conversation()
    await world.allow(conversation, 0)

    with pytest.raises(WindowClosed):
        await world.reply(conversation, "a")


async def test_held_replies_go_first_in_first_out_when_the_customer_writes(db: Database) -> None:
    """None overtakes another, not even one accepted after the customer wrote."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 0)
    messages = [await world.reply(conversation, text) for text in ("one", "two", "three")]
    async with world.serving():
        await writes(world, conversation)
        messages.append(await world.reply(conversation, "four"))
        for message in messages:
            await until_status(world, message, "sent")

    assert world.platform.texts() == ["one", "two", "three", "four"]
    assert await world.told(messages[0]) == ["held", "queued", "sent"]


async def test_a_reply_does_not_overtake_a_held_one(db: Database) -> None:
    """Also when the window would allow a shorter one: it waits behind."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 0)
    first = await world.reply(conversation, "one")
    await world.allow(conversation, 5, key="2")  # opened, but nobody has released the first
    second = await world.reply(conversation, "two")
    async with world.serving():
        await asyncio.sleep(0.3)
        assert [await world.status(one) for one in (first, second)] == ["held", "held"]
        await resend(world.core, first)
        await until_status(world, first, "sent")
        await cancel(world.core, second)

    assert world.platform.texts() == ["one"]


async def test_a_reply_in_the_lane_does_not_overtake_one_that_became_held(db: Database) -> None:
    """Both were accepted; the platform closes its window between them."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, WindowClosed("45015"))
    messages = [await world.reply(conversation, text) for text in ("one", "two")]
    async with world.serving():
        await until_status(world, messages[1], "held")
        assert world.platform.texts() == []
        await writes(world, conversation)
        await until_status(world, messages[1], "sent")

    assert world.platform.texts() == ["one", "two"]


async def test_cancelling_a_held_reply_frees_those_behind_it(db: Database) -> None:
    """They need not wait for what is never said."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 0)
    first = await world.reply(conversation, "one")
    await world.allow(conversation, 5, key="2")
    second = await world.reply(conversation, "two")
    async with world.serving():
        await cancel(world.core, first)
        await until_status(world, second, "sent")

    assert world.platform.texts() == ["two"]


async def test_the_count_ends_between_acceptance_and_sending(db: Database) -> None:
    """Three accepted, two allowed: the third is held, and goes when the customer writes."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 2)
    messages = [await world.reply(conversation, text) for text in ("one", "two", "three")]
    async with world.serving():
        await until_status(world, messages[2], "held")
        assert world.platform.texts() == ["one", "two"]
        await writes(world, conversation)
        await until_status(world, messages[2], "sent")

    assert await world.left(conversation) == 4


async def test_a_long_reply_is_merged_into_what_is_allowed_when_it_leaves(db: Database) -> None:
    """Composed again in the lane: what was allowed when it was accepted is over."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)
    message = await world.reply(conversation, "a\nb\nc")
    await world.allow(conversation, 1, key="2")
    async with world.serving():
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["a b c"]


async def test_the_platform_has_the_last_word(db: Database) -> None:
    """It says that the window is closed although we had counted otherwise: held, and count nought."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)
    world.platform.script = failing(world, WindowClosed("45015"))
    async with world.serving():
        message = await world.reply(conversation, "a")
        await until_status(world, message, "held")

    assert await world.left(conversation) == 0


async def test_a_held_reply_is_given_up_in_the_end(db: Database) -> None:
    """After 48 hours it fails, and the agent is told."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 0)
    message = await world.reply(conversation, "a")
    late = world.core.clock() + timedelta(hours=48, minutes=1)
    world.core.clock = lambda: late
    async with world.serving():
        await until_status(world, message, "failed")

    assert await world.told(message) == ["held", "failed"]
    assert (await world.body(message))["error"]["code"] == "hold_expired"


async def test_held_replies_that_may_go_meanwhile_are_not_overtaken(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer writes while the lane is on its way past replies that it has just held."""
    world = World(db, windowed=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)
    messages = [await world.reply(conversation, text) for text in ("1", "2", "3", "4")]
    hold, held = Holder.hold, []

    async def hold_and_hear(self: Holder, message: Any, *rest: Any) -> None:
        await hold(self, message, *rest)
        held.append(message["id"])
        if len(held) == 2:
            await writes(world, conversation)

    monkeypatch.setattr(Holder, "hold", hold_and_hear)
    world.platform.script = failing(world, WindowClosed("45047"))
    async with world.serving():
        for message in messages:
            await until_status(world, message, "sent")

    assert world.platform.texts() == ["1", "2", "3", "4"]
