"""The Chatwoot connector when answers are errors, late or missing, and when processes end."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise

import pytest
from aiohttp import web

from adapters.helpdesks.chatwoot import DESTINATION
from hub.agents import AgentService
from hub.worker import say
from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import Fault
from tests.corekit import eventually, twin
from tests.support.chatwoot import (
    chatwoot_world,
    heard,
    posts_to,
    running_chatwoot,
    settings_for,
    texts,
)
from tests.support.desks import DeskWorld, desk_world, plan_of


@pytest.fixture
async def chatwoot() -> AsyncIterator[ChatwootSimulator]:
    async with running_chatwoot() as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, chatwoot: ChatwootSimulator) -> AsyncIterator[DeskWorld]:
    async with chatwoot_world(database_url, chatwoot) as made:
        yield made


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("path", ["/conversations", "/messages"])
async def test_an_error_that_may_have_kept_it(
    world: DeskWorld, chatwoot: ChatwootSimulator, path: str, kept: bool
) -> None:
    """A 500 after which the message is there, or is not: either way it is there once."""
    if path == "/messages":
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
    await world.say({"id": "1", "text": "在吗"})
    chatwoot.faults.append(
        Fault(lambda request: request.method == "POST" and request.path.endswith(path), kept=kept)
    )
    await world.delivered()
    assert len(chatwoot.conversations) == 1
    assert texts(chatwoot).count("在吗") == 1


async def test_a_slow_helpdesk_gets_it_once(database_url: str, chatwoot: ChatwootSimulator) -> None:
    """It answers after our time-out, and keeps the message: nothing is posted again."""
    plans = [plan_of(DESTINATION, settings_for(chatwoot), timeout_s=0.5)]
    async with desk_world(database_url, plans) as world:
        chatwoot.webhook_url = world.callback_url()
        chatwoot.faults += [
            Fault(partial(posts_to, path), 200, kept=True, delay_s=1.5)
            for path in ("/contacts", "/conversations", "/messages")
        ]
        await world.say({"id": "1", "text": "在吗"}, {"id": "2", "text": "还在吗"})
        await world.delivered(60.0)
        assert (len(chatwoot.conversations), len(chatwoot.contacts)) == (1, 1)
        assert texts(chatwoot) == ["在吗", "还在吗"]


async def test_a_gateways_error_is_not_the_messages_fault(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The helpdesk can be read, and its gateway fails one message as often as a refusal would take."""
    await world.say({"id": "0", "text": "before"})
    await world.delivered()
    chatwoot.faults += [Fault(partial(posts_to, "/messages"), status) for status in (502, 503, 502)]
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    assert texts(chatwoot) == ["before", "在吗"]
    assert await world.core.db.fetch("SELECT 1 FROM deliveries WHERE state = 2") == []


async def test_what_a_gateway_did_not_wait_for_may_still_come(
    database_url: str, chatwoot: ChatwootSimulator
) -> None:
    """After each 504 the message is looked up, and not posted again before twice the time-out."""
    posted: list[float] = []

    def posts(asked: web.Request) -> bool:
        if found := posts_to("/messages", asked):
            posted.append(time.monotonic())
        return found

    plans = [plan_of(DESTINATION, settings_for(chatwoot), timeout_s=0.8)]
    async with desk_world(database_url, plans) as world:
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
        chatwoot.faults.append(Fault(posts, 504, count=3))
        await world.say({"id": "1", "text": "在吗"})
        await world.delivered(60.0)
        assert texts(chatwoot) == ["before", "在吗"]
        assert [later - one >= 1.6 for one, later in pairwise(posted)] == [True, True]


async def test_too_many_messages_wait(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """The limit of a conversation slows it down and loses nothing."""
    await world.say({"id": "1", "text": "one"})
    await world.delivered()
    body = b'{"message":"Too many messages"}'
    chatwoot.faults.append(
        Fault(lambda request: request.path.endswith("/messages"), 429, body=body)
    )
    await world.say({"id": "2", "text": "two"}, {"id": "3", "text": "three"})
    await world.delivered()
    assert texts(chatwoot) == ["one", "two", "three"]


async def test_two_processes_share_the_tickets(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """Two services at once say nothing twice."""
    for number in range(5):
        await world.say({"id": str(number), "from": f"c{number}", "text": "在吗"})
    await world.delivered()
    other_core = twin(world.core, "other")
    other = AgentService(other_core, say)
    for number in range(1, 6):
        for part in range(4):
            chatwoot.reply(number, f"{number}.{part}")
    await heard(chatwoot, 25)
    for _ in range(3):
        await world.core.db.fetch("UPDATE tickets SET look_at = '-infinity'")
        await asyncio.gather(world.agents.once(), other.once())
        await asyncio.gather(world.agents.settled(), other.settled())
    await other_core.desks.close()
    said = [text for text, _ in await world.said()]
    assert sorted(said) == [f"{n}.{p}" for n in range(1, 6) for p in range(4)]
    for number in range(1, 6):
        own = [text for text in said if text.startswith(f"{number}.")]
        assert own == sorted(own)


@pytest.mark.parametrize("point", ["tickets.opened", "tickets.added"])
async def test_a_process_that_ends_after_a_post_posts_nothing_twice(
    world: DeskWorld, chatwoot: ChatwootSimulator, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The helpdesk has it, the hub has not written that down: the next process looks it up."""
    if point == "tickets.added":
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
    died: list[str] = []

    class Killed(BaseException):
        pass

    def die_once(name: str) -> None:
        if name == point and not died:
            died.append(name)
            raise Killed

    monkeypatch.setattr("hub.tickets.posting.failpoint", die_once)
    await world.say({"id": "1", "text": "在吗"})
    async with world.delivering():
        await eventually(lambda: died)
    await world.core.db.fetch("UPDATE lanes SET lease_until = '-infinity'")
    await world.delivered()
    assert len(chatwoot.conversations) == 1
    assert texts(chatwoot).count("在吗") == 1


@pytest.mark.parametrize("point", ["tickets.added", "tickets.opened", "after"])
async def test_a_case_that_is_opened_again_meanwhile_doubles_nothing(
    database_url: str, chatwoot: ChatwootSimulator, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The process dies after a post, the conversation is closed, the customer writes again: what was posted
    is looked up in the ticket where it was begun."""
    plans = [plan_of(DESTINATION, settings_for(chatwoot, on_reopen="new_ticket"))]
    died: list[str] = []

    class Killed(BaseException):
        pass

    def die_once(name: str) -> None:
        wanted = "delivery.posted" if point == "after" else point
        if name == wanted and len(chatwoot.conversations) == opened and not died:
            died.append(name)
            raise Killed

    opened = 2 if point == "tickets.opened" else 1
    async with desk_world(database_url, plans) as world:
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
        if opened == 2:
            chatwoot.resolve(1)
            await world.look()
        monkeypatch.setattr("hub.tickets.posting.failpoint", die_once)
        monkeypatch.setattr("hub.delivery.failpoint", die_once)
        await world.say({"id": "1", "text": "在吗"})
        async with world.delivering():
            await eventually(lambda: died)
        await world.core.db.fetch(
            "UPDATE conversations SET state = 'resolved'"  # as by the API; nobody tells the helpdesk
        )
        await world.say({"id": "2", "text": "又来了"})
        await world.core.db.fetch("UPDATE lanes SET lease_until = '-infinity'")
        await world.delivered()
        said = [one for number in chatwoot.conversations for one in texts(chatwoot, number)]
        assert said == ["before", "在吗", "又来了"]


async def test_a_message_that_breaks_the_connector_is_parked(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """After three tries; agents see a gap, and the next message goes in."""
    await world.say({"id": "0", "text": "before"})
    await world.delivered()
    chatwoot.faults.append(  # an answer that is no message at all
        Fault(
            lambda asked: posts_to("/messages", asked) and b"poison" in (asked._read_bytes or b""),
            200,
            body=b"{}",
            count=99,
        )
    )
    chatwoot.reads_first = True
    await world.say({"id": "1", "text": "poison"}, {"id": "2", "text": "after"})
    await world.core.db.fetch("UPDATE lanes SET next_at = '-infinity'")
    async with world.delivering():
        async with asyncio.timeout(60):
            while "after" not in texts(chatwoot):
                await world.core.db.fetch("UPDATE lanes SET next_at = '-infinity'")
                await asyncio.sleep(0.2)
    rows = await world.core.db.fetch("SELECT error FROM deliveries WHERE state = 2")
    assert "connector failed" in rows[0]["error"]
    notes = [one["content"] for one in chatwoot.conversations[1].messages if one["private"]]
    assert any("could not hand over" in one for one in notes)


async def test_a_ticket_that_is_gone_stops_no_other(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """It is left alone for an hour; replies in others are heard at once."""
    await world.say({"id": "1", "from": "ann", "text": "one"})
    await world.say({"id": "2", "from": "bob", "text": "two"})
    await world.delivered()
    chatwoot.webhook_url = None
    del chatwoot.conversations[1]
    chatwoot.reply(2, "answer")
    for _ in range(3):
        await world.look()
    assert [text for text, _ in await world.said()] == ["answer"]
