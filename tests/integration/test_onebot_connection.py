"""Connections of OneBot that break, lie and come back: nothing is lost without a word."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.status import status
from tests.corekit import eventually
from tests.onebotkit import LIN, MIA, World, world_of


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    async with world_of(tmp_path, database_url, monkeypatch) as made:
        yield made


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [one["text"] for one in messages]


async def test_what_was_missed_is_asked_for(world: World) -> None:
    """It is filed before anything newer, each message once, and no gap is told."""
    simulator = world.simulator
    await simulator.say(LIN, "one")
    await world.arrived(1)
    await simulator.disconnect()
    for text in ("two", "three"):
        await simulator.say(LIN, text)
    await simulator.say(LIN, "in the group", group=world.group, mention=True)
    simulator.connect()
    await simulator.connected()
    await simulator.say(LIN, "four")
    messages = await world.arrived(5)
    assert texts(messages) == ["one", "two", "three", "four", "in the group"]
    assert await world.core.db.fetch("SELECT 1 FROM notices") == []


async def test_a_gap_that_cannot_be_known_is_told(world: World) -> None:
    """An implementation without histories: the agent is told from when to when."""
    simulator = world.simulator
    await simulator.say(LIN, "one")
    await world.arrived(1)
    await simulator.disconnect()
    simulator.actions.tells_history = False
    simulator.connect()
    (notice,) = await world.notices("connection_gap")
    assert "messages may be missing (from 2" in notice["text"]
    assert "does not tell what was missed" in notice["text"]


async def test_the_first_connection_is_no_gap(world: World) -> None:
    """Nobody was listening before, so nothing was missed."""
    await world.simulator.say(LIN, "one")
    await world.arrived(1)
    assert await world.core.db.fetch("SELECT 1 FROM notices") == []


async def test_a_dead_connection_is_noticed(world: World) -> None:
    """Half open: after three heartbeats the hub closes it, and what was said meanwhile is there."""
    simulator = world.simulator
    await eventually(lambda: simulator.journal.entries("connected"))
    await asyncio.sleep(2 * 30.0 * 0.05)  # a heartbeat has to come before one can be missed
    simulator.go_deaf()
    await simulator.say(LIN, "into the void")
    await eventually(lambda: simulator.log("cut"), 30.0)
    await simulator.connected()
    assert texts(await world.arrived(1)) == ["into the void"]


async def test_the_newest_connection_counts(world: World) -> None:
    """The older one is closed, never the newer; replies take the new one."""
    simulator = world.simulator
    made = simulator.credentials
    headers = {"x-self-id": str(made.self_id), "authorization": f"Bearer {made.access_token}"}
    await simulator.say(LIN, "hello")
    await world.arrived(1)
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(simulator.websocket_url or "") as socket,
    ):
        await eventually(lambda: simulator.log("cut"))
        await simulator.disconnect()
        reply = await world.reply(f"private:{LIN}", text="to the new one")
        while True:
            asked = await socket.receive_json(timeout=20)
            if asked["action"] == "send_private_msg":
                break
            await socket.send_json({"status": "failed", "retcode": 1404, "echo": asked["echo"]})
        said = {"status": "ok", "retcode": 0, "data": {"message_id": 7}, "echo": asked["echo"]}
        await socket.send_json(said)
        sent = await world.status(reply, "sent")
    assert sent["external_id"] == "7"
    assert asked["params"]["user_id"] == LIN


@pytest.mark.parametrize(
    "wrong",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"x-self-id": "20002"},
    ],
    ids=["another token", "none", "an empty one", "another account"],
)
async def test_whoever_has_no_token_is_refused(world: World, wrong: dict[str, str]) -> None:
    """With HTTP 403, before a frame is read; the good connection stays."""
    made = world.simulator.credentials
    headers = {"x-self-id": str(made.self_id), "authorization": f"Bearer {made.access_token}"}
    async with aiohttp.ClientSession(headers=headers | wrong) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(world.simulator.websocket_url or "")
    assert caught.value.status == 403
    assert world.simulator.log("cut") == []


async def test_an_answer_that_is_lost_is_unknown_and_not_said_again(world: World) -> None:
    """QQ removes no repeats, so a person decides."""
    simulator = world.simulator
    await simulator.say(LIN, "hello")
    await world.arrived(1)
    simulator.fail("drop_answer", path="send_private_msg")
    reply = await world.reply(f"private:{LIN}", text="once")
    await world.status(reply, "unknown")
    await simulator.connected()
    await simulator.say(LIN, "still there?")
    await world.arrived(2)
    assert [one["text"] for one in simulator.log("send")] == ["once"]


async def test_a_reply_waits_for_the_connection(world: World) -> None:
    """Nothing was sent, so it is tried again, and goes out when the account is back."""
    simulator = world.simulator
    await simulator.say(LIN, "hello")
    await world.arrived(1)
    await simulator.disconnect()
    reply = await world.reply(f"private:{LIN}", text="later")

    async def tried() -> Any:
        return await world.core.db.fetch("SELECT 1 FROM drafts WHERE tries > 0")

    await eventually(tried, 30.0)
    simulator.connect()
    await world.status(reply, "sent")
    assert world.shown() == ["later"]


async def test_hub_status_says_who_is_away(world: World) -> None:
    """Red, with what to do, for as long as nobody is connected."""

    async def shown() -> tuple[str, str | None]:
        (one,) = (await status(world.core)).accounts
        return one.light, one.listener

    async def said(light: str, listener: str) -> None:
        async def so() -> bool:
            return await shown() == (light, listener)

        await eventually(so, 30.0)

    await said("green", "connected")
    await world.simulator.disconnect()
    await said("red", "away")
    world.simulator.connect()
    await said("green", "connected")


async def test_a_refusal_is_told_with_its_words(world: World) -> None:
    """A muted account: the reply has failed, and the agent reads why."""
    simulator = world.simulator
    await simulator.say(LIN, "hello", group=world.group, mention=True)
    await world.arrived(1)
    world.group.is_muted = True
    reply = await world.reply(f"group:{world.group.number}", text="hi")
    failed = await world.status(reply, "failed")
    assert "禁言" in failed["error"]["detail"]
    assert failed["error"]["external_code"] == "1200"


async def test_the_account_goes_offline_and_comes_back(world: World) -> None:
    """Told once each, whatever many heartbeats say it."""
    simulator = world.simulator
    simulator.is_online = False
    await world.notices("account_offline")
    await asyncio.sleep(2 * 30.0 * 0.05)
    assert len(await world.notices("account_offline")) == 1
    simulator.is_online = True
    assert len(await world.notices("account_online")) == 1


async def test_events_come_once_however_often_they_come(world: World) -> None:
    """Repeats of the implementation, and of two ways at once, are dropped."""
    simulator = world.simulator
    simulator.post_url = (simulator.websocket_url or "").replace("ws:", "http:")
    simulator.repeats = 3
    for text in ("one", "two", "three"):
        await simulator.say(LIN, text)
    await simulator.say(MIA, "four")
    assert sorted(texts(await world.arrived(4))) == ["four", "one", "three", "two"]


async def test_events_and_actions_by_two_connections(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The roles API and Event: they are two sockets of one account, and neither replaces the other."""
    roles = ("API", "Event")
    async with world_of(tmp_path, database_url, monkeypatch, roles=roles) as world:
        simulator = world.simulator
        await simulator.say(LIN, "hello")
        await world.arrived(1)
        await world.status(await world.reply(f"private:{LIN}", text="hi"), "sent")
        assert world.shown() == ["hi"]
        assert simulator.log("cut") == []


async def test_the_hub_connects_again(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward: cut again and again, it comes back each time and asks for what it missed."""
    monkeypatch.setattr("adapters.onebot.RECONNECT_S", 0.1)
    async with world_of(tmp_path, database_url, monkeypatch, "forward") as world:
        simulator = world.simulator
        for turn in range(3):
            await simulator.say(LIN, f"before {turn}")
            await simulator.cut()
            await simulator.say(LIN, f"while away {turn}")
            await simulator.connected()
        messages = await world.arrived(6)
        wanted = [f"{when} {turn}" for when in ("before", "while away") for turn in range(3)]
        assert sorted(texts(messages)) == wanted
        assert await world.core.db.fetch("SELECT 1 FROM notices") == []
