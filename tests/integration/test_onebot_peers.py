"""NoneBot as an independent peer: its parser reads our events, its process works against our simulator."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nonebot.adapters.onebot.v11 import (
    Adapter,
    Event,
    FriendAddNoticeEvent,
    FriendRecallNoticeEvent,
    FriendRequestEvent,
    GroupMessageEvent,
    GroupRecallNoticeEvent,
    HeartbeatMetaEvent,
    LifecycleMetaEvent,
    Message,
    MessageSegment,
    PrivateMessageEvent,
)

from normalizers._onebot_segments import segments_of
from sandbox.onebot import Group, OneBotSimulator
from sandbox.onebot.wire import cq_string
from sandbox.phones import samples
from tests.onebotkit import LIN, MIA

APP = Path(__file__).parents[1] / "support" / "nonebot_app.py"


# --- CQ strings -------------------------------------------------------------------------------------

TEXTS = st.text(st.sampled_from("[]&,;=#CQat:qq 一😀\n") | st.characters(codec="utf-8"), min_size=1)
SEGMENTS = st.lists(
    st.one_of(
        st.builds(MessageSegment.text, TEXTS),
        st.builds(MessageSegment.at, st.integers(10_000, 10**10)),
        st.builds(MessageSegment.reply, st.integers(-(2**31), 2**31)),
        st.builds(lambda file: MessageSegment("image", {"file": file}), TEXTS),
    ),
    min_size=1,
    max_size=6,
)


def merged(segments: Any) -> list[tuple[str, dict[str, str]]]:
    """Segments with neighbouring texts as one, as a string cannot tell them apart."""
    found: list[tuple[str, dict[str, str]]] = []
    for one in segments:
        kind, data = (one["type"], one["data"]) if isinstance(one, dict) else (one.type, one.data)
        values = {name: str(value) for name, value in data.items()}
        if kind == "text" and found and found[-1][0] == "text":
            found[-1][1]["text"] += values["text"]
        else:
            found.append((kind, values))
    return found


@given(SEGMENTS)
def test_strings_of_nonebot_are_read(segments: list[MessageSegment]) -> None:
    """What NoneBot writes as a CQ string comes back as the segments that it was made of."""
    assert merged(segments_of(str(Message(segments)))) == merged(segments)


@given(SEGMENTS)
def test_nonebot_reads_the_simulators_strings(segments: list[MessageSegment]) -> None:
    """And the other way round."""
    written = cq_string([{"type": one.type, "data": one.data} for one in segments])
    assert merged(segments_of(written)) == merged(segments)
    assert written == str(Message(segments))


# --- events -----------------------------------------------------------------------------------------


@pytest.fixture
async def simulator() -> AsyncIterator[OneBotSimulator]:
    made = OneBotSimulator(time_scale=0.05)
    made.world.befriend(LIN, "小不点")
    made.world.found(20002000, "灯友会", {LIN: "老王", MIA: "Mia"})
    await made.start()
    yield made
    await made.stop()


def group_of(simulator: OneBotSimulator) -> Group:
    return simulator.world.groups[20002000]


def read(event: dict[str, Any]) -> Event:
    found = Adapter.json_to_event(event)
    assert found is not None
    return found


@pytest.mark.parametrize("written", ["array", "string"])
async def test_nonebot_reads_the_messages(simulator: OneBotSimulator, written: Any) -> None:
    """Private and in a group, as arrays and as strings: the same text, sender and number."""
    simulator.events.format = written
    said = await simulator.say(LIN, "查订单 [A1]")
    private = read(simulator.events.message(said))
    assert isinstance(private, PrivateMessageEvent)
    assert (private.get_plaintext(), private.message_id) == ("查订单 [A1]", said.number)
    assert private.sender.nickname == "小不点"
    said = await simulator.say(LIN, "@all?", group=group_of(simulator), mention=True)
    group = read(simulator.events.message(said))
    assert isinstance(group, GroupMessageEvent)
    assert group.group_id == 20002000
    assert next(one.type for one in group.message) == "at"


async def test_nonebot_reads_everything_else(simulator: OneBotSimulator) -> None:
    """Notices, requests, heartbeats and the first event of a connection have their own classes."""
    events = simulator.events
    who = {"user_id": LIN, "message_id": 12}
    group = {"group_id": 20002000, "operator_id": LIN}
    assert isinstance(read(events.notice("friend_recall", **who)), FriendRecallNoticeEvent)
    assert isinstance(read(events.notice("group_recall", **who, **group)), GroupRecallNoticeEvent)
    assert isinstance(read(events.notice("friend_add", user_id=LIN)), FriendAddNoticeEvent)
    request = events.request("friend", user_id=LIN, comment="hi", flag="f-1")
    assert isinstance(read(request), FriendRequestEvent)
    assert isinstance(read(events.heartbeat(30.0, online=True)), HeartbeatMetaEvent)
    assert isinstance(read(events.lifecycle("connect")), LifecycleMetaEvent)


# --- a process --------------------------------------------------------------------------------------


async def test_a_nonebot_process_works_against_the_simulator(simulator: OneBotSimulator) -> None:
    """As an application: it connects, understands, quotes and answers where it was spoken to."""
    command = [sys.executable, str(APP), simulator.forward_url, simulator.credentials.access_token]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await simulator.connected(60.0)
        said = await simulator.say(LIN, "ping")
        await seen(simulator, str(LIN), "pong [&,]")
        assert simulator.log("send")[-1]["quoted"] == [str(said.number)]
        await simulator.send_file(LIN, "image", samples.PICTURE)
        await seen(simulator, str(LIN), "小不点 to me: image")
        await simulator.say(LIN, "hello", group=group_of(simulator), mention=True)
        await seen(simulator, "group:20002000", "老王 in 20002000 to me: at,text,text")
        await simulator.recall(said)
        await seen(simulator, str(LIN), "notice.friend_recall")
    finally:
        process.terminate()
        await process.wait()


async def seen(simulator: OneBotSimulator, key: str, text: str) -> None:
    """Wait for the account to have said *text* there."""
    await simulator.world.screens.wait_for(
        key, lambda one: one.author == "account" and one.text == text, 30.0
    )
