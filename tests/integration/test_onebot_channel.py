"""OneBot through the real core: web server, database, filing and replies, by every way."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.core import now
from hub.media import fetch_pending
from hub.replies.request import AttachmentRequest
from sandbox.files import File
from sandbox.phones import samples
from tests.onebotkit import LIN, MIA, STRANGER, World, world_of

WAYS = ("reverse", "forward", "http", "both")


@pytest.mark.parametrize("way", WAYS)
async def test_the_whole_way(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A message comes in once and in order, the answer is seen on the phone and quotes it."""
    async with world_of(tmp_path, database_url, monkeypatch, way) as world:
        simulator = world.simulator
        first = await simulator.say(LIN, "在吗？")
        await simulator.say(LIN, "查订单 [A1] & more, please")
        messages = await world.arrived(2)
        assert [one["text"] for one in messages] == ["在吗？", "查订单 [A1] & more, please"]
        assert messages[0]["sender"]["name"] == "小不点"
        assert messages[0]["external_id"] == str(first.number)
        reply = await world.reply(f"private:{LIN}", text="[CQ:at,qq=all] 您好！")
        sent = await world.status(reply, "sent")
        assert world.shown() == ["[CQ:at,qq=all] 您好！"]
        assert sent["external_id"] == str(simulator.world.history[-1].number)
        (call,) = await world.core.db.fetch("SELECT method, request, answer FROM exchanges")
        assert call["method"] == ("POST" if way == "http" else "WS")
        assert "您好" in call["request"]
        assert simulator.credentials.access_token not in call["request"]
        assert sent["external_id"] in call["answer"]
        assert simulator.log("quick_operation") == []


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async with world_of(tmp_path, database_url, monkeypatch) as made:
        yield made


async def test_a_group_is_one_conversation(world: World) -> None:
    """Each sender named, the group as the contact; what does not address the account is left."""
    simulator, group = world.simulator, world.group
    await simulator.say(LIN, "blah", group=group)
    await simulator.say(LIN, "灯坏了", group=group, mention=True)
    await simulator.say(MIA, "我的也是", group=group, mention=True)
    messages = await world.arrived(2)
    assert [(one["sender"]["name"], one["text"]) for one in messages] == [
        ("老王", "灯坏了"),
        ("Mia", "我的也是"),
    ]
    (contact,) = await world.core.db.fetch(
        "SELECT n.name FROM conversations c JOIN contacts n ON n.id = c.contact_id"
    )
    assert contact["name"] == "灯友会"
    await world.status(await world.reply(f"group:{group.number}", text="马上来"), "sent")
    assert [one.text for one in simulator.group_screen(group)][-1] == "马上来"


async def test_all_messages_of_groups(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With groups = "all" nobody has to mention the account."""
    async with world_of(tmp_path, database_url, monkeypatch, groups="all") as world:
        await world.simulator.say(LIN, "blah", group=world.group)
        (message,) = await world.arrived(1)
        assert message["conversation"]["is_group"]


async def test_an_answer_quotes(world: World) -> None:
    """The message that is answered stands in a reply segment; what a customer quotes is told."""
    simulator = world.simulator
    said = await simulator.say(LIN, "哪一盏？")
    (message,) = await world.arrived(1)
    reply = await world.reply(f"private:{LIN}", text="这盏", in_reply_to=message["id"])
    sent = await world.status(reply, "sent")
    assert simulator.log("send")[-1]["quoted"] == [str(said.number)]
    quote = [
        {"type": "reply", "data": {"id": sent["external_id"]}},
        {"type": "text", "data": {"text": "好"}},
    ]
    await simulator.say(LIN, quote)
    assert (await world.arrived(2))[1]["in_reply_to"] == sent["external_id"]


async def test_a_stranger_is_answered_through_the_group(world: World) -> None:
    """No friend, but a member of a group that both are in."""
    await world.simulator.say(STRANGER, "你好")
    await world.arrived(1)
    await world.status(await world.reply(f"private:{STRANGER}", text="您好"), "sent")
    assert world.shown(STRANGER) == ["您好"]


async def test_files_come_in(world: World) -> None:
    """By the implementation's own action, since the address in the event is a private one here."""
    simulator = world.simulator
    await simulator.send_file(LIN, "image", samples.PICTURE)
    await simulator.send_file(LIN, "record", samples.VOICE)
    await simulator.send_file(LIN, "file", samples.DOCUMENT)

    messages = await world.arrived(3)
    assert [one["kind"] for one in messages] == ["image", "voice", "file"]
    assert messages[2]["text"] == "[file] order.txt"
    for row in await world.core.db.fetch("SELECT id FROM attachments"):
        await fetch_pending(world.core, row["id"])
    rows = await world.core.db.fetch("SELECT sha256 FROM attachments ORDER BY size_bytes")
    files = sorted((samples.PICTURE, samples.VOICE, samples.DOCUMENT), key=lambda f: len(f.content))
    wanted = [hashlib.sha256(file.content).hexdigest() for file in files]
    assert [row["sha256"] for row in rows] == wanted


@pytest.mark.parametrize("way", ["reverse", "http"])
async def test_files_go_out(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """An image in a message, another file as an upload, to friends and to groups."""
    async with world_of(tmp_path, database_url, monkeypatch, way) as world:
        simulator = world.simulator
        await simulator.say(LIN, "hello")
        await simulator.say(LIN, "hello", group=world.group, mention=True)
        await world.arrived(2)
        for thread in (f"private:{LIN}", f"group:{world.group.number}"):
            ids = [await upload(world, file) for file in (samples.PICTURE, samples.DOCUMENT)]
            reply = await world.reply(thread, text="both", attachments=tuple(ids))
            await world.status(reply, "sent")
        kept = [file.content for file in simulator.world.files.values()]
        assert kept == [samples.PICTURE.content, samples.DOCUMENT.content] * 2
        kinds = [one.kind for one in simulator.phone(LIN) if one.author == "account"]
        assert kinds == ["text", "image", "file"]


async def upload(world: World, file: File) -> AttachmentRequest:
    """A file as a helpdesk uploads it."""

    async def pieces() -> AsyncIterator[bytes]:
        yield file.content

    kept = await world.core.media.upload(
        pieces(), filename=file.filename, mime_type=file.mime_type, token_id=None, at=now()
    )
    return AttachmentRequest(id=kept.id)


async def test_recalls_friends_and_requests(world: World) -> None:
    """Each is told in its conversation."""
    simulator = world.simulator
    said = await simulator.say(LIN, "oops")
    await world.arrived(1)
    await simulator.recall(said)
    (recalled,) = await world.notices("message_recalled")
    assert recalled["external_id"] == str(said.number)
    assert recalled["conversation"]["thread_key"] == f"private:{LIN}"
    await simulator.add_friend(99999999, "New")
    await world.notices("contact_added")
    request = simulator.events.request("friend", user_id=88888888, comment="我想买灯", flag="f-1")
    await simulator.push(request)
    (asked,) = await world.notices("contact_requested")
    assert asked["text"] == "[contact requested] 我想买灯"
