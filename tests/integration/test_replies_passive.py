"""Replies inside the HTTP answer to a callback: said there or by the lane, never by both."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hub.channel import AwaitReply, Response
from hub.ids import new_id
from hub.model import Draft
from hub.replies import await_reply
from hub.store import Database
from tests.corekit import eventually
from tests.support.replies import World, until_status


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


def render(drafts: Sequence[Draft], results: Mapping[str, Any]) -> Response:
    return Response(200, "|".join(draft.text or "" for draft in drafts).encode())


def awaiting(within_s: float = 3.0, key: str = "event") -> AwaitReply:
    return AwaitReply(key, timedelta(seconds=within_s), render)


async def filed(world: World, conversation: UUID, key: str = "event") -> None:
    """The event is taken in and filed as a message of the conversation."""
    rows = await world.db.fetch(
        "INSERT INTO inbox (account, channel, partition, order_key, dedupe_key, headers, body, proof, "
        "received_at, state, crashes) VALUES ('shop', 'test', 0, 'c', $1, '{}', '', 'none', now(), 1, 0) "
        "RETURNING id",
        key,
    )
    await world.db.fetch(
        "WITH numbered AS (UPDATE conversations SET last_seq = last_seq + 1 WHERE id = $2 "
        "RETURNING last_seq) "
        "INSERT INTO messages (id, conversation_id, seq, account, channel, direction, kind, dedupe_key, "
        "body, reply_context, inbox_id, created_at) SELECT $1, $2, last_seq, 'shop', 'test', 'inbound', "
        "'text', $3, '{}', '{}', $4, now() FROM numbered",
        new_id(),
        conversation,
        key,
        rows[0]["id"],
    )


async def held(world: World, conversation: UUID) -> None:
    """Whoever makes the answer has the lane: what is said from here on is for it."""

    async def is_held() -> bool:
        rows = await world.db.fetch(
            "SELECT 1 FROM lanes WHERE kind = 'reply' AND conversation_id = $1 "
            "AND holder LIKE '%:answer' AND lease_until > clock_timestamp()",
            conversation,
        )
        return bool(rows)

    await eventually(is_held, 30)


async def test_a_reply_in_time_goes_into_the_answer_and_nowhere_else(db: Database) -> None:
    """Workers run beside it, with their bells; the platform gets no call."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving(processes=2):
        answer = asyncio.create_task(await_reply(world.core, "shop", awaiting(10)))
        await asyncio.sleep(0.1)
        await filed(world, conversation)
        await held(world, conversation)
        message = await world.reply(conversation, "one\ntwo")
        response = await answer
        await until_status(world, message, "sent")
        await asyncio.sleep(0.3)

    assert response == Response(200, b"one|two")
    assert world.platform.seen == []
    assert await world.told(message) == ["queued", "sent"]


async def test_without_a_reply_in_time_there_is_no_answer(db: Database) -> None:
    """The lane is free again at once, and says what comes later."""
    world = World(db)
    conversation = await world.conversation()
    await filed(world, conversation)
    async with world.serving():
        assert await await_reply(world.core, "shop", awaiting(0.3)) is None
        message = await world.reply(conversation, "late")
        await until_status(world, message, "sent", timeout=3)

    assert world.platform.texts() == ["late"]


async def test_an_event_that_is_not_filed_in_time_gets_no_answer(db: Database) -> None:
    """The platform does not wait for ever."""
    world = World(db)

    assert await await_reply(world.core, "shop", awaiting(0.3)) is None


async def test_a_reply_that_needs_other_calls_is_left_to_the_lane(db: Database) -> None:
    """A file has to be uploaded first."""
    world = World(db)
    conversation = await world.conversation()
    await filed(world, conversation)
    async with world.serving():
        answer = asyncio.create_task(await_reply(world.core, "shop", awaiting()))
        await held(world, conversation)
        message = await world.reply(conversation, "file:a")
        assert await answer is None
        await until_status(world, message, "sent", timeout=5)

    assert world.platform.texts() == ["file:a"]


async def test_an_answer_that_cannot_be_rendered_is_said_by_the_lane(db: Database) -> None:
    """Nothing has left, so nothing is lost."""
    world = World(db)
    conversation = await world.conversation()
    await filed(world, conversation)

    def broken(drafts: Sequence[Draft], results: Mapping[str, Any]) -> Response:
        raise ValueError("bug")

    async with world.serving():
        message = await world.reply(conversation, "one")
        await until_status(world, message, "sent")
        awaited = AwaitReply("event", timedelta(seconds=2), broken)
        answer = asyncio.create_task(await_reply(world.core, "shop", awaited))
        await held(world, conversation)
        second = await world.reply(conversation, "two")
        assert await answer is None
        await until_status(world, second, "sent", timeout=5)

    assert world.platform.texts() == ["one", "two"]


async def test_a_callback_that_comes_again_gets_the_same_answer(db: Database) -> None:
    """The platform repeats what it got no answer to; it shows one answer, and nothing else is said."""
    world = World(db)
    conversation = await world.conversation()
    await filed(world, conversation)
    answers = [asyncio.create_task(await_reply(world.core, "shop", awaiting(5))) for _ in range(3)]
    await asyncio.sleep(0.2)
    message = await world.reply(conversation, "one")

    assert [Response(200, b"one")] * 3 == await asyncio.gather(*answers)
    assert await world.told(message) == ["queued", "sent"]
    assert world.platform.seen == []


async def test_an_event_of_long_ago_carries_nothing(db: Database) -> None:
    """Whoever recorded a push and plays it again does not get what is meant for the customer."""
    world = World(db)
    conversation = await world.conversation()
    await filed(world, conversation)
    await db.fetch("UPDATE inbox SET received_at = now() - interval '1 minute'")
    message = await world.reply(conversation, "one")

    assert await await_reply(world.core, "shop", awaiting(5)) is None
    assert await world.status(message) == "queued"
