"""Filing: dedupe, order, partitions, threads, and rows that cannot be filed."""

import asyncio
from uuid import UUID

import msgspec

from hub.settings import Route
from hub.store.inbox import Arrived, claim_partitions, insert_events, park, read_claimed, unpark
from hub.store.models import Conversation, EventRow, Inbox, MessageRow, NoticeRow
from tests.corekit import event, file_all, ingester, opened, settings_for, store, twin


async def test_a_message_is_filed_with_its_conversation(database_url: str) -> None:
    """The first message makes a contact, a conversation and two events."""
    async with opened(database_url, settings_for("http://127.0.0.1:1/")) as core:
        await store(core, {"from": "ann", "text": "hello", "id": "1"})
        await file_all(core)
        message = await MessageRow.get()
        conversation = await Conversation.get()
        assert (message.body["text"], message.seq, conversation.last_seq) == ("hello", 1, 1)
        assert message.body["conversation"]["id"].startswith("cnv_")
        types = await EventRow.all().order_by("id").values_list("type", flat=True)
        assert list(types) == ["conversation.created", "message.received"]


async def test_the_same_event_twice_is_stored_once(database_url: str) -> None:
    """A second copy of the same event is not stored, nor filed."""
    async with opened(database_url, settings_for()) as core:
        for _ in range(2):
            await store(core, {"from": "ann", "text": "hello", "id": "1"})
        await file_all(core)
        assert (await Inbox.all().count(), await MessageRow.all().count()) == (1, 1)


async def test_two_events_with_one_message_make_one_message(database_url: str) -> None:
    """The message's own key guards it when two different events bring it, also in one batch."""
    async with opened(database_url, settings_for()) as core:
        await store(
            core, {"text": "a", "id": "1", "event": "x"}, {"text": "a", "id": "1", "event": "y"}
        )
        await file_all(core)
        await store(core, {"text": "a", "id": "1", "event": "z"})
        await file_all(core)
        assert await MessageRow.all().count() == 1
        assert await Inbox.filter(state=1).count() == 3
        assert (await Conversation.get()).last_seq == 1


async def test_replaying_a_filed_row_doubles_nothing(database_url: str) -> None:
    """`hub replay` files a raw event again; what came of it before stays as it is."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"}, {"type": "notice", "id": "2"})
        await file_all(core)
        await Inbox.all().update(state=0)
        await file_all(core)
        counts = [await model.all().count() for model in (MessageRow, NoticeRow, EventRow)]
        assert counts == [1, 1, 3]


async def test_order_is_kept_by_many_ingesters(database_url: str) -> None:
    """2,000 messages of 20 busy conversations, eight ingesters: no inversion."""
    async with opened(database_url, settings_for()) as core:
        said = [{"from": f"c{n % 20}", "text": str(n), "id": str(n)} for n in range(2000)]
        services = [ingester(twin(core, f"p{n}")) for n in range(8)]
        tasks = [asyncio.create_task(service.run()) for service in services]
        for start in range(0, 2000, 50):
            await insert_events(
                core.db, [Arrived("shop", "test", event(one)) for one in said[start : start + 50]]
            )
        while await Inbox.filter(state=0).exists():
            for service in services:
                service._core.bells.ring("ingest")
            await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        filed: dict[UUID, list[int]] = {}
        for row in await MessageRow.all().order_by("seq"):
            filed.setdefault(row.conversation_id, []).append(int(str(row.body["text"])))
        assert sum(map(len, filed.values())) == 2000
        assert all(texts == sorted(texts) for texts in filed.values())


async def test_a_lost_partition_is_not_filed(database_url: str) -> None:
    """A holder whose epoch was raised writes nothing: the row waits for the new holder."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        slow = ingester(twin(core, "slow"))
        claimed = await claim_partitions(core.db, "slow", ["shop"], 10)
        rows = await read_claimed(core.db, claimed, 10)
        await core.db.fetch("UPDATE partitions SET lease_until = now() - interval '1 second'")
        assert await claim_partitions(core.db, "quick", ["shop"], 10)
        reads, _ = await slow._read_all(core.settings, rows)
        await slow._file(core.settings, claimed, reads)
        assert await MessageRow.all().count() == 0
        assert await Inbox.filter(state=0).count() == 1


async def test_a_held_partition_is_nobody_elses(database_url: str) -> None:
    """While a lease stands, no other process takes the partition."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        assert len(await claim_partitions(core.db, "a", ["shop"], 10)) == 1
        assert await claim_partitions(core.db, "b", ["shop"], 10) == []


async def test_a_row_that_cannot_be_read_is_parked_and_its_neighbours_filed(
    database_url: str,
) -> None:
    """What the normalizer cannot read is set aside, visible, and comes back on request."""
    async with opened(database_url, settings_for()) as core:
        await store(
            core,
            {"text": "before", "id": "1"},
            {"type": "broken", "id": "2"},
            {"text": "after", "id": "3"},
        )
        await file_all(core)
        parked = await Inbox.get(state=2)
        assert "this normalizer cannot" in (parked.error or "")
        assert [m.body["text"] for m in await MessageRow.all().order_by("seq")] == [
            "before",
            "after",
        ]
        assert await unpark(core.db, None) == 1


async def test_a_row_that_kills_its_process_is_tried_alone_and_parked(database_url: str) -> None:
    """After three processes ended over it, a row is parked; the ones behind it are filed."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "killer", "id": "1"}, {"text": "behind", "id": "2"})
        for _ in range(3):
            await claim_partitions(core.db, "victim", ["shop"], 10)
            await core.db.fetch("UPDATE partitions SET lease_until = now() - interval '1 second'")
            victim = ingester(twin(core, "victim"))
            claimed = await claim_partitions(core.db, "victim", ["shop"], 10)
            rows = await read_claimed(core.db, claimed, 10)
            chosen = await victim._suspects_alone(claimed, rows)
            assert [row.event.body for row in chosen][:1] == [rows[0].event.body]
            assert len(chosen) <= 1
        await core.db.fetch("UPDATE partitions SET lease_until = '-infinity'")
        await core.db.fetch("UPDATE inbox SET crashes = crashes + 1 WHERE id = 1")
        await file_all(core)
        assert [row.error for row in await Inbox.filter(state=2)] == ["crashed 4 times"]
        assert [m.body["text"] for m in await MessageRow.all()] == ["behind"]


async def test_hints_lead_to_the_conversation_they_name(database_url: str) -> None:
    """A mail that refers to a known id joins its thread, also within one batch."""
    async with opened(database_url, settings_for()) as core:
        await store(
            core,
            {"text": "first", "id": "1", "thread": "t1", "known": ["a@x"]},
            {"text": "reply", "id": "2", "thread": "t2", "hints": ["a@x"], "known": ["b@x"]},
        )
        await file_all(core)
        await store(core, {"text": "again", "id": "3", "thread": "t3", "hints": ["?", "b@x"]})
        await file_all(core)
        assert await Conversation.all().count() == 1
        assert (await Conversation.get()).last_seq == 3


async def test_nobody_walks_into_another_persons_thread(database_url: str) -> None:
    """A stranger who quotes a thread's id, or its key, gets a conversation of their own."""
    async with opened(database_url, settings_for()) as core:
        await store(
            core, {"from": "ann", "text": "mine", "id": "1", "thread": "t", "known": ["a@x"]}
        )
        await file_all(core)
        await store(core, {"from": "eve", "text": "hi", "id": "2", "thread": "t", "hints": ["a@x"]})
        await store(core, {"from": "eve", "text": "me", "id": "3", "thread": "t", "hints": ["a@x"]})
        await file_all(core)
        addresses = await Conversation.all().order_by("id").values_list("address_value", "last_seq")
        assert list(addresses) == [("ann", 1), ("eve", 2)]


async def test_a_resolved_conversation_reopens_with_a_new_case(database_url: str) -> None:
    """A message to a resolved conversation routes it anew and raises its case number."""
    routes = [Route(queue="sales", text="buy")]
    settings = settings_for(routes=routes, queues=("inbox", "sales"))
    async with opened(database_url, settings) as core:
        await store(core, {"text": "hello", "id": "1"})
        await file_all(core)
        await Conversation.all().update(state="resolved")
        await store(core, {"text": "I want to buy", "id": "2"})
        await file_all(core)
        conversation = await Conversation.get()
        found = (conversation.state, conversation.case_number, conversation.queue)
        assert found == ("open", 2, "sales")
        assert await EventRow.filter(type="conversation.updated").count() == 1


async def test_a_conversation_is_told_with_its_contacts_name(database_url: str) -> None:
    """Also where the contact was made by an earlier batch: nobody's name is overwritten with nothing."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "hello", "id": "1", "name": "Ann"})
        await file_all(core)
        await Conversation.all().update(state="resolved")
        await store(core, {"text": "again", "id": "2"})
        await file_all(core)
        told = await EventRow.get(type="conversation.updated")
        shown = msgspec.json.decode(bytes(told.body))["data"]["conversation"]
        assert shown["contact"]["name"] == "Ann"


async def test_text_that_postgresql_refuses_is_kept_readable(database_url: str) -> None:
    """NUL and lone surrogates become U+FFFD; the message is not lost."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"from": "a\x00\ud800", "text": "x\x00\ud83d y", "id": "\x00\udfff"})
        await file_all(core)
        assert (await MessageRow.get()).body["text"] == "x\ufffd\ufffd y"
        assert (await Conversation.get()).thread_key == "a\ufffd\ufffd"


async def test_an_ignored_event_says_why(database_url: str) -> None:
    """A row of which nothing came keeps the reason."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"type": "ignored", "id": "1"})
        await file_all(core)
        assert (await Inbox.get()).error == "ignored: nobody needs it"


async def test_a_thousand_messages_take_few_statements(database_url: str) -> None:
    """Claim many, read many, record many: at most 300 statements per 1,000 messages, here far fewer."""
    async with opened(database_url, settings_for("http://127.0.0.1:1/")) as core:
        said = [{"from": f"c{n % 50}", "text": str(n), "id": str(n)} for n in range(1000)]
        before = core.db.statements
        await store(core, *said)
        await file_all(core)
        assert await MessageRow.all().count() == 1000
        assert core.db.statements - before <= 100


async def test_a_parked_row_can_be_parked_by_hand(database_url: str) -> None:
    """Parking sets one row aside and says why."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        await park(core.db, (await Inbox.get()).id, "because")
        await file_all(core)
        assert (await Inbox.get()).error == "because"
        assert await MessageRow.all().count() == 0


async def test_an_agents_words_in_the_platforms_client_open_nothing(database_url: str) -> None:
    """They stand in the conversation; the customer's last message stays the last."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"from": "ann", "name": "Ann", "text": "hello", "id": "1"})
        await file_all(core)
        before = await Conversation.get()
        await core.db.fetch("UPDATE conversations SET last_inbound_at = '2026-01-01T00:00Z'")
        await store(core, {"from": "ann", "text": "hi, Ann", "id": "2", "role": "agent"})
        await file_all(core)
        after = await Conversation.get()
        assert (after.last_seq, after.id) == (2, before.id)
        assert str(after.last_inbound_at).startswith("2026-01-01")
        said = (await MessageRow.get(seq=2)).body
        assert (said["sender"]["role"], said["reply"]) == ("agent", None)


async def test_a_nameless_message_does_not_take_a_name_away(database_url: str) -> None:
    """Whoever is named once in a batch has a name."""
    async with opened(database_url, settings_for()) as core:
        await store(
            core,
            {"from": "ann", "name": "Ann", "text": "a", "id": "1"},
            {"from": "ann", "text": "b", "id": "2"},
        )
        await file_all(core)
        assert (await core.db.fetch("SELECT name FROM contacts"))[0]["name"] == "Ann"
