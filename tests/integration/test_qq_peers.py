"""NoneBot as an independent peer: its parser, its signatures, and its process against our simulator."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nonebot.adapters.qq import Adapter
from nonebot.adapters.qq.event import (
    C2CMessageCreateEvent,
    C2CMsgReceiveEvent,
    C2CMsgRejectEvent,
    Event,
    FriendAddEvent,
    FriendDelEvent,
    GroupAddRobotEvent,
    GroupAtMessageCreateEvent,
    GroupDelRobotEvent,
    GroupMessageCreateEvent,
    GroupMsgReceiveEvent,
    GroupMsgRejectEvent,
    InteractionCreateEvent,
)
from nonebot.adapters.qq.models import Dispatch
from nonebot.drivers import URL, Request

from sandbox.phones import samples
from sandbox.qq import PushResult, QqSimulator
from sandbox.qq.signing import Signer
from tests.corekit import eventually, running_desk

APP = Path(__file__).parents[1] / "support" / "nonebot_qq_app.py"


@pytest.fixture
async def simulator() -> AsyncIterator[QqSimulator]:
    made = QqSimulator()
    await made.start()
    yield made
    await made.stop()


def read(event: dict[str, Any]) -> Event:
    """What NoneBot makes of it, from the JSON as it goes over the wire."""
    payload = Dispatch.model_validate(json.loads(json.dumps(event)))
    return Adapter.payload_to_event(payload)


async def pushed(simulator: QqSimulator, act: Any) -> dict[str, Any]:
    """The event of one act of a person, as it was pushed to somebody who takes everything."""
    async with running_desk() as desk:
        simulator.callback_url = desk.url.replace("/hook", "/none")
        result: PushResult | None = await act()
        assert result is not None
        return result.event


async def test_nonebot_reads_what_people_write(simulator: QqSimulator) -> None:
    """Alone and in a group, with a file and without: the same ids and the same text."""
    simulator.pusher.seconds_per_try = 0.01
    private = read(await pushed(simulator, lambda: simulator.write("林", "查订单 [A1]")))
    assert isinstance(private, C2CMessageCreateEvent)
    assert private.get_plaintext() == "查订单 [A1]"
    assert private.author.user_openid == simulator.openid("林")
    group = read(await pushed(simulator, lambda: simulator.write_in_group("g", "林", "hi")))
    assert isinstance(group, GroupAtMessageCreateEvent)
    assert (group.group_openid, group.author.member_openid) == (
        simulator.openid("g"),
        simulator.openid("林", "g"),
    )
    heard = await pushed(
        simulator, lambda: simulator.write_in_group("g", "林", "all", mention=False)
    )
    assert isinstance(read(heard), GroupMessageCreateEvent)
    picture = read(await pushed(simulator, lambda: simulator.send_file("林", samples.PICTURE)))
    assert isinstance(picture, C2CMessageCreateEvent)
    assert [one.type for one in picture.get_message()] == ["image"]


async def test_nonebot_reads_everything_else(simulator: QqSimulator) -> None:
    """Friends, groups, consent and taps have their own classes."""
    simulator.pusher.seconds_per_try = 0.01
    for kind, wanted in (
        ("FRIEND_ADD", FriendAddEvent),
        ("FRIEND_DEL", FriendDelEvent),
        ("C2C_MSG_REJECT", C2CMsgRejectEvent),
        ("C2C_MSG_RECEIVE", C2CMsgReceiveEvent),
    ):
        found = read(await pushed(simulator, lambda kind=kind: simulator.befriend("林", kind)))
        assert isinstance(found, wanted)
    for kind, group in (
        ("GROUP_ADD_ROBOT", GroupAddRobotEvent),
        ("GROUP_DEL_ROBOT", GroupDelRobotEvent),
        ("GROUP_MSG_REJECT", GroupMsgRejectEvent),
        ("GROUP_MSG_RECEIVE", GroupMsgReceiveEvent),
    ):
        act = await pushed(simulator, lambda kind=kind: simulator.change_group("g", "林", kind))
        assert isinstance(read(act), group)
    tapped = read(await pushed(simulator, lambda: simulator.tap("林", "a")))
    assert isinstance(tapped, InteractionCreateEvent)
    assert tapped.data.resolved.button_data == "a"


@pytest.mark.parametrize("length", [1, 12, 16, 28, 32, 40])
def test_nonebot_takes_the_simulators_signatures(length: int) -> None:
    """And refuses them over other bytes."""
    secret, body = ("k3Yq" * 12)[:length], '{"op":0,"d":"你好"}'.encode()
    adapter = object.__new__(Adapter)
    bot: Any = SimpleNamespace(bot_info=SimpleNamespace(secret=secret))
    signed = {
        "X-Signature-Ed25519": Signer(secret).sign("1767323045", body),
        "X-Signature-Timestamp": "1767323045",
    }
    for content, refused in ((body, False), (body + b" ", True)):
        request = Request("POST", URL("http://x/"), headers=signed, content=content)
        assert (adapter._check_signature(bot, request) is not None) == refused


async def test_a_nonebot_process_works_against_the_simulator(simulator: QqSimulator) -> None:
    """As a bot: it identifies, understands, answers by the API, and acknowledges taps."""
    made = simulator.credentials
    command = [sys.executable, str(APP), simulator.api_base, made.app_id, made.secret]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await eventually(lambda: simulator.gateway.connected == 1, timeout=60)
        await simulator.write("林", "ping")
        await seen(simulator, f"{simulator.openid('林')[:6]}: ping (text)", "林")
        await simulator.write_in_group("g", "Mia", "pong")
        await seen(simulator, f"{simulator.openid('Mia', 'g')[:6]}: pong (text)", group="g")
        await simulator.befriend("Mia")
        await seen(simulator, "welcome", "Mia")
        await simulator.tap("林", "a")
        await eventually(lambda: len(simulator.api.acknowledged) == 1, timeout=30)
        assert [one["code"] for one in simulator.log("send")] == [0, 0, 0]
    finally:
        process.terminate()
        await process.wait()


async def seen(simulator: QqSimulator, text: str, name: str = "", *, group: str = "") -> None:
    """Wait for the bot to have said *text* there."""
    await eventually(
        lambda: text in [one.text for one in simulator.phone(name, group=group)], timeout=30
    )
