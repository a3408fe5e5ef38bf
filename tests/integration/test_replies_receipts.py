"""Reports on what we sent: early, late, repeated, out of order; and urgent answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from hub import outbox
from hub.errors import Ambiguous
from hub.ids import new_id, show_id
from hub.model import Address, Draft, Receipt
from hub.outbox import Urgent
from hub.store import Database
from hub.store.conversations import ConversationRow
from tests.support.replies import World, acting, until_status


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=16)
    yield database
    await database.close()


async def report(world: World, *receipts: Receipt, account: str = "shop") -> None:
    """Hand reports over as filing does."""
    pairs = [(account, one) for one in receipts]
    await world.db.transaction(
        lambda tx: outbox.apply_receipts(tx, world.settings, pairs, world.core.clock())
    )


async def sent(world: World, text: str = "hello") -> tuple[UUID, str]:
    """A message that was sent, and its external id."""
    message = await world.reply(await world.conversation(str(new_id())), text)
    await until_status(world, message, "sent")
    return message, (await world.body(message))["external_id"]


async def test_a_report_moves_the_message_forward(db: Database) -> None:
    """Sent, delivered, read, each told."""
    world = World(db)
    async with world.serving():
        message, own = await sent(world)
    await report(world, Receipt(status="delivered", external_id=own, dedupe_key="1"))
    await report(world, Receipt(status="read", external_id=own, dedupe_key="2"))

    assert await world.told(message) == ["queued", "sent", "delivered", "read"]


async def test_a_lower_report_that_comes_later_is_ignored(db: Database) -> None:
    """Read stays read."""
    world = World(db)
    async with world.serving():
        message, own = await sent(world)
    await report(world, Receipt(status="read", external_id=own, dedupe_key="1"))
    await report(world, Receipt(status="delivered", external_id=own, dedupe_key="2"))
    await report(world, Receipt(status="failed", external_id=own, dedupe_key="3"))

    assert await world.told(message) == ["queued", "sent", "read"]


async def test_a_repeated_report_is_told_once(db: Database) -> None:
    """Platforms repeat their callbacks."""
    world = World(db)
    async with world.serving():
        message, own = await sent(world)
    for _ in range(3):
        await report(world, Receipt(status="delivered", external_id=own))

    assert await world.told(message) == ["queued", "sent", "delivered"]


async def test_a_report_of_failure_is_told_with_its_code(db: Database) -> None:
    """The agent sees what the operator said."""
    world = World(db)
    async with world.serving():
        message, own = await sent(world)
    await report(
        world, Receipt(status="failed", external_id=own, code="UNDELIV", detail="switched off")
    )

    body = await world.body(message)
    assert (body["status"], body["error"]["external_code"]) == ("failed", "UNDELIV")


async def test_a_report_that_is_early_waits_for_its_message(db: Database) -> None:
    """The platform reports before it answers the call."""
    world = World(db)

    async def report_first(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        receipt = world.platform.act(draft, results)
        await report(world, Receipt(status="delivered", external_id=receipt.external_id))
        return receipt

    world.platform.script = report_first
    conversation = await world.conversation()
    async with world.serving():
        message = await world.reply(conversation)
        await until_status(world, message, "delivered")

    assert await world.told(message) == ["queued", "sent", "delivered"]


async def test_a_report_at_the_very_moment_of_the_answer_is_not_lost(db: Database) -> None:
    """Each of the two transactions would miss the other without a lock on the id."""
    world = World(db)
    reporting: list[asyncio.Task[None]] = []

    async def report_beside(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        receipt = world.platform.act(draft, results)
        told = Receipt(status="delivered", external_id=receipt.external_id)
        reporting.append(asyncio.create_task(report(world, told)))
        await asyncio.sleep(0)
        return receipt

    world.platform.script = report_beside
    conversations = [await world.conversation(f"c{n}") for n in range(40)]
    async with world.serving(processes=2):
        messages = [await world.reply(one, "x") for one in conversations]
        for message in messages:
            await until_status(world, message, "delivered")
    await asyncio.gather(*reporting)


async def test_a_report_with_our_own_id_settles_an_unknown_reply(db: Database) -> None:
    """The call was never answered; the report proves that it arrived, and the rest goes out."""
    world = World(db)

    async def lost() -> None:
        world.platform.script = None
        raise Ambiguous("lost")

    world.platform.script = acting(world, lost)
    conversation = await world.conversation()
    async with world.serving():
        message = await world.reply(conversation, "one\ntwo")
        await until_status(world, message, "unknown")
        own = show_id("msg", message)
        await report(world, Receipt(status="delivered", message_id=own, external_id="late-1"))
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["one", "two"]
    assert await world.drafts(message) == ["delivered", "sent"]


async def test_a_message_is_as_far_as_the_worst_of_its_parts(db: Database) -> None:
    """Delivered when all parts are, failed when one is."""
    world = World(db)
    async with world.serving():
        message, _ = await sent(world, "one\ntwo")
    first, second = [
        row["external_id"]
        for row in await db.fetch(
            "SELECT external_id FROM drafts WHERE message_id = $1 ORDER BY position", message
        )
    ]
    await report(world, Receipt(status="delivered", external_id=first))
    assert await world.status(message) == "sent"
    await report(world, Receipt(status="delivered", external_id=second))
    assert await world.status(message) == "delivered"


async def test_a_report_of_another_account_changes_nothing(db: Database) -> None:
    """Ids are good within their account only, ours too."""
    world = World(db)
    async with world.serving():
        message, own = await sent(world)
    forged = Receipt(status="failed", external_id=own, message_id=show_id("msg", message))
    await report(world, forged, account="other")

    assert await world.status(message) == "sent"


async def test_many_reports_take_a_fixed_number_of_statements(db: Database) -> None:
    """Filing hands over whole batches."""
    world = World(db)
    async with world.serving():
        owns = [(await sent(world))[1] for _ in range(10)]
    before = db.statements
    await report(world, *[Receipt(status="delivered", external_id=own) for own in owns])

    assert db.statements - before <= 12


# --- urgent -----------------------------------------------------------------------------------------


async def urgent(world: World, conversation: UUID, *drafts: Draft) -> UUID:
    """Queue an urgent answer as filing does; the message's id."""
    row = (await world.db.fetch("SELECT * FROM conversations WHERE id = $1", conversation))[0]
    place = ConversationRow(
        id=row["id"],
        account=row["account"],
        channel=row["channel"],
        thread_key=row["thread_key"],
        contact_id=row["contact_id"],
        address=Address("test", "", row["address_value"]),
        is_group=False,
        queue=row["queue"],
        state="open",
        case_number=1,
        last_seq=row["last_seq"],
        subject=None,
        tags=[],
        reply_context="{}",
        last_inbound_at=None,
        created_at=row["created_at"],
    )
    await world.db.transaction(
        lambda tx: outbox.queue_urgent(
            tx, world.settings, [Urgent(place, drafts)], world.core.clock()
        )
    )
    world.core.bells.ring("reply")
    rows = await world.db.fetch("SELECT id FROM messages ORDER BY seq DESC LIMIT 1")
    found: UUID = rows[0]["id"]
    return found


def welcome(text: str = "welcome", **fields: Any) -> Draft:
    return Draft(method="POST", url="test://say", text=text, extra={"to": "customer"}, **fields)


async def test_an_urgent_answer_is_said_by_the_hub(db: Database) -> None:
    """It is a message of the conversation, numbered after what is there."""
    world = World(db)
    conversation = await world.conversation()
    async with world.serving():
        message = await urgent(world, conversation, welcome())
        await until_status(world, message, "sent")

    body = await world.body(message)
    assert (body["seq"], body["sender"]["role"], body["text"]) == (1, "system", "welcome")
    assert await world.told(message) == ["queued", "sent"]


async def test_an_urgent_answer_does_not_wait_behind_replies(db: Database) -> None:
    """A welcome has twenty seconds; a helpdesk's reply has hours."""
    world = World(db)
    conversation = await world.conversation()
    reply = await world.reply(conversation, "reply")
    message = await urgent(world, conversation, welcome())
    async with world.serving():
        await until_status(world, reply, "sent")
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["welcome", "reply"]


async def test_an_urgent_answer_overtakes_the_replies_of_other_conversations(db: Database) -> None:
    """A hundred lanes wait; the one with the welcome is among the first that are taken."""
    world = World(db)
    for number in range(100):
        await world.reply(await world.conversation(str(number)), "reply")
    message = await urgent(world, await world.conversation("new"), welcome())
    async with world.serving():
        await until_status(world, message, "sent")

    assert "welcome" in world.platform.texts()[:32]


async def test_an_urgent_answer_that_is_too_late_is_not_said(db: Database) -> None:
    """Its use is over."""
    world = World(db)
    conversation = await world.conversation()
    over = world.core.clock() - timedelta(seconds=1)
    async with world.serving():
        message = await urgent(world, conversation, welcome(deadline=over))
        await until_status(world, message, "failed")

    assert world.platform.seen == []
    assert (await world.body(message))["error"]["code"] == "expired"


async def test_an_urgent_answer_wakes_a_lane_that_waits(db: Database) -> None:
    """Behind an unknown reply the lane sleeps; the welcome does not."""
    world = World(db)
    conversation = await world.conversation()

    async def lost() -> None:
        world.platform.script = None
        raise Ambiguous("lost")

    world.platform.script = acting(world, lost)
    async with world.serving():
        reply = await world.reply(conversation, "reply")
        await until_status(world, reply, "unknown")
        await db.fetch("UPDATE lanes SET next_at = now() + interval '1 hour'")
        message = await urgent(world, conversation, welcome())
        await until_status(world, message, "sent", timeout=5)
