"""What helpdesks do to a connector beyond the ordinary: in no case is a word lost, doubled or reordered."""

import time
from collections.abc import AsyncIterator
from functools import partial

import pytest

from adapters.helpdesks.chatwoot import DESTINATION
from hub.agents import reading, service
from hub.blobs import StoreAway
from hub.store import heard as heard_rows
from sandbox.chatwoot import ChatwootSimulator
from sandbox.desks import Fault
from tests.corekit import background, eventually
from tests.support.chatwoot import chatwoot_world, heard, running_chatwoot, settings_for, texts
from tests.support.desks import DeskWorld, calls, change_all, dead, desk_world, plan_of, said


@pytest.fixture(params=[True], ids=["signed"])
async def chatwoot(request: pytest.FixtureRequest) -> AsyncIterator[ChatwootSimulator]:
    async with running_chatwoot(signs=request.param) as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, chatwoot: ChatwootSimulator) -> AsyncIterator[DeskWorld]:
    async with chatwoot_world(database_url, chatwoot) as made:
        yield made


# -- what customers say ------------------------------------------------------------------------------


async def test_a_deleted_ticket_loses_no_customer(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """Whoever writes on gets another; what else was to be told of the old one is told to nobody."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    del chatwoot.conversations[1]
    await world.assign(str(chatwoot.agent["id"]))
    await world.say({"id": "2", "text": "还在吗"}, {"id": "3", "text": "喂"})
    await world.delivered()
    assert await dead(world) == []
    (own,) = chatwoot.conversations
    assert [one for one in texts(chatwoot, own) if "Not assigned" not in one] == ["还在吗", "喂"]
    chatwoot.reply(own, "在")
    await world.look()
    assert await said(world) == ["在"]


async def test_files_that_are_away_are_asked_for_in_peace(
    world: DeskWorld, chatwoot: ChatwootSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store of files does not answer: the message waits for it, and nobody spins."""
    await world.say({"id": "1", "text": "see this"})
    await world.attach(b"%PDF-1.7", "a.pdf")
    asked: list[float] = []

    async def away(_sha256: str) -> bytes | None:
        asked.append(time.monotonic())
        raise StoreAway("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(world.core.media.blobs, "read", away)
        async with world.delivering():
            await eventually(lambda: len(asked) >= 3)
    assert asked[2] - asked[0] > 1.5
    await world.delivered()
    assert [name for name, _ in chatwoot.files.values()] == ["a.pdf"]


@pytest.mark.parametrize("status", [520, 522, 530])
async def test_a_cdns_error_is_not_the_messages_fault(
    world: DeskWorld, chatwoot: ChatwootSimulator, status: int
) -> None:
    """What stands before a hosted helpdesk has errors of its own."""
    await world.say({"id": "0", "text": "before"})
    await world.delivered()
    chatwoot.faults.append(Fault(partial(calls, "POST", "/messages"), status, count=3))
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    assert (texts(chatwoot), await dead(world)) == (["before", "在吗"], [])


async def test_a_post_is_found_behind_what_was_said_since(
    database_url: str, chatwoot: ChatwootSimulator
) -> None:
    """Agents talk on while the hub does not know what became of a message."""
    plans = [plan_of(DESTINATION, settings_for(chatwoot), timeout_s=0.3)]
    async with desk_world(database_url, plans) as world:
        await world.say({"id": "0", "text": "before"})
        await world.delivered()
        chatwoot.faults.append(Fault(partial(calls, "POST", "/messages"), 504, kept=True))
        chatwoot.faults.append(Fault(partial(calls, "GET", "/messages"), 502, count=2))
        await world.say({"id": "1", "text": "在吗"})
        async with world.delivering():
            await eventually(lambda: chatwoot.faults[0].count == 0)
        for number in range(50):
            chatwoot.reply(1, f"note {number}", private=True)
        await world.delivered()
        assert [one for one in texts(chatwoot) if "note" not in one] == ["before", "在吗"]


async def test_a_person_is_found_among_many_alike(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The search finds parts of names; who is meant need not stand on its first page."""
    for number in range(40):
        identifier = f"hub:test:wang{number:02}"
        chatwoot.contacts[1000 + number] = {
            "id": 1000 + number,
            "name": "x",
            "identifier": identifier,
        }
    chatwoot.contacts[2000] = {"id": 2000, "name": "王", "identifier": "hub:test:wang"}
    await world.say({"id": "1", "from": "wang", "text": "在吗"})
    await world.delivered()
    assert (chatwoot.conversations[1].contact["id"], await dead(world)) == (2000, [])


async def test_contacts_that_were_merged_lose_no_customer(
    database_url: str, chatwoot: ChatwootSimulator
) -> None:
    """The other contact has the old one's place in the inbox, and its own name."""
    plans = [plan_of(DESTINATION, settings_for(chatwoot, on_reopen="new_ticket"))]
    async with desk_world(database_url, plans) as world:
        await world.say({"id": "1", "from": "ann", "text": "one"})
        await world.delivered()
        kept = {"id": 500, "name": "Ann", "identifier": "hub:test:ann@mail"}
        chatwoot.contacts = {500: kept}
        chatwoot.inboxed = dict.fromkeys(chatwoot.inboxed, 500)
        chatwoot.conversations[1].contact = kept
        await world.core.db.fetch("UPDATE conversations SET state = 'resolved'")
        await world.say({"id": "2", "from": "ann", "text": "two"})
        await world.delivered()
        assert (texts(chatwoot, 2), await dead(world)) == (["two"], [])


async def test_an_older_state_does_not_win(world: DeskWorld, chatwoot: ChatwootSimulator) -> None:
    """What agents have closed meanwhile is not opened and closed again by what the hub still had to tell."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.resolve(1)
    await world.look()
    for state in ("open", "resolved"):
        await change_all(world.core, {"state": state})
    chatwoot.calls.clear()
    await world.delivered()
    assert (chatwoot.conversations[1].status, await world.states()) == ("resolved", ["resolved"])
    assert [path for method, path in chatwoot.calls if method == "POST"] == []


# -- what agents say ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chatwoot", [False], ids=["unsigned"], indirect=True)
async def test_a_callback_ahead_of_its_message_loses_nothing(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The helpdesk calls inside the transaction that makes the message: the look sees nothing yet."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.reply(1, "您好")
    await heard(chatwoot, 2)
    uncommitted = chatwoot.conversations[1].messages.pop()
    await world.look_due()
    assert await said(world) == []
    chatwoot.conversations[1].messages.append(uncommitted)
    await world.look()
    assert await said(world) == ["您好"]


async def test_a_file_that_never_comes_is_told(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """Its message waits for a while; then the agent is told, and what was said after it goes out."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.faults.append(Fault(partial(calls, "GET", "/blobs"), 500, count=999))
    chatwoot.reply(1, "see this", files=(("a.png", b"x"),))
    chatwoot.reply(1, "and this")
    await heard(chatwoot, 3)
    await world.look()
    assert await said(world) == []
    await world.core.db.fetch("UPDATE desk_messages SET seen_at = seen_at - interval '1 hour'")
    await world.look()
    assert await said(world) == ["and this"]
    notes = [one["content"] for one in chatwoot.conversations[1].messages if one["private"]]
    assert [one.partition(":")[0] for one in notes] == ["Not sent to the customer"]


async def test_files_may_take_longer_than_a_lease(
    world: DeskWorld, chatwoot: ChatwootSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket stays with who reads it, and nobody begins again meanwhile."""
    monkeypatch.setattr(heard_rows, "LEASE", "interval '3 seconds'")
    monkeypatch.setattr(service, "KEEP_S", 0.3)
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.faults.append(
        Fault(partial(calls, "GET", "/disk"), 200, delay_s=1.2, body=b"%PDF-1.7", count=99)
    )
    chatwoot.reply(1, "see these", files=tuple((f"{n}.pdf", b"x") for n in range(3)))
    await heard(chatwoot, 2)
    async with background(world.agents.run()):
        await eventually(partial(said, world), 20.0)
    assert chatwoot.faults[0].count == 96


async def test_a_ticket_that_cannot_be_read_slows_no_other(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """One conversation is an error at every look."""
    await world.say({"id": "1", "from": "ann", "text": "one"})
    await world.delivered()
    await world.say({"id": "2", "from": "bob", "text": "two"})
    await world.delivered()
    chatwoot.webhook_url = None
    chatwoot.faults.append(Fault(partial(calls, "GET", "conversations/1"), 500, count=999))
    await world.look()
    chatwoot.reply(2, "answer")
    await world.look()
    assert await said(world) == ["answer"]


async def test_a_helpdesk_that_is_down_is_left_alone(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """After a few tickets that cannot be read the others are not tried."""
    for number in range(9):
        await world.say({"id": str(number), "from": f"person {number}", "text": "在吗"})
    await world.delivered()
    chatwoot.faults.append(Fault(partial(calls, "GET", "/conversations/"), 500, count=999))
    await world.look()
    assert chatwoot.faults[0].count == 999 - service.ROOM


async def overdue(world: DeskWorld, chatwoot: ChatwootSimulator, count: int) -> None:
    """So many tickets that nobody has looked at for an hour."""
    for number in range(count):
        await world.say({"id": str(number), "from": f"person {number}", "text": "在吗"})
    await world.delivered()
    await heard(chatwoot, count)
    await world.core.db.fetch("UPDATE tickets SET look_at = clock_timestamp() - interval '1 hour'")


async def test_a_signed_reply_waits_for_no_ticket_that_cannot_be_read(
    world: DeskWorld, chatwoot: ChatwootSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The helpdesk is left alone, and many of its tickets are to be looked at before."""
    monkeypatch.setattr(reading, "SWAPPED_S", 0.5)
    await overdue(world, chatwoot, 3 * service.ROOM)
    chatwoot.faults.append(Fault(partial(calls, "GET", "/conversations/"), 500, count=999))
    await world.look_due()
    asked = chatwoot.faults[0].count
    chatwoot.reply(3 * service.ROOM, "您好")
    await heard(chatwoot, 3 * service.ROOM + 1)
    world.agents._quiet_until["desk"] += 600
    async with background(world.agents.run()):
        await eventually(partial(said, world), 30.0)
    assert (await said(world), chatwoot.faults[0].count) == (["您好"], asked)


async def test_a_callback_comes_before_what_is_only_due(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """After an hour in which nothing could be read there is much to look at."""
    await overdue(world, chatwoot, 2 * service.ROOM)
    chatwoot.reply(2 * service.ROOM, "您好")
    await heard(chatwoot, 2 * service.ROOM + 1)
    await world.agents.once()
    await world.agents.settled()
    assert await said(world) == ["您好"]


async def test_a_note_that_is_refused_holds_back_no_reply(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The helpdesk does not take the note that an answer was refused."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.reads_first = True
    chatwoot.faults.append(
        Fault(lambda asked: b'"private":true' in (asked._read_bytes or b""), 422, count=999)
    )
    chatwoot.faults.append(Fault(partial(calls, "GET", "/blobs"), 404, count=999))
    chatwoot.reply(1, "see this", files=(("a.png", b"x"),))
    chatwoot.reply(1, "and this")
    await heard(chatwoot, 3)
    await world.look()
    await world.look()
    assert await said(world) == ["and this"]


async def test_swapped_callbacks_while_it_cannot_be_read(
    world: DeskWorld, chatwoot: ChatwootSimulator
) -> None:
    """The second answer's callback comes first, and the helpdesk does not answer just then."""
    await world.say({"id": "1", "text": "在吗"})
    await world.delivered()
    chatwoot.lose_callbacks = True
    chatwoot.reply(1, "first")
    chatwoot.lose_callbacks = False
    chatwoot.reply(1, "second")
    await heard(chatwoot, 2)
    chatwoot.faults.append(Fault(partial(calls, "GET", "conversations/1"), 429, count=1))
    await world.look()
    await world.look()
    assert await said(world) == ["first", "second"]
