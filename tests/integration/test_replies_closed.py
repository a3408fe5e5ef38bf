"""When a platform allows no reply now: the account's template, or another channel of the contact."""

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest

from hub.errors import WindowClosed
from hub.ids import new_id, read_id, show_id
from hub.outbox import release_held
from hub.replies import Author, ReplyRequest, accept, cancel
from hub.settings import AccountPlan, ClosedTemplate
from hub.store import Database
from tests.support.replies import Running, TestSender, World, channel, failing, until_status

TEMPLATE = ClosedTemplate(id="NOTE", params={"thing1": "{text}", "thing2": "客服"})


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


def with_template(db: Database) -> World:
    return World(db, windowed=True, when_closed="template", closed_template=TEMPLATE, desk=True)


async def closed(world: World) -> UUID:
    """A conversation in which nothing may be said now."""
    conversation = await world.conversation()
    await world.allow(conversation, 0)
    return conversation


async def customer_writes(world: World, conversation: UUID) -> None:
    await world.allow(conversation, 5, key="next")
    await world.db.transaction(
        lambda tx: release_held(tx, world.settings, [conversation], world.core.clock())
    )
    world.core.bells.ring("reply")


async def test_a_short_reply_goes_by_template(db: Database) -> None:
    """The template says all of it; the reply is sent, and a note tells how."""
    world = with_template(db)
    conversation = await closed(world)
    async with world.serving():
        reply = await world.reply(conversation, "已发货")
        await until_status(world, reply, "sent")
    assert world.platform.texts() == ["已发货"]
    assert world.platform.seen[0].url == "test://template"
    assert "said by template NOTE" in (await world.body(reply))["extra"]["notes"][0]


async def test_a_long_reply_is_announced_once_and_waits(db: Database) -> None:
    """Nothing of it is lost: the customer is told, writes, and gets all of it, in order."""
    world = with_template(db)
    conversation = await closed(world)
    long = "一" * 30
    async with world.serving():
        first = await world.reply(conversation, long)
        second = await world.reply(conversation, "short")
        await until_status(world, first, "held")
        await until_status(world, second, "held")
        await customer_writes(world, conversation)
        await until_status(world, second, "sent")
    assert world.platform.texts() == ["[template] " + "一" * 19 + "… 客服", long, "short"]


async def test_what_stood_behind_a_cancelled_reply_is_not_announced_again(db: Database) -> None:
    """A person takes the first one back: the customer has been told that something waits, and it does."""
    world = with_template(db)
    conversation = await closed(world)
    async with world.serving():
        first = await world.reply(conversation, "一" * 30)
        second = await world.reply(conversation, "二" * 30)
        await until_status(world, second, "held")
        await cancel(world.core, first)
        await until_status(world, first, "failed")
        third = await world.reply(conversation, "三" * 30)
        await until_status(world, second, "held")
        await customer_writes(world, conversation)
        await until_status(world, third, "sent")
    texts = world.platform.texts()
    assert texts == ["[template] " + "一" * 19 + "… 客服", "二" * 30, "三" * 30]


async def test_the_platform_closes_the_window_itself(db: Database) -> None:
    """It refuses what we thought it would take, and no allowance was known: the template goes out."""
    world = with_template(db)
    conversation = await world.conversation()
    world.platform.script = failing(world, WindowClosed("45015"))
    async with world.serving():
        reply = await world.reply(conversation, "已发货")
        await until_status(world, reply, "sent")
    assert [one.url for one in world.platform.seen] == ["test://say", "test://template"]


def two_channels(db: Database) -> World:
    """``shop`` has windows; ``mail`` has none, and is the way out."""
    world = World(db, windowed=True, when_closed="other", closed_accounts=("mail",), desk=True)
    shop = world.settings.accounts["shop"]
    mail = AccountPlan(
        msgspec.structs.replace(shop.account, name="mail"), channel(), True, "hold", None, None
    )
    world.settings = world.settings._replace(accounts={"shop": shop, "mail": mail})
    world.accounts.running["mail"] = Running(mail, TestSender(world.platform))
    world.core = world.new_core()
    return world


async def known_on_both(world: World) -> tuple[UUID, UUID]:
    """Conversations of one contact with both accounts."""
    contact = new_id()
    shop = await world.conversation("openid", "shop")
    mail = await world.conversation("lin@mail.example", "mail")
    await world.db.fetch(
        "UPDATE conversations SET contact_id = $1 WHERE id = ANY($2::uuid[])", contact, [shop, mail]
    )
    return shop, mail


async def test_another_channel_of_the_contact_says_it(db: Database) -> None:
    """The reply becomes a message of the other conversation; the answer to the helpdesk says so."""
    world = two_channels(db)
    shop, mail = await known_on_both(world)
    await world.allow(shop, 0)
    async with world.serving():
        reply = await world.reply(shop, "hello")
        await until_status(world, reply, "sent")
    assert world.platform.texts("lin@mail.example") == ["hello"]
    assert (await world.body(reply))["conversation"]["id"] == show_id("cnv", mail)


async def test_nobody_is_led_into_a_queue_that_they_do_not_see(db: Database) -> None:
    """Neither at once nor later, when the window closes on what is queued: the reply waits."""
    world = two_channels(db)
    shop, mail = await known_on_both(world)
    await db.fetch("UPDATE conversations SET queue = 'secret' WHERE id = $1", mail)
    await world.allow(shop, 0)

    async def said(queues: tuple[str, ...] | None) -> UUID:
        author = Author("desk", queues=queues)
        accepted = await db.transaction(
            lambda tx: accept(
                world.core, tx, {"id": shop}, ReplyRequest(text="hello"), author=author
            )
        )
        own = read_id("cnv", accepted.message["conversation"].id)
        assert own is not None
        return own

    assert await said(("inbox",)) == shop
    assert await said(("inbox", "secret")) == mail
    assert await said(None) == mail


async def test_a_window_that_closes_leads_nobody_into_a_foreign_queue(db: Database) -> None:
    """What its author sees is kept with a reply that waits."""
    world = two_channels(db)
    shop, mail = await known_on_both(world)
    await db.fetch("UPDATE conversations SET queue = 'secret' WHERE id = $1", mail)
    await world.allow(shop, 5)
    world.platform.script = failing(world, WindowClosed("45047"))
    author = Author("desk", queues=("inbox",))
    async with world.serving():
        accepted = await db.transaction(
            lambda tx: accept(world.core, tx, {"id": shop}, ReplyRequest(text="a"), author=author)
        )
        accepted.ring(world.core)
        await until_status(world, accepted.message_id, "held")
    assert await db.fetch("SELECT FROM messages WHERE account = 'mail'") == []


async def test_a_window_that_closes_meanwhile(db: Database) -> None:
    """The queued reply ends as moved, and names the message that took its place."""
    world = two_channels(db)
    shop, _ = await known_on_both(world)
    await world.allow(shop, 5)
    world.platform.script = failing(world, WindowClosed("45047"))
    async with world.serving():
        reply = await world.reply(shop, "hello")
        await until_status(world, reply, "failed")
        error = (await world.body(reply))["error"]
        assert error["code"] == "moved"
        assert "by mail" in error["detail"]
        rows = await world.db.fetch("SELECT id FROM messages WHERE account = 'mail'")
        await until_status(world, rows[0]["id"], "sent")
    assert world.platform.texts() == ["hello"]


async def test_without_another_channel_it_waits(db: Database) -> None:
    """A contact that is known nowhere else."""
    world = two_channels(db)
    conversation = await closed(world)
    assert await world.status(await world.reply(conversation, "hello")) == "held"


async def test_a_stopped_channel_is_no_way_out(db: Database) -> None:
    """What it was given would wait there."""
    world = two_channels(db)
    shop, _ = await known_on_both(world)
    await world.allow(shop, 0)
    world.accounts.halted.add("mail")
    assert await world.status(await world.reply(shop, "hello")) == "held"
