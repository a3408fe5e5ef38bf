"""A reply from acceptance to its end, on a test channel."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from hub.errors import (
    BadCredentials,
    RateLimited,
    RecipientGone,
    Rejected,
    Unreachable,
    Unsupported,
)
from hub.exchange import Exchange, observers
from hub.ids import new_id, show_id
from hub.model import Draft, Receipt
from hub.replies import (
    InvalidReply,
    NotNow,
    ReplyRequest,
    UnknownMessage,
    cancel,
    resend,
)
from hub.store import Database
from tests.support.replies import QUICK, World, failing, until, until_status


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


async def test_a_reply_is_said_and_its_status_told(db: Database) -> None:
    """Accepted, queued, sent: each told once, in order."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving():
        message = await world.reply(conversation, "hello")
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["hello"]
    assert await world.told(message) == ["queued", "sent"]
    assert (await world.body(message))["external_id"].startswith("ext-1-msg_")


async def test_a_reply_that_the_channel_cannot_say_is_refused_early(db: Database) -> None:
    """Nothing of it is stored."""
    world = World(db)
    conversation = await world.conversation()

    with pytest.raises(Unsupported):
        await world.reply(conversation, "unsupported")
    assert await db.fetch("SELECT FROM messages") == []


async def test_an_empty_reply_is_refused(db: Database) -> None:
    """There is nothing to say."""
    world = World(db)
    conversation = await world.conversation()

    with pytest.raises(InvalidReply):
        await world.reply(conversation, "  ")


def test_a_request_takes_nothing_that_it_does_not_know() -> None:
    """A misspelt field is a mistake, not a reply without it."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"text": "a", "txt": "b"}', type=ReplyRequest)


async def test_a_text_with_a_nul_is_said_without_it(db: Database) -> None:
    """What PostgreSQL cannot keep does not break the reply."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving():
        message = await world.reply(conversation, "a\x00b \\u0000")
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["a\ufffdb \\u0000"]


# --- what platforms answer --------------------------------------------------------------------------


async def test_what_was_not_sent_is_tried_again(db: Database) -> None:
    """Refused connections and a slower pace asked for: the reply goes out in the end, once."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, Unreachable("refused"), RateLimited(retry_after=0.2))
    async with world.serving():
        message = await world.reply(conversation)
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["hello"]
    assert await world.told(message) == ["queued", "sent"]


async def test_at_the_end_of_the_schedule_the_reply_fails(db: Database) -> None:
    """The agent is told why."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, *[Unreachable("refused")] * 9)
    async with world.serving():
        message = await world.reply(conversation)
        await until_status(world, message, "failed")

    assert len(world.platform.seen) == 1 + len(QUICK.retries_s)
    assert (await world.body(message))["error"]["code"] == "unreachable"


@pytest.mark.parametrize("error", [RecipientGone("gone"), Rejected("no", external_code=45)])
async def test_a_refusal_fails_the_reply_and_the_lane_goes_on(
    db: Database, error: Exception
) -> None:
    """One bad reply does not stop the next; parts behind the refused one stay unsaid."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, error)
    async with world.serving():
        refused = await world.reply(conversation, "one\ntwo")
        following = await world.reply(conversation, "three")
        await until_status(world, following, "sent")

    assert world.platform.texts() == ["three"]
    assert await world.drafts(refused) == ["failed", "cancelled"]
    shown = (await world.body(refused))["error"]
    assert (shown["parts"], shown["parts_sent"]) == (2, 0)


async def test_bad_credentials_stop_the_account_and_keep_the_reply(db: Database) -> None:
    """Nothing is lost while an admin mends the account."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, BadCredentials("secret changed"))
    async with world.serving():
        message = await world.reply(conversation)
        await until(lambda: _is(bool(world.accounts.told)))
        assert await world.status(message) in ("queued", "sending")
        await until_status(world, message, "sent")

    assert world.accounts.told == [("shop", "secret changed")]
    assert world.platform.texts() == ["hello"]


async def _is(value: bool) -> bool:
    return value


async def test_a_stopped_account_says_nothing(db: Database) -> None:
    """Its lanes wait until it is revived."""
    world = World(db)
    conversation = await world.conversation()
    await db.fetch("INSERT INTO accounts (name, state) VALUES ('shop', 'stopped')")
    async with world.serving():
        message = await world.reply(conversation)
        await asyncio.sleep(0.5)
        assert await world.status(message) == "queued"
        await db.fetch("UPDATE accounts SET state = 'ok'")
        await until_status(world, message, "sent")


async def test_replies_of_a_removed_account_fail_loudly(db: Database) -> None:
    """Nobody waits for what can never go out."""
    world = World(db)
    conversation = await world.conversation()
    message = await world.reply(conversation)
    world.accounts.running.clear()
    world.core.settings = world.settings._replace(accounts={})
    later = world.core.clock() + timedelta(minutes=5)
    world.core.clock = lambda: later
    async with world.serving():
        await until_status(world, message, "failed")

    assert (await world.body(message))["error"]["code"] == "account_removed"


async def test_a_channel_that_breaks_leaves_the_reply_unknown(db: Database) -> None:
    """Nobody knows how far a sender with a bug has got."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, RuntimeError("bug"))
    async with world.serving():
        message = await world.reply(conversation)
        await until_status(world, message, "unknown")

    assert (await world.body(message))["error"]["code"] == "ambiguous"


async def test_the_outcome_is_kept_while_the_database_is_away(db: Database) -> None:
    """It goes away between the call and the record: the reply is sent, and does not become unknown."""
    world = World(db)
    conversation = await world.conversation()
    away = [0]

    class Flaky:
        def __getattr__(self, name: str) -> Any:
            return getattr(db, name)

        async def transaction(self, work: Any) -> Any:
            if away[0]:
                away[0] -= 1
                raise ConnectionRefusedError("the database is away")
            return await db.transaction(work)

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        away[0] = 3
        return world.platform.act(draft, results)

    message = await world.reply(conversation)
    world.platform.script = script
    world.core.db = Flaky()  # type: ignore[assignment]
    async with world.serving(QUICK._replace(sweep_s=60.0)):
        await until_status(world, message, "sent")

    assert await world.told(message) == ["queued", "sent"]


async def test_the_http_of_a_call_is_kept_with_its_draft(db: Database) -> None:
    """For the trace: what was said to the platform and what it answered, redacted by the tool."""
    world = World(db)
    conversation = await world.conversation()

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        for tell in observers(None):
            tell(Exchange(world.core.clock(), "POST", "test://say", 200, "hi", "ok", None, 3))
        return world.platform.act(draft, results)

    world.platform.script = script
    async with world.serving():
        message = await world.reply(conversation, "one\ntwo")
        await until_status(world, message, "sent")

    rows = await db.fetch(
        "SELECT d.position, e.status FROM exchanges e JOIN drafts d ON d.id = e.subject_id "
        "WHERE d.message_id = $1 ORDER BY 1",
        message,
    )
    assert [tuple(row) for row in rows] == [(0, 200), (1, 200)]


# --- references --------------------------------------------------------------------------------------


async def test_a_reply_refers_to_messages_of_its_conversation_only(db: Database) -> None:
    """Another conversation's message is not there."""
    world = World(db)
    conversation, other = await world.conversation("a"), await world.conversation("b")
    message = await world.reply(conversation, "one")

    await world.reply(conversation, "two", in_reply_to=show_id("msg", message))
    with pytest.raises(InvalidReply):
        await world.reply(other, "three", in_reply_to=show_id("msg", message))


# --- a person's word --------------------------------------------------------------------------------


async def test_a_queued_reply_can_be_cancelled(db: Database) -> None:
    """It is never said, and says why."""
    world = World(db)
    conversation = await world.conversation()
    message = await world.reply(conversation)
    shown = await cancel(world.core, message)
    following = await world.reply(conversation, "next")
    async with world.serving():
        await until_status(world, following, "sent")

    assert (shown["status"], shown["error"]["code"]) == ("failed", "cancelled")
    assert world.platform.texts() == ["next"]


async def test_what_is_sent_can_be_neither_cancelled_nor_sent_again(db: Database) -> None:
    """It is said."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving():
        message = await world.reply(conversation)
        await until_status(world, message, "sent")

    for act in (resend, cancel):
        with pytest.raises(NotNow):
            await act(world.core, message)
        with pytest.raises(UnknownMessage):
            await act(world.core, new_id())


async def test_resending_a_queued_reply_tries_it_now(db: Database) -> None:
    """A person need not wait for the schedule."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, Unreachable("refused"))
    async with world.serving(QUICK._replace(retries_s=(60.0, 60.0))):
        message = await world.reply(conversation)
        await until(lambda: _is(bool(world.platform.seen)))
        await until_status(world, message, "queued")
        await resend(world.core, message)
        await until_status(world, message, "sent")
