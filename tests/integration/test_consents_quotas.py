"""Nobody is written to against their word, nor beyond what the platform lets them have."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from hub.core import now
from hub.errors import OptedOut, QuotaUsedUp, Unreachable
from hub.model import Address, Allowance, Draft, Quota, Reply
from hub.store import Database
from hub.store.consents import Consent, keep_consents, withdrawn_at
from tests.corekit import file_all, opened, settings_for, store
from tests.support.replies import World, failing, until_status

PERSON = Address("test", "", "customer")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


async def says(world: World, state: str, *, ago_s: float = 0) -> None:
    """The customer withdraws or gives consent."""
    at = now() - timedelta(seconds=ago_s)
    consent = Consent("shop", PERSON, state, "opted_out", at)
    await world.db.transaction(lambda tx: keep_consents(tx, [consent]))


async def wrote(world: World, conversation: UUID, *, ago_s: float = 0) -> None:
    at = now() - timedelta(seconds=ago_s)
    await world.db.fetch(
        "UPDATE conversations SET last_inbound_at = $2 WHERE id = $1", conversation, at
    )


async def test_nobody_is_written_to_against_their_word(db: Database) -> None:
    """Refused early; the word counts until they write again, or say otherwise."""
    world = World(db)
    conversation = await world.conversation()
    await wrote(world, conversation, ago_s=60)
    await says(world, "withdrawn", ago_s=30)
    with pytest.raises(OptedOut):
        await world.reply(conversation)
    await wrote(world, conversation, ago_s=10)
    async with world.serving():
        await until_status(world, await world.reply(conversation), "sent")
    await says(world, "withdrawn")
    with pytest.raises(OptedOut):
        await world.reply(conversation)
    await says(world, "given")
    await world.reply(conversation)


async def test_a_notice_of_consent_is_kept_when_it_is_filed(database_url: str) -> None:
    """In the same transaction as the notice; the newest word counts."""
    async with opened(database_url, settings_for()) as core:
        notice = {"type": "notice", "from": "mia"}
        await store(core, notice | {"id": "n1", "consent": "withdrawn"})
        await file_all(core)
        mia = Address("test", "", "mia")
        assert await withdrawn_at(core.db, "shop", mia) is not None
        await store(core, notice | {"id": "n2", "consent": "given"}, notice | {"id": "n3"})
        await file_all(core)
        assert await withdrawn_at(core.db, "shop", mia) is None


async def test_a_word_that_comes_late_changes_nothing(db: Database) -> None:
    """They are kept by their own time."""
    world = World(db)
    await says(world, "given")
    await says(world, "withdrawn", ago_s=60)
    assert await withdrawn_at(db, "shop", PERSON) is None
    assert await withdrawn_at(db, "other", PERSON) is None


async def test_a_reply_that_waits_is_stopped_too(db: Database) -> None:
    """The word came after it was accepted and before it left."""
    world = World(db)
    conversation = await world.conversation()
    message = await world.reply(conversation)
    await says(world, "withdrawn")
    async with world.serving():
        await until_status(world, message, "failed")
    assert (await world.body(message))["error"]["code"] == "opted_out"
    assert world.platform.log == []


async def test_what_the_platform_knows_is_kept(db: Database) -> None:
    """It refuses a number as opted out: the next reply is refused before it is sent."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, OptedOut("unsubscribed", external_code=21610))
    async with world.serving():
        await until_status(world, await world.reply(conversation), "failed")
    with pytest.raises(OptedOut):
        await world.reply(conversation)


def limited(world: World, *quotas: Quota) -> None:
    """Every draft counts under *quotas*."""
    compose = world.sender.compose

    def limiting(reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        return [replace(one, quotas=quotas) for one in compose(reply, allowances)]

    world.sender.compose = limiting  # type: ignore[method-assign]


async def test_a_days_quota_refuses_early(db: Database) -> None:
    """Two are allowed: the third is refused, and says when there is room."""
    world = World(db)
    limited(world, Quota("day:1", 2, 86400.0))
    conversation = await world.conversation()
    async with world.serving():
        for _ in range(2):
            await until_status(world, await world.reply(conversation), "sent")
    with pytest.raises(QuotaUsedUp) as refused:
        await world.reply(conversation)
    assert "24 hours" in refused.value.detail
    assert len(world.platform.log) == 2


async def test_a_days_quota_counts_what_was_accepted_together(db: Database) -> None:
    """All four were accepted before any was sent: two go out."""
    world = World(db)
    limited(world, Quota("day:1", 2, 86400.0))
    conversation = await world.conversation()
    messages = [await world.reply(conversation, f"text {n}") for n in range(4)]
    async with world.serving():
        ends = [await until_status(world, one, "sent", "failed") for one in messages]
    assert ends == ["sent", "sent", "failed", "failed"]
    assert (await world.body(messages[3]))["error"]["code"] == "quota_used_up"
    assert world.platform.texts() == ["text 0", "text 1"]


async def test_a_short_quota_is_waited_for(db: Database) -> None:
    """One in half a second: both arrive, in order."""
    world = World(db)
    limited(world, Quota("same:1", 1, 0.5))
    conversation = await world.conversation()
    messages = [await world.reply(conversation, text) for text in ("one", "two")]
    async with world.serving():
        for one in messages:
            await until_status(world, one, "sent")
    assert world.platform.texts() == ["one", "two"]


async def test_what_did_not_leave_does_not_count(db: Database) -> None:
    """A call that never reached the platform is given back."""
    world = World(db)
    limited(world, Quota("day:1", 1, 86400.0))
    conversation = await world.conversation()
    world.platform.script = failing(world, Unreachable("refused"), Unreachable("refused"))
    async with world.serving():
        await until_status(world, await world.reply(conversation), "sent")
    rows: list[Any] = await db.fetch("SELECT key FROM quota_uses")
    assert len(rows) == 1
