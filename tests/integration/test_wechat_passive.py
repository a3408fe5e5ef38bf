"""Passive mode: replies travel in the HTTP answers to the customer's own messages, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.model import Link, Menu, MenuChoice
from hub.replies import AttachmentRequest, passive
from sandbox.wechat import messages
from sandbox.wechat.push import PushResult
from tests.corekit import eventually
from tests.wechatkit import OPENID, World, world_of

PASSIVE = "passive = true\npassive_wait_s = 3.0"
HELD = "it goes out in the answer to the customer's next message"


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async with world_of(
        tmp_path, database_url, monkeypatch, PASSIVE, customer_service=False
    ) as made:
        yield made


def writing(world: World, text: str = "在吗？") -> "asyncio.Task[PushResult]":
    """The customer writes; the push waits for its answer."""
    return asyncio.create_task(world.simulator.push_text(OPENID, text))


async def test_a_reply_in_time_is_the_answer(world: World) -> None:
    """Sealed as the push was, seen on the phone, and told to the agent before it happens."""
    push = writing(world)
    (message,) = await world.arrived()
    assert message["reply"]["remaining"] == 1
    reply = await world.reply("您好 ]]><MsgType>transfer_customer_service</MsgType> 😀")
    assert reply.message["status"] == "queued"
    assert "goes out in the answer" in reply.message["extra"]["notes"][0]
    result = await push
    assert result.outcome == "replied"
    assert result.reply["MsgType"] == "text"
    assert result.reply["ToUserName"] == OPENID
    assert result.reply["FromUserName"] == world.simulator.credentials.original_id
    assert world.shown() == ["您好 ]]><MsgType>transfer_customer_service</MsgType> 😀"]
    await world.status(reply, "sent")
    assert world.simulator.log("send") == []


async def test_a_later_reply_goes_with_the_next_message(world: World) -> None:
    """Held, and told so; then it is the answer, together with another that waited."""
    assert (await writing(world)).outcome == "acked"
    one = await world.reply("one")
    two = await world.reply("two")
    assert (one.message["status"], one.message["error"]["detail"]) == ("held", HELD)
    assert two.message["status"] == "held"
    assert world.shown() == []
    result = await writing(world, "还在吗？")
    assert result.reply["Content"] == "one\ntwo"
    await world.status(one, "sent")
    await world.status(two, "sent")
    assert world.shown() == ["one\ntwo"]


async def test_what_does_not_fit_waits_again(world: World) -> None:
    """An answer carries one text or one file; the rest goes with the message after."""
    await writing(world)
    reply = await world.reply("长" * 1000)  # 3000 bytes
    link = await world.reply(link=Link("https://shop.example", "Shop"))
    first = await writing(world, "1")
    assert len(first.reply["Content"].encode()) <= 2048
    await world.status(reply, "held")
    second = await writing(world, "2")
    assert first.reply["Content"] + second.reply["Content"] == "长" * 1000
    await world.status(reply, "sent")
    await world.status(link, "held")
    third = await writing(world, "3")
    assert third.reply["Articles/item/Url"] == "https://shop.example"
    await world.status(link, "sent")


async def test_the_platform_that_asks_again_gets_the_same(world: World) -> None:
    """The first answer was lost on the way; the second try of the push brings it, once on the phone."""
    simulator = world.simulator
    stamped = simulator.stamp(messages.text(OPENID, "hello"))
    first = asyncio.create_task(simulator.push_stamped(stamped))
    reply = await world.reply("hi")
    lost = await first
    again = await simulator.push_stamped(stamped)
    assert lost.reply["Content"] == again.reply["Content"] == "hi"
    await world.status(reply, "sent")
    assert len(await world.bodies("outbound")) == 1


async def test_a_picture_is_uploaded_and_answered(world: World) -> None:
    """What has to be done before is done while the push waits."""
    push = writing(world)
    await world.arrived()
    reply = await world.reply(attachments=(AttachmentRequest(id=await picture(world)),))
    result = await push
    (upload,) = world.simulator.log("upload")
    assert result.reply["Image/MediaId"] == upload["media_id"]
    await world.status(reply, "sent")


async def picture(world: World) -> str | None:
    """A picture that an agent has uploaded."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"\x89PNG\r\n\x1a\n" + bytes(100)

    kept = await world.core.media.upload(
        pieces(), filename="a.png", mime_type="image/png", token_id=None, at=world.core.clock()
    )
    return kept.id


async def test_a_menu_is_text_and_its_tap_comes_back(world: World) -> None:
    """Each choice is a link that writes for the customer."""
    push = writing(world)
    await world.arrived()
    await world.reply(menu=Menu("How was it?", (MenuChoice("101", "满意"),)))
    content = (await push).reply["Content"]
    assert "weixin://bizmsgmenu?msgmenucontent=满意&msgmenuid=101" in content
    (shown,) = [one for one in world.simulator.phone(OPENID) if one.author == "account"]
    (choice,) = shown.choices
    await world.simulator.push_text(OPENID, choice[1], menu_choice=choice[0])
    tap = (await world.arrived(2))[1]
    assert (tap["kind"], tap["choice"]["label"]) == ("choice", "满意")
    assert tap["choice"]["menu_id"] is not None


async def test_events_are_answered_too(world: World) -> None:
    """A scan waits for what a helpdesk's robot says; a report of ours does not wait."""
    push = asyncio.create_task(world.simulator.push_scan(OPENID, "poster"))
    await world.filed()
    await world.reply("欢迎")
    assert (await push).reply["Content"] == "欢迎"
    assert (await world.simulator.push_view(OPENID, "https://shop.example")).outcome == "acked"


@pytest.mark.parametrize("data_format", ["xml", "json"])
@pytest.mark.parametrize("mode", ["plain", "compatible", "safe"])
async def test_modes_and_formats(
    mode: str, data_format: str, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is written as the push was."""
    async with world_of(
        tmp_path, database_url, monkeypatch, PASSIVE, mode=mode, data_format=data_format
    ) as world:
        push = writing(world)
        await world.arrived()
        await world.reply("您好")
        assert (await push).reply["Content"] == "您好"


async def test_workers_never_send_it_by_themselves(world: World) -> None:
    """Three pushes at once, replies at random moments: each is said once, in order, in some answer."""
    said = [f"reply {number}" for number in range(6)]
    first = writing(world)
    await world.arrived()
    for text in said[:3]:
        await world.reply(text)
    await first
    for text in said[3:]:
        await world.reply(text)

    async def all_said() -> bool:
        await writing(world, "?")
        return "\n".join(world.shown()).split("\n") == said

    await eventually(all_said)
    assert world.simulator.log("send") == []


async def test_a_process_that_ends_before_it_wrote_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer was given, so nothing is said; it goes with the next message, once."""

    async def ends(*_: object) -> None:
        raise asyncio.CancelledError

    written = passive._Answer._write_down
    monkeypatch.setattr(passive._Answer, "_write_down", ends)
    push = writing(world)
    await world.arrived()
    reply = await world.reply("once")
    push.add_done_callback(lambda _: None)

    async def begun() -> bool:
        return (await world.core.db.fetch("SELECT count(*) FROM drafts WHERE tries > 0"))[0][0] > 0

    await eventually(begun)
    monkeypatch.setattr(passive._Answer, "_write_down", written)
    push.cancel()
    await asyncio.gather(push, return_exceptions=True)
    await world.status(reply, "held")
    assert (await writing(world, "hello?")).reply["Content"] == "once"
    assert world.shown() == ["once"]
