"""The Chatwoot connector against a simulator made from its documented API, with the real core."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientSession, web

from adapters.helpdesks.chatwoot import DESTINATION
from hub import outbox
from hub.agents import AgentService
from hub.model import Secret
from hub.store.housekeeping import retire
from hub.worker import say
from outbound.helpdesks.chatwoot import ChatwootSettings
from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import Fault
from tests.corekit import eventually, twin
from tests.support.desks import DeskWorld, desk_world, plan_of

CALLBACK = "c" * 24


def settings_for(simulator: ChatwootSimulator, **changes: Any) -> ChatwootSettings:
    values: dict[str, Any] = {
        "base_url": simulator.base_url,
        "account_id": simulator.account_id,
        "inbox_id": simulator.inbox_id,
        "api_token": Secret(simulator.token),
        "callback_secret": Secret(CALLBACK),
        "webhook_secret": Secret(simulator.secret) if simulator.secret else None,
        "hub_user_id": simulator.hub_user["id"],
    }
    return ChatwootSettings(**values | changes)


@pytest.fixture
async def chatwoot() -> AsyncIterator[ChatwootSimulator]:
    simulator = ChatwootSimulator()
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def world(database_url: str, chatwoot: ChatwootSimulator) -> AsyncIterator[DeskWorld]:
    async with desk_world(database_url, [plan_of(DESTINATION, settings_for(chatwoot))]) as made:
        chatwoot.webhook_url = made.callback_url()
        yield made


def posts_to(path: str, asked: web.Request) -> bool:
    return asked.method == "POST" and asked.path.endswith(path)


def texts(chatwoot: ChatwootSimulator, conversation: int = 1) -> list[str]:
    return [one["content"] for one in chatwoot.conversations[conversation].messages]


async def heard(chatwoot: ChatwootSimulator, count: int) -> None:
    """Until that many callbacks were answered."""
    await eventually(lambda: len(chatwoot.answers) >= count)


async def test_a_conversation_is_one_there_too(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """First contact, further messages in order, the name, and what the channel allows."""
    await world.say({"id": "1", "from": "anna", "name": "安娜", "text": "在吗", "allow": ["1"]})
    await world.say({"id": "2", "from": "anna", "text": "我的订单呢"})
    await world.delivered()
    assert texts(chatwoot) == ["在吗", "我的订单呢"]
    (contact,) = chatwoot.contacts.values()
    assert (contact["name"], contact["identifier"]) == ("安娜", "hub:test:anna")
    assert {one["message_type"] for one in chatwoot.conversations[1].messages} == {"incoming"}
    assert chatwoot.conversations[1].attributes["hub_channel"].startswith("Test · shop")


async def test_a_reply_is_said_once(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """However often and in whatever order the callbacks come, and however often one looks."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    for number in range(20):
        chatwoot.reply(1, f"answer {number}")
    await heard(chatwoot, 21)
    await world.look_due()
    await chatwoot.repeat_callbacks()
    await asyncio.gather(world.look(), world.look())
    assert await world.said() == [(f"answer {n}", "queued") for n in range(20)]


async def test_a_note_never_leaves(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """Neither by its callback nor by the poller; nor does what the hub put there itself."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.reply(1, "VIP, be careful", private=True)
    await heard(chatwoot, 2)
    await world.look_due()
    await world.look()
    assert await world.said() == []
    rows = await world.core.db.fetch("SELECT state, reason FROM desk_messages ORDER BY position")
    assert [tuple(row) for row in rows] == [
        ("left", "the customer said it"),
        ("left", "it is private"),
    ]


async def test_a_lost_callback_is_found(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """The next look finds what no callback told, in its order."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.lose_callbacks = True
    chatwoot.reply(1, "first")
    chatwoot.lose_callbacks = False
    chatwoot.reply(1, "second")
    await heard(chatwoot, 2)
    await world.look_due()
    assert [text for text, _ in await world.said()] == ["first", "second"]


async def test_a_signed_reply_goes_out_while_the_helpdesk_is_down(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """What was proven needs no reading back, once the callback of an earlier one would have come."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.reply(1, "on its way")
    await heard(chatwoot, 2)
    chatwoot.faults.append(Fault(lambda request: request.method == "GET", 502, count=99))
    await world.core.db.fetch("UPDATE desk_messages SET seen_at = seen_at - interval '6 seconds'")
    await world.look_due()
    assert [text for text, _ in await world.said()] == ["on its way"]


async def test_without_a_secret_it_is_read_back(database_url: str) -> None:
    """An unsigned callback is a hint: what the helpdesk does not know is never said."""
    chatwoot = ChatwootSimulator(signs=False)
    await chatwoot.start()
    plans = [plan_of(DESTINATION, settings_for(chatwoot))]
    async with desk_world(database_url, plans) as world:
        chatwoot.webhook_url = world.callback_url()
        await world.say({"id": "1", "text": "在吗"})
        await world.delivered()
        chatwoot.reply(1, "true")
        await heard(chatwoot, 2)
        forged = chatwoot.callbacks[-1][2].replace(b'"true"', b'"false"').replace(b"10", b"90")
        async with ClientSession() as http, http.post(chatwoot.webhook_url, data=forged) as answer:
            assert answer.status == 200
        await world.look_due()
        assert [text for text, _ in await world.said()] == ["true"]
    await chatwoot.stop()


@pytest.mark.parametrize("change", ["body", "time", "none", "path"])
async def test_a_forged_callback_is_refused(
    world: DeskWorld, chatwoot: ChatwootSimulator, change: str
) -> None:
    """And nothing of it is kept."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    url = world.callback_url()
    chatwoot.webhook_url = None
    chatwoot.reply(1, "genuine")
    chatwoot.webhook_url = "http://127.0.0.1:1/"
    chatwoot.reply(1, "signed")
    _, headers, raw = chatwoot.callbacks[-1]
    if change == "body":
        raw += b" "
    elif change == "time":
        headers["X-Chatwoot-Timestamp"] = "1763717501"
    elif change == "none":
        headers = {}
    else:
        url = url[:-1] + "x"
    async with ClientSession() as http, http.post(url, data=raw, headers=headers) as answer:
        assert answer.status == (404 if change == "path" else 403)
    rows = await world.core.db.fetch("SELECT 1 FROM desk_messages WHERE state <> 'left'")
    assert (rows, await world.said()) == ([], [])


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


async def test_states_go_both_ways(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """Resolved there, resolved here; the customer writes again, and it is open in both; no second
    conversation, no echo."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.assign(1)
    chatwoot.resolve(1)
    await heard(chatwoot, 3)
    await world.look_due()
    assert await world.states() == ["resolved"]
    rows = await world.core.db.fetch("SELECT assignee FROM conversations")
    assert [row["assignee"] for row in rows] == ["5"]
    await world.say({"id": "2", "text": "又来了"})
    await world.delivered()
    await world.look()
    assert (await world.states(), chatwoot.conversations[1].status) == (["open"], "open")
    assert (len(chatwoot.conversations), texts(chatwoot)) == (1, ["在吗", "又来了"])


async def test_a_new_case_may_be_a_new_conversation(
    database_url: str, chatwoot: ChatwootSimulator
) -> None:
    """``on_reopen = "new_ticket"``: the old one stays closed."""
    plans = [plan_of(DESTINATION, settings_for(chatwoot, on_reopen="new_ticket"))]
    async with desk_world(database_url, plans) as world:
        chatwoot.webhook_url = world.callback_url()
        await world.say({"id": "1", "text": "在吗"})
        await world.delivered()
        chatwoot.resolve(1)
        await heard(chatwoot, 2)
        await world.look_due()
        await world.say({"id": "2", "text": "又来了"})
        await world.delivered()
        assert (texts(chatwoot, 1), texts(chatwoot, 2)) == (["在吗"], ["又来了"])
        assert [one.status for one in chatwoot.conversations.values()] == ["resolved", "open"]
        chatwoot.reply(1, "late")
        chatwoot.reply(2, "now")
        await heard(chatwoot, 5)
        await world.look_due()
        assert sorted(text for text, _ in await world.said()) == ["late", "now"]


async def test_what_cannot_be_said_is_told(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """The agent finds a note with the reason; it is there once, and the next reply goes out."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.reply(1, "song")
    chatwoot.reply(1, "words")
    await heard(chatwoot, 3)
    await world.look_due()
    await world.look()
    notes = [one["content"] for one in chatwoot.conversations[1].messages if one["private"]]
    assert notes == [
        "Not sent to the customer: This channel cannot carry that kind of content. it cannot sing\n> song"
    ]
    assert [text for text, _ in await world.said()] == ["words"]


async def test_what_became_of_a_reply_is_told(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """Its message shows what the platform said."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    own = chatwoot.reply(1, "hello")
    await heard(chatwoot, 2)
    await world.look_due()

    async def fail(tx: Any) -> Any:
        rows = await tx.fetch("SELECT id FROM messages WHERE direction = 'outbound' FOR UPDATE")
        error = {"code": "recipient_gone", "message": "Gone.", "detail": "unfollowed"}
        change = outbox.Change(rows[0]["id"], "failed", error)
        return await outbox.change_status(tx, world.core.settings, [change], world.core.clock())

    await world.core.db.transaction(fail)
    await world.delivered()
    (message,) = [one for one in chatwoot.conversations[1].messages if one["id"] == own]
    assert (message["status"], message["external_error"]) == ("failed", "Gone. unfollowed")


async def test_an_agents_file_goes_out(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """Through the redirect to where it lies; it becomes the hub's own."""
    await world.say({"id": "1", "text": "发票"})
    await world.delivered()
    chatwoot.reply(1, "见附件", files=(("发票.pdf", b"%PDF-1.4 invoice"),))
    await heard(chatwoot, 2)
    await world.look_due()
    rows = await world.core.db.fetch(
        "SELECT filename, state, size_bytes FROM attachments WHERE message_id IS NOT NULL"
    )
    assert [tuple(row) for row in rows] == [("发票.pdf", "stored", 16)]


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


async def test_agents_words_are_retired_and_not_said_again(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """What is old loses its text here; a look at the old ticket says nothing anew."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.reply(1, "answer")
    await heard(chatwoot, 2)
    await world.look_due()
    await world.core.db.fetch("UPDATE desk_messages SET seen_at = now() - interval '200 days'")
    assert (await retire(world.core.db, 180))["agents' words"] == 2
    await world.look()
    assert [text for text, _ in await world.said()] == ["answer"]
    rows = await world.core.db.fetch("SELECT 1 FROM desk_messages WHERE body IS NOT NULL")
    assert rows == []


async def test_hub_check_says_what_is_wrong(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """A sound set-up, another webhook URL, a token that is none, nobody there."""

    async def findings(desk: Any, url: str | None) -> list[tuple[str, bool]]:
        return [(one.name, one.ok) async for one in desk.check(url)]

    running = world.core.desks.get(world.core, "desk")
    assert running is not None
    good = await findings(running.desk, chatwoot.webhook_url)
    assert good == [("token", True), ("inbox", True), ("callbacks", True)]
    assert (await findings(running.desk, "https://hub.example.com/"))[-1] == ("callbacks", False)
    assert (await findings(running.desk, None))[-1] == ("callbacks", False)
    chatwoot.token = "another"
    assert await findings(running.desk, None) == [("token", False)]
    await chatwoot.stop()
    assert await findings(running.desk, None) == [("API", False)]
