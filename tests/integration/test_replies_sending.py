"""A reply from acceptance to its end, on a test channel."""

from collections.abc import AsyncIterator

import pytest

from hub.errors import Unsupported
from hub.replies import InvalidReply
from hub.store import Database
from tests.support.replies import World, until_status


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
