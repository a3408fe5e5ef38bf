"""A ticket that was deleted in its helpdesk, in every moment: its customer gets another, once."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiohttp import web

from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import Fault
from tests.corekit import eventually
from tests.support.chatwoot import chatwoot_world, heard, posts_to, running_chatwoot, texts
from tests.support.desks import DeskWorld, calls, dead, said


@pytest.fixture
async def chatwoot() -> AsyncIterator[ChatwootSimulator]:
    async with running_chatwoot() as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, chatwoot: ChatwootSimulator) -> AsyncIterator[DeskWorld]:
    async with chatwoot_world(database_url, chatwoot, timeout_s=0.3) as made:
        yield made


async def test_a_ticket_deleted_while_nobody_knows_what_became_of_a_post(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The post was not confirmed, and its ticket is gone when it is looked up: another ticket has it."""
    await world.say({"id": "1", "text": "one"})
    await world.delivered()

    def deleted_meanwhile(asked: web.Request) -> bool:
        return calls("POST", "/messages", asked) and bool(chatwoot.conversations.pop(1, None))

    chatwoot.faults.append(Fault(deleted_meanwhile, 504))
    await world.say({"id": "2", "text": "two"})
    await world.delivered()
    (own,) = chatwoot.conversations
    assert (texts(chatwoot, own), await dead(world)) == (["two"], [])


async def test_a_helpdesk_that_says_so_of_everything_loses_no_ticket(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """What stands before it answers 404 to all for a while: its tickets are those of before."""
    await world.say({"id": "1", "text": "one"})
    await world.delivered()
    chatwoot.faults.append(Fault(lambda _: True, 404, count=999))
    await world.say({"id": "2", "text": "two"})
    async with world.delivering():
        await eventually(partial(dead, world))
    chatwoot.faults.clear()
    chatwoot.reply(1, "answer")
    await world.look()
    await world.say({"id": "3", "text": "three"})
    await world.delivered()
    assert (await said(world), list(chatwoot.conversations)) == (["answer"], [1])


async def test_a_successor_nobody_confirmed_is_not_made_twice(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The helpdesk made it, and did not say so."""
    await world.say({"id": "1", "text": "one"})
    await world.delivered()
    del chatwoot.conversations[1]
    chatwoot.faults.append(Fault(partial(posts_to, "/conversations"), 504, kept=True))
    await world.say({"id": "2", "text": "two"})
    await world.delivered()
    (own,) = chatwoot.conversations
    assert (chatwoot.faults[0].count, texts(chatwoot, own), await dead(world)) == (0, ["two"], [])


async def test_a_reply_that_waits_in_a_deleted_ticket_is_said(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """Its file could not be had until the ticket was gone and had a successor."""
    await world.say({"id": "1", "text": "one"})
    await world.delivered()
    chatwoot.faults.append(Fault(partial(calls, "GET", "/blobs"), 503, count=1))
    chatwoot.reply(1, "see this", files=(("a.png", b"x"),))
    await heard(chatwoot, 2)
    await world.look()
    assert await said(world) == []
    del chatwoot.conversations[1]
    await world.say({"id": "2", "text": "two"})
    await world.delivered()
    await world.look()
    assert [text.partition("\n")[0] for text in await said(world)] == ["see this"]


async def test_what_an_agent_said_before_deleting_the_ticket_is_said(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The signed callback came, and then nothing can be read: it waits for an earlier one, not for long."""
    await world.say({"id": "1", "text": "one"})
    await world.delivered()
    chatwoot.reply(1, "done, bye")
    await heard(chatwoot, 2)
    del chatwoot.conversations[1]
    await world.look_due()
    rows = await world.core.db.fetch(
        "SELECT extract(epoch FROM look_at - clock_timestamp())::float8 AS pause FROM tickets"
    )
    assert rows[0]["pause"] <= 5
