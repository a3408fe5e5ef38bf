"""Replies with files: uploaded before they are said, used again, and made again when they are gone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest

from hub.errors import Stale
from hub.ids import new_id, show_id
from hub.model import Draft, Receipt
from hub.replies import Author, InvalidReply, ReplyRequest, accept
from hub.replies.request import AttachmentRequest
from hub.store import Database
from tests.support.replies import QUICK, World, until_status


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


async def test_results_of_earlier_calls_reach_later_ones(db: Database) -> None:
    """An upload's id is there when the file is said."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving():
        message = await world.reply(conversation, "file:a\nfile:b")
        await until_status(world, message, "sent")

    assert world.platform.prepared == ["file:a", "file:b"]
    assert world.platform.log[1].results == {"media_0": "m:file:a", "media_1": "m:file:b"}


async def test_an_equal_upload_is_used_again_while_it_is_fresh(db: Database) -> None:
    """Another message of the account does not upload the same file."""
    world = World(db)
    first, second = await world.conversation("a"), await world.conversation("b")
    async with world.serving():
        await until_status(world, await world.reply(first, "file:a"), "sent")
        await until_status(world, await world.reply(second, "file:a"), "sent")

    assert world.platform.prepared == ["file:a"]
    assert world.platform.log[1].results == {"media_0": "m:file:a"}


async def test_an_upload_that_may_have_arrived_is_made_again(db: Database) -> None:
    """A prepare speaks to nobody: repeating it does no harm."""
    world = World(db)
    conversation = await world.conversation()
    slow = [True]

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        if draft.role == "prepare" and slow and slow.pop():
            world.platform.act(draft, results)
            await asyncio.sleep(5)
        return world.platform.act(draft, results)

    world.platform.script = script
    async with world.serving():
        message = await world.reply(conversation, "file:a")
        await until_status(world, message, "sent")

    assert world.platform.prepared == ["file:a", "file:a"]
    assert world.platform.texts() == ["file:a"]


async def _file(db: Database, token: Any, state: str = "stored") -> str:
    own = new_id()
    await db.fetch(
        "INSERT INTO attachments (id, kind, state, source, tries, created_at, token_id, filename) "
        "VALUES ($1, 'image', $2, '{}', 0, now(), $3, 'a.png')",
        own,
        state,
        token,
    )
    return show_id("att", own)


async def test_only_own_and_stored_uploads_can_be_sent(db: Database) -> None:
    """Another token's file is not there."""
    world = World(db)
    conversation = await world.conversation()
    mine, other = new_id(), new_id()

    async def send(file: str) -> dict[str, Any]:
        request = ReplyRequest(text="see", attachments=(AttachmentRequest(id=file),))
        accepted = await db.transaction(
            lambda tx: accept(
                world.core, tx, {"id": conversation}, request, author=Author("agent", mine)
            )
        )
        return dict(accepted.message)

    shown = await send(await _file(db, mine))
    assert shown["attachments"][0]["filename"] == "a.png"
    for refused in (await _file(db, other), await _file(db, mine, "pending"), "att_nonsense"):
        with pytest.raises(InvalidReply):
            await send(refused)


async def test_a_file_by_url_is_waited_for(db: Database) -> None:
    """The lane sleeps until the file is there."""
    world = World(db)
    conversation = await world.conversation()
    attachment = AttachmentRequest(url="https://example.com/a.png", kind="image")
    async with world.serving():
        message = await world.reply(conversation, "see", attachments=(attachment,))
        await asyncio.sleep(0.4)
        assert await world.status(message) == "queued"
        await db.fetch("UPDATE attachments SET state = 'stored'")
        await until_status(world, message, "sent")


async def test_a_file_that_is_gone_is_uploaded_again(db: Database) -> None:
    """Neither this reply nor a later one uses what the platform has forgotten."""
    world = World(db)
    conversation = await world.conversation()
    forgotten = set()

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        if draft.role == "say" and set(results.values()) & forgotten:
            raise Stale("40007")
        receipt = world.platform.act(draft, results)
        if draft.role == "prepare":
            number = len(world.platform.prepared)
            return msgspec.structs.replace(receipt, results={draft.result: f"m{number}"})
        return receipt

    world.platform.script = script
    async with world.serving():
        await until_status(world, await world.reply(conversation, "file:a"), "sent")
        await until_status(world, await world.reply(conversation, "file:a"), "sent")
        assert len(world.platform.prepared) == 1
        forgotten.add("m1")
        await until_status(world, await world.reply(conversation, "file:a"), "sent")
        await until_status(world, await world.reply(conversation, "file:a"), "sent")

    assert len(world.platform.prepared) == 2
    assert [list(one.results.values()) for one in world.platform.log] == [
        ["m1"],
        ["m1"],
        ["m2"],
        ["m2"],
    ]


async def test_a_file_that_is_never_there_fails(db: Database) -> None:
    """It is not uploaded for ever."""
    world = World(db)
    conversation = await world.conversation()

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        if draft.role == "say":
            raise Stale("40007")
        return world.platform.act(draft, results)

    world.platform.script = script
    async with world.serving():
        await until_status(world, await world.reply(conversation, "file:a"), "failed")
    assert len(world.platform.prepared) == 1 + len(QUICK.retries_s)
