"""The Chatwoot connector against a simulator made from its documented API, with the real core."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from adapters.helpdesks.chatwoot import DESTINATION
from hub import outbox
from hub.store.housekeeping import retire
from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import Fault
from tests.support.chatwoot import (
    chatwoot_world,
    heard,
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
