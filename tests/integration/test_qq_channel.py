"""The QQ bot through the real core: web server, database, filing, replies, and the platform's rules."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hub import apitokens, media
from hub.errors import WindowClosed
from hub.model import Menu, MenuChoice
from hub.replies import ReplyRequest
from hub.replies.request import AttachmentRequest
from sandbox.files import File
from tests.corekit import eventually
from tests.qqkit import World, world_of

RUNNING = ("ingest", "reply", "listen")


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async with world_of(tmp_path, database_url, monkeypatch, *RUNNING) as made:
        yield made


async def test_the_whole_way(world: World) -> None:
    """The address is proven, a message comes in, and the reply names it and is seen on the phone."""
    simulator = world.simulator
    assert await simulator.check_address()
    pushed = await simulator.write("林", "在吗？")
    assert pushed is not None
    assert (pushed.acked, pushed.answer) == (True, b'{"op":12,"d":0}')
    (message,) = await world.arrived(1)
    assert (message["text"], message["reply"]["remaining"]) == ("在吗？", 4)
    reply = await world.reply(await world.place("林"), "在的！")
    sent = await world.status(reply, "sent")
    assert world.said("林") == ["在的！"]
    (entry,) = simulator.log("send")
    assert (entry["msg_id"], entry["msg_seq"]) == (pushed.event["d"]["id"], 1)
    assert sent["external_id"] == entry["id"]


async def test_a_group_is_one_conversation(world: World) -> None:
    """Two members, each by name; the answer goes to the group. What is not for the bot is left out."""
    simulator = world.simulator
    await simulator.write_in_group("老乡", "林", "在吗")
    await simulator.write_in_group("老乡", "小明", "大家好", mention=False)
    await simulator.write_in_group("老乡", "Mia", "hello")
    messages = await world.arrived(2)
    assert [(one["sender"]["name"], one["text"]) for one in messages] == [
        ("林", "在吗"),
        ("Mia", "hello"),
    ]
    assert len({one["conversation"]["id"] for one in messages}) == 1
    assert {one["conversation"]["is_group"] for one in messages} == {True}
    await world.status(await world.reply(await world.place(group="老乡"), "大家好"), "sent")
    assert world.said(group="老乡") == ["大家好"]


async def test_a_message_pushed_twice_is_one(world: World) -> None:
    """The platform repeats what it is not sure of."""
    world.simulator.pusher.twice = 1
    await world.simulator.write("林", "once")
    await world.simulator.write("林", "and then")
    assert [one["text"] for one in await world.arrived(2)] == ["once", "and then"]


async def test_four_answers_then_wait(world: World) -> None:
    """The fifth is held, and goes out under the next message; nothing goes without its message."""
    await world.simulator.write("林", "hello")
    await world.arrived(1)
    place = await world.place("林")
    for number in range(4):
        await world.status(await world.reply(place, f"answer {number}"), "sent")
    fifth = await world.reply(place, "answer 4")
    held = await world.status(fifth, "held")
    assert held["error"]["code"] == WindowClosed.code
    await world.simulator.write("林", "more?")
    await world.status(fifth, "sent")
    sends = world.simulator.log("send")
    assert [one["code"] for one in sends] == [0] * 5
    assert [one["msg_seq"] for one in sends] == [1, 2, 3, 4, 1]
    assert world.simulator.chats.active == 0


async def test_answers_add_up_over_messages(world: World) -> None:
    """Two messages allow eight; each answer has a number of its own under the one it names."""
    await world.simulator.write("林", "one")
    await world.simulator.write("林", "two")
    await world.arrived(2)
    place = await world.place("林")
    for number in range(8):
        await world.status(await world.reply(place, f"answer {number}"), "sent")
    sends = world.simulator.log("send")
    assert len({(one["msg_id"], one["msg_seq"]) for one in sends}) == 8
    assert {one["code"] for one in sends} == {0}


async def test_what_the_platform_counts_otherwise(world: World) -> None:
    """A message that is over by its reckoning gives way to the next one, and the reply goes out."""
    await world.simulator.write("林", "one")
    await world.arrived(1)
    world.simulator.chats.close()
    await world.simulator.write("林", "two")
    await world.arrived(2)
    await world.status(await world.reply(await world.place("林"), "here"), "sent")
    assert [one["code"] for one in world.simulator.log("send")] == [40034026, 0]
    assert world.said("林") == ["here"]


@pytest.mark.parametrize("how", ["drop_answer", "bad_gateway"])
async def test_an_answer_that_is_lost_is_asked_for_again(world: World, how: str) -> None:
    """The platform acted and did not say so: the same number again, refused, and so it is sent."""
    await world.simulator.write("林", "hello")
    await world.arrived(1)
    world.simulator.fail(how, path="/v2/users", count=2)  # type: ignore[arg-type]
    await world.status(await world.reply(await world.place("林"), "only once"), "sent")
    assert world.said("林") == ["only once"]
    sends = [(one["code"], one["msg_seq"]) for one in world.simulator.log("send")]
    assert sends == [(0, 1), (40054005, 1), (40054005, 1)]


async def test_trouble_that_the_platform_tells_of(world: World) -> None:
    """Tried again under the same number."""
    await world.simulator.write("林", "hello")
    await world.arrived(1)
    world.simulator.fail("errcode", code=50055001, path="/v2/users", count=2)
    await world.status(await world.reply(await world.place("林"), "at last"), "sent")
    assert [one["msg_seq"] for one in world.simulator.log("send")] == [1]


async def test_a_number_that_somebody_else_has_used(world: World) -> None:
    """Nothing was said: the next number is free, and the reply is not lost."""
    pushed = await world.simulator.write("林", "hello")
    assert pushed is not None
    await world.arrived(1)
    taken = {"msg_id": pushed.event["d"]["id"], "msg_seq": 1}
    world.simulator.chats.take(f"c2c:{world.simulator.openid('林')}", taken)
    await world.status(await world.reply(await world.place("林"), "here"), "sent")
    assert world.said("林") == ["here"]


async def test_a_hundred_replies_at_once(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To one message: each has its own number, and the platform refuses none."""
    more = "c2c_replies = 100"
    async with world_of(tmp_path, database_url, monkeypatch, *RUNNING, more=more) as world:
        world.simulator.chats.rules["c2c"].replies = 100
        await world.simulator.write("林", "hello")
        await world.arrived(1)
        place = await world.place("林")
        texts = [f"answer {number}" for number in range(100)]
        replies = await asyncio.gather(*(world.reply(place, text) for text in texts))
        for reply in replies:
            await world.status(reply, "sent")
        sends = world.simulator.log("send")
        assert sorted(one["msg_seq"] for one in sends) == list(range(1, 101))
        assert world.simulator.chats.repeated == 0
        assert sorted(world.said("林")) == sorted(texts)


async def test_a_tap_is_acknowledged_and_answered(world: World) -> None:
    """The menu's buttons come back as choices; the answer names the event."""
    await world.simulator.write("林", "menu?")
    await world.arrived(1)
    place = await world.place("林")
    menu = Menu("Which?", (MenuChoice("a", "Alpha"), MenuChoice("b", "Beta")))
    await world.status(await world.reply(place, ReplyRequest(menu=menu)), "sent")
    assert world.simulator.phone("林")[-1].choices == (("a", "Alpha"), ("b", "Beta"))
    world.simulator.chats.close()
    pushed = await world.simulator.tap("林", "b")
    assert pushed is not None
    tapped = (await world.arrived(2))[-1]
    assert (tapped["kind"], tapped["choice"]["id"]) == ("choice", "b")
    await eventually(lambda: world.simulator.api.acknowledged == [pushed.event["d"]["id"]])
    await world.status(await world.reply(place, "Beta it is"), "sent")
    assert world.simulator.log("send")[-1]["event_id"] == pushed.event["id"]


@pytest.mark.parametrize("passed", [True, False])
async def test_what_is_reviewed_is_held(world: World, passed: bool) -> None:
    """Not failed, not sent again: the review's end decides."""
    await world.simulator.write("林", "hello")
    await world.arrived(1)
    world.simulator.api.audited = 1
    place = await world.place("林")
    reply = await world.reply(place, "reviewed")
    await world.status(reply, "held")
    await world.status(await world.reply(place, "not reviewed"), "sent")
    (audit,) = world.simulator.api.under_review
    await world.simulator.decide(audit, passed=passed)
    settled = await world.status(reply, "sent", "failed")
    assert settled["status"] == ("sent" if passed else "failed")
    assert len(world.simulator.log("send")) == 2
    assert world.said("林") == (["not reviewed", "reviewed"] if passed else ["not reviewed"])


async def test_files_both_ways(world: World) -> None:
    """A picture is fetched as it comes; one is uploaded in parts and said with its own number."""
    simulator = world.simulator
    simulator.files.part_bytes = 1000
    content = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9
    await simulator.send_file("林", File("photo.png", "image/png", content))

    (message,) = await world.arrived(1)
    for one in await media.due(world.core.db):
        await media.fetch_pending(world.core, one)
    own = message["attachments"][0]["id"]
    asked = ReplyRequest(text="yours", attachments=(AttachmentRequest(id=own),))
    await world.status(await world.reply(await world.place("林"), asked), "sent")
    assert world.said("林") == ["yours", "[image] photo.png"]
    bubble = world.simulator.phone("林")[-1]
    assert simulator.files.get((bubble.media_url or "").rpartition("/")[2]).content == content


async def test_a_token_that_ends_costs_nothing(world: World) -> None:
    """One more is asked for, and the call is made once more."""
    await world.simulator.write("林", "hello")
    await world.arrived(1)
    place = await world.place("林")
    await world.status(await world.reply(place, "one"), "sent")
    world.simulator.tokens.expire_all()
    await asyncio.gather(*(world.reply(place, f"two {number}") for number in range(3)))
    await eventually(lambda: len(world.said("林")) == 4, timeout=30)
    assert world.simulator.tokens.given == 2


async def test_nothing_goes_out_by_itself_unless_it_may(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With active messages allowed a reply goes out on purpose, but not to the unwilling."""
    more = "active_messages = true\nc2c_window_s = 30"
    async with world_of(tmp_path, database_url, monkeypatch, *RUNNING, more=more) as world:
        simulator = world.simulator
        simulator.chats.active_allowed = True
        await simulator.write("林", "hello")
        await world.arrived(1)
        place = await world.place("林")
        await world.core.db.fetch("UPDATE allowances SET until = now() - interval '1 minute'")
        sent = await world.status(await world.reply(place, "by the way"), "sent")
        assert "active" in str(sent["extra"]["notes"])
        assert simulator.chats.active == 1
        await simulator.write("林", "again")
        await world.arrived(2)
        simulator.chats.close()  # the platform's reckoning, not ours
        await world.status(await world.reply(place, "so it goes"), "sent")
        assert simulator.chats.active == 2
        await simulator.befriend("林", "C2C_MSG_REJECT")

        async def refused() -> bool:
            rows = await world.core.db.fetch("SELECT FROM allowances WHERE mode = 'active'")
            return len(rows) == 1

        await eventually(refused, timeout=30)
        await world.status(await world.reply(place, "again"), "held")
        assert simulator.chats.active == 2


async def test_a_review_without_end_is_told(world: World) -> None:
    """It is unknown in the end, not lost; what the platform says later still counts."""
    await world.simulator.write("林", "hello")
    await world.arrived(1)
    world.simulator.api.audited = 1
    reply = await world.reply(await world.place("林"), "reviewed")
    await world.status(reply, "held")
    await world.core.db.fetch("UPDATE messages SET status_at = status_at - interval '49 hours'")
    told = await world.status(reply, "unknown")
    assert told["error"]["code"] == "review_unfinished"
    (audit,) = world.simulator.api.under_review
    await world.simulator.decide(audit)
    await world.status(reply, "sent")
    assert len(world.simulator.log("send")) == 1


async def test_a_quote_names_the_message(world: World) -> None:
    """By what the platform calls it for that."""
    pushed = await world.simulator.write("林", "this one")
    assert pushed is not None
    (message,) = await world.arrived(1)
    asked = ReplyRequest(text="that?", in_reply_to=message["id"])
    await world.status(await world.reply(await world.place("林"), asked), "sent")
    entry = pushed.event["d"]["message_scene"]["ext"][0]
    assert world.simulator.log("send")[0]["quotes"] == entry.removeprefix("msg_idx=")


async def test_a_mention_that_comes_by_two_events_is_one_message(world: World) -> None:
    """As a mention and as one of all messages of the group, which share their id."""
    pushed = await world.simulator.write_in_group("老乡", "林", "查一下")
    assert pushed is not None
    mention = {"scope": "single", "member_openid": "B07", "username": "小铺", "is_you": True}
    data = {**pushed.event["d"], "content": "<@B07> 查一下", "mentions": [mention]}
    await world.simulator.happen("GROUP_MESSAGE_CREATE", data)
    await world.simulator.write_in_group("老乡", "林", "谢谢")
    assert [one["text"] for one in await world.arrived(2)] == ["查一下", "谢谢"]


async def test_the_senders_credential_is_kept_nowhere(world: World) -> None:
    """It comes with each message of a group; neither the raw event nor anything made of it has it."""
    pushed = await world.simulator.write_in_group("老乡", "林", "hello")
    assert pushed is not None
    entries = pushed.event["d"]["message_scene"]["ext"]
    (credential,) = (one for one in entries if one.startswith("auth_token="))
    await world.arrived(1)
    secret = credential.partition("=")[2]
    for table, column in (("inbox", "encode(body, 'escape')"), ("messages", "body::text")):
        rows = await world.core.db.fetch(f"SELECT {column} AS kept FROM {table}")
        assert rows
        assert not any(secret in row["kept"] for row in rows)
    rows = await world.core.db.fetch("SELECT convert_from(body, 'UTF8') AS kept FROM events")
    assert not any(secret in row["kept"] for row in rows)


async def test_a_repeat_from_another_bot_is_refused(world: World) -> None:
    """Signed by our secret or not: the push names its bot."""
    world.simulator.pusher._app_id = "999"
    pushed = await world.simulator.write("林", "hello")
    assert pushed is not None
    assert (pushed.status, pushed.acked) == (403, False)


async def test_a_first_word_stands_where_the_answer_comes(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written by the API to an openid; what the person writes then is in the same conversation."""
    more = "active_messages = true"
    async with world_of(tmp_path, database_url, monkeypatch, *RUNNING, more=more) as world:
        world.simulator.chats.active_allowed = True
        made = await apitokens.create(world.core.db, "desk")
        asked = {
            "account": "bot",
            "to": {"scheme": "qq", "value": world.simulator.openid("林")},
            "text": "your lamp is here",
        }
        headers = {"Authorization": f"Bearer {made.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{world.url}/v1/messages", json=asked) as answer,
        ):
            assert answer.status == 202, await answer.text()
        await eventually(lambda: world.said("林") == ["your lamp is here"], timeout=30)
        await world.simulator.write("林", "thank you")
        await world.arrived(1)
        rows = await world.core.db.fetch("SELECT thread_key, last_seq FROM conversations")
        assert [(row["thread_key"], row["last_seq"]) for row in rows] == [
            (f"c2c:{world.simulator.openid('林')}", 2)
        ]
