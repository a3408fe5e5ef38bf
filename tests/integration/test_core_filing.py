"""Filing when things go wrong: values that no database takes, processes that end, slow channels."""

import asyncio
import contextlib
import gc
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from hub import ingest
from hub.blobs import StoreAway
from hub.channel import Account
from hub.ingest import Ingester
from hub.model import Attachment, InboundEvent, Message, Notice, Result
from hub.routing import router_of
from hub.settings import Route
from hub.store.inbox import (
    PARTITIONS,
    claim_partitions,
    keep_partitions,
    park,
    read_claimed,
    release_partitions,
)
from hub.store.models import Contact, Conversation, Inbox, MessageRow, NoticeRow, Partition
from hub.text import partition_of
from tests import corekit
from tests.corekit import (
    CHANNEL,
    NoParsers,
    background,
    eventually,
    file_all,
    ingester,
    keep,
    opened,
    settings_for,
    store,
    twin,
)

NASTY = "a\x00b\ud83d"


def nasty(event: InboundEvent, account: Account[Any], /) -> Iterator[Result]:
    """Every text that the platform may have set holds what PostgreSQL refuses."""
    for one in corekit.normalize(event, account):
        if isinstance(one, Message):
            yield msgspec.structs.replace(
                one,
                subject=NASTY,
                html=NASTY,
                external_id=NASTY,
                in_reply_to=NASTY,
                extra={NASTY: [NASTY, 10**30]},
                reply_context={NASTY: NASTY},
                known_ids=(NASTY,),
                thread_hints=(NASTY,),
                attachments=(
                    Attachment(kind="file", filename=NASTY, mime_type=NASTY, source={"u": NASTY}),
                ),
                allowances=tuple(
                    msgspec.structs.replace(allowance, trigger=NASTY, group=NASTY)
                    for allowance in one.allowances
                ),
            )
        elif isinstance(one, Notice):
            yield msgspec.structs.replace(one, kind=NASTY, text=NASTY, extra={NASTY: NASTY})
        else:
            yield one


async def test_no_text_of_a_platform_parks_a_message(database_url: str) -> None:
    """NUL and lone surrogates in any field, names and rules' texts too, become U+FFFD."""
    settings = settings_for(
        channel=msgspec.structs.replace(CHANNEL, normalize=nasty),
        routes=[Route(queue="sales", text="buy")],
        queues=("inbox", "sales"),
    )
    async with opened(database_url, settings) as core:
        said = {"from": "ann", "name": NASTY, "text": f"buy {NASTY}", "id": NASTY}
        await store(core, said | {"allow": [NASTY]}, {"type": "notice", "id": NASTY, "from": NASTY})
        await file_all(core)
        assert [row.error for row in await Inbox.filter(state=2)] == []
        assert (await MessageRow.all().count(), await NoticeRow.all().count()) == (1, 1)
        assert (await Contact.all().order_by("created_at")).pop(0).name == "a\ufffdb\ufffd"
        assert (await Conversation.get(address_value="ann")).queue == "sales"


async def test_an_error_of_a_normalizer_is_never_the_databases(database_url: str) -> None:
    """One that raises OSError (a time out of range does) is parked; the others are filed at once."""

    def picky(event: InboundEvent, account: Account[Any], /) -> Iterator[Result]:
        if b"poison" in event.body:
            raise OSError(75, "Value too large for defined data type")
        yield from corekit.normalize(event, account)

    settings = settings_for(channel=msgspec.structs.replace(CHANNEL, normalize=picky))
    async with opened(database_url, settings) as core:
        await store(core, {"text": "poison", "id": "1"}, {"text": "good", "id": "2"})
        await file_all(core)
        assert await Inbox.filter(state=2).count() == 1
        assert await MessageRow.all().count() == 1


async def test_the_batch_of_a_lost_connection_is_taken_again_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that went away for a moment costs no lease and makes no row a suspect."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        service = ingester(core)
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "read_claimed", _lost)
            with pytest.raises(ConnectionResetError):
                await service.once()
        assert await service.once() == 1
        row = await Inbox.get()
        assert (row.state, row.crashes) == (1, 0)


async def _lost(*arguments: Any) -> Any:
    raise ConnectionResetError


async def test_whoever_is_stopped_gives_its_partitions_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGTERM in the middle of a batch the next process goes on at once, without suspicion."""
    reading = asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        reading.set()
        await asyncio.sleep(60)

    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "read_claimed", slow)
            async with background(ingester(twin(core, "old")).run()):
                await asyncio.wait_for(reading.wait(), 5)
        await file_all(core)
        assert await MessageRow.all().count() == 1
        assert (await Inbox.get()).crashes == 0


async def test_only_what_was_tried_alone_is_blamed_again(database_url: str) -> None:
    """Five processes end over one row: it is parked, and those behind it are filed, not parked."""
    async with opened(database_url, settings_for()) as core:
        said = [{"from": "ann", "text": str(n), "id": str(n)} for n in range(5)]
        await store(core, *said)
        for _ in range(5):
            claimed = await claim_partitions(core.db, "victim", ["shop"], 10)
            rows = await read_claimed(core.db, claimed, 10)
            await ingester(core)._suspects_alone(claimed, rows)
            await core.db.fetch("UPDATE partitions SET lease_until = now() - interval '1 second'")
        await core.db.fetch("UPDATE partitions SET lease_until = '-infinity'")
        await file_all(core)
        parked = [json.loads(row.body or b"")["text"] for row in await Inbox.filter(state=2)]
        assert parked == ["0"]
        filed = [row.body["text"] for row in await MessageRow.all().order_by("seq")]
        assert filed == ["1", "2", "3", "4"]


async def test_a_late_renewal_does_not_take_a_partition_back(database_url: str) -> None:
    """Once it is given up, nobody holds it."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        claimed = await claim_partitions(core.db, "a", ["shop"], 10)
        await release_partitions(core.db, claimed)
        assert await keep_partitions(core.db, claimed) == set()
        assert len(await claim_partitions(core.db, "b", ["shop"], 10)) == 1


async def test_a_filed_row_cannot_be_parked(database_url: str) -> None:
    """Whoever lost its partition and parks late does not hide what another has filed."""
    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        await file_all(core)
        await park(core.db, (await Inbox.get()).id, "late")
        assert (await Inbox.get()).state == 1


async def test_trouble_of_the_database_parks_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schema that is not migrated yet says nothing about the messages."""

    async def unmigrated(*arguments: Any, **options: Any) -> Any:
        raise asyncpg.UndefinedColumnError("column does not exist")

    async with opened(database_url, settings_for()) as core:
        await store(core, {"text": "a", "id": "1"})
        service = ingester(core)
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "file_batch", unmigrated)
            with pytest.raises(asyncpg.UndefinedColumnError):
                await service.once()
        assert (await Inbox.get()).state == 0
        assert await service.once() == 1
        assert await MessageRow.all().count() == 1


async def test_a_bad_row_in_a_long_batch_costs_one_more_round(database_url: str) -> None:
    """The batch that the database refuses is filed row by row, not refused again and again."""

    def odd(event: InboundEvent, account: Account[Any], /) -> Iterator[Result]:
        for one in corekit.normalize(event, account):
            kind: Any = "k" * 99 if b"poison" in event.body else "text"
            yield msgspec.structs.replace(one, kind=kind)

    settings = settings_for(channel=msgspec.structs.replace(CHANNEL, normalize=odd))
    async with opened(database_url, settings) as core:
        texts = [str(n) for n in range(20)] + ["poison"] + [str(n) for n in range(20, 30)]
        await store(core, *({"from": "ann", "text": one, "id": one} for one in texts))
        service = ingester(core)
        rounds = 0
        with capture_logs():
            while await service.once():
                rounds += 1
        assert rounds <= 3
        assert await Inbox.filter(state=2).count() == 1
        filed = [row.body["text"] for row in await MessageRow.all().order_by("seq")]
        assert filed == [one for one in texts if one != "poison"]


async def test_a_slow_parser_keeps_nobody_else_waiting(database_url: str) -> None:
    """While a hostile channel's row is parsed, the messages of other accounts are filed."""
    parsing = asyncio.Event()

    class Slow:
        async def normalize(
            self, channel_key: str, event: InboundEvent, account: Account[Any]
        ) -> list[Result]:
            parsing.set()
            await asyncio.sleep(60)
            return []

    mail = settings_for(
        accounts=("mail",), channel=msgspec.structs.replace(CHANNEL, hostile=True)
    ).accounts
    settings = settings_for()
    settings = settings._replace(accounts={**mail, **settings.accounts})
    async with opened(database_url, settings) as core:
        await store(core, {"text": "slow", "id": "1"}, account="mail")
        service = Ingester(core, lambda settings: router_of(settings).choose, Slow(), keep)
        async with background(service.run()):
            await asyncio.wait_for(parsing.wait(), 5)
            await store(core, {"text": "quick", "id": "2"})
            core.bells.ring("ingest")
            await eventually(lambda: MessageRow.filter(account="shop").exists(), 5.0)
        assert await Partition.filter(holder=core.name, lease_until__gt=corekit.START).count() == 0


def with_file(event: InboundEvent, account: Account[Any], /) -> Iterator[Result]:
    """Every text that begins with "file" comes with one."""
    for one in corekit.normalize(event, account):
        if isinstance(one, Message) and one.text.startswith("file"):
            yield msgspec.structs.replace(
                one, attachments=(Attachment(kind="file", content=one.text.encode()),)
            )
        else:
            yield one


async def test_files_that_cannot_be_kept_keep_nobody_else_waiting(database_url: str) -> None:
    """The store of files is away: words of others are filed, and a person's own in their order."""
    asked: list[bytes] = []
    is_away = True

    async def kept(attachment: Attachment) -> Attachment:
        asked.append(attachment.content or b"")
        if is_away:
            raise StoreAway("the bucket: no answer")
        return msgspec.structs.replace(attachment, content=None, state="stored", sha256="0" * 64)

    people = ("ann", "bob", "cid", "dan", "eve")
    assert len({partition_of(who, PARTITIONS) for who in people}) == len(people)
    channel = msgspec.structs.replace(CHANNEL, normalize=with_file)
    async with opened(database_url, settings_for(channel=channel)) as core:
        said = [("ann", "file 1"), ("bob", "words"), ("ann", "after"), ("cid", "file 2")]
        said += [("dan", "words"), ("eve", "words")]
        await store(
            core, *({"from": who, "text": text, "id": f"{who}{text}"} for who, text in said)
        )
        service = Ingester(core, lambda settings: router_of(settings).choose, NoParsers(), kept)
        with pytest.raises(StoreAway):
            await service.once()
        assert asked == [b"file 1"]
        filed = await MessageRow.all().order_by("inbox_id")
        assert [row.body["text"] for row in filed] == ["words"] * 3
        is_away = False
        while await service.once():
            pass
        filed = await MessageRow.all().order_by("id")
        assert [row.body["text"] for row in filed][3:] == ["file 1", "after", "file 2"]


async def test_what_waits_for_its_files_is_not_kept_in_memory(database_url: str) -> None:
    """A batch may have 32 MB, and is read again each second: none is left to the garbage collector."""

    async def away(_attachment: Attachment) -> Attachment:
        raise StoreAway("the bucket: no answer")

    channel = msgspec.structs.replace(CHANNEL, normalize=with_file)
    async with opened(database_url, settings_for(channel=channel)) as core:
        await store(core, *({"from": "ann", "text": f"file {n}", "id": f"{n}"} for n in range(9)))
        service = Ingester(core, lambda settings: router_of(settings).choose, NoParsers(), away)
        gc.collect()
        gc.disable()
        before = events_in_memory()
        try:
            for _ in range(3):
                with contextlib.suppress(StoreAway):
                    await service.once()
            assert events_in_memory() == before
        finally:
            gc.enable()


def events_in_memory() -> int:
    return sum(isinstance(one, InboundEvent) for one in gc.get_objects())


async def test_a_batch_is_bounded_in_bytes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails of many megabytes are not all read into memory at once; none is left."""
    monkeypatch.setattr(ingest, "BATCH_BYTES", 100_000)
    async with opened(database_url, settings_for()) as core:
        said = [{"from": f"c{n}", "text": "x" * 30_000, "id": str(n)} for n in range(20)]
        said += [{"from": "huge", "text": "x" * 300_000, "id": f"huge{n}"} for n in range(2)]
        await store(core, *said)
        service = ingester(core)
        took = []
        while count := await service.once():
            took.append(count)
        assert max(took) <= 4
        assert await MessageRow.all().count() == 22


async def test_a_queue_that_is_gone_holds_no_conversation(database_url: str) -> None:
    """A message of a conversation whose queue was removed is routed anew, and somebody gets it."""
    settings = settings_for(routes=[Route(queue="sales", text="buy")], queues=("inbox", "sales"))
    async with opened(database_url, settings) as core:
        await store(core, {"text": "buy", "id": "1"})
        await file_all(core)
        core.settings = settings_for()
        await store(core, {"text": "hello?", "id": "2"})
        await file_all(core)
        assert (await Conversation.get()).queue == "inbox"


async def test_a_group_is_one_conversation_in_which_each_is_named(database_url: str) -> None:
    """It is with the group, whoever speaks; every message says who that is."""
    where = {"thread": "group:1", "group": True, "group_name": "老乡"}
    async with opened(database_url, settings_for()) as core:
        await store(core, {"from": "lin", "name": "林", "text": "hi", "id": "1"} | where)
        await store(core, {"from": "mia", "name": "Mia", "text": "ho", "id": "2"} | where)
        await store(core, {"from": "lin", "name": "林", "text": "alone", "id": "3"})
        await file_all(core)
        group = await Conversation.get(thread_key="group:1")
        assert (group.is_group, group.address_value) == (True, "group:1")
        assert (await Contact.get(id=group.contact_id)).name == "老乡"
        said = await MessageRow.filter(conversation_id=group.id).order_by("seq")
        senders: list[Any] = [one.body["sender"] for one in said]
        assert [one["name"] for one in senders] == ["林", "Mia"]
        assert [one["address"]["value"] for one in senders] == ["lin", "mia"]
        assert await Conversation.all().count() == 2
