"""What the WeChat simulator pushes, over real sockets, to a callback that believes wechatpy only."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from wechatpy.replies import TextReply

from sandbox.journal import read_journal
from sandbox.wechat import SERVICE_FAULT, WeChatSimulator, new_aes_key
from tests.support.wechat_peers import OPENID, Callback, simulating, taking_pushes


@pytest.fixture
async def simulator() -> AsyncIterator[WeChatSimulator]:
    async with simulating() as simulator:
        yield simulator


@pytest.fixture
async def callback(simulator: WeChatSimulator) -> AsyncIterator[Callback]:
    async with taking_pushes(simulator) as callback:
        yield callback


async def test_the_callback_url_is_verified(simulator: WeChatSimulator, callback: Callback) -> None:
    """The echo must come back as it was sent."""
    assert (await simulator.verify_url()).ok
    assert not (await simulator.verify_url(simulator.api_base + "/nowhere")).ok


async def test_every_kind_is_what_wechatpy_expects(
    simulator: WeChatSimulator, callback: Callback
) -> None:
    """wechatpy names each pushed message and event as the platform does."""
    await simulator.push_text(OPENID, "在吗？ ]]> <b>")
    await simulator.push_image(OPENID)
    await simulator.push_voice(OPENID, recognition="你好")
    await simulator.push_video(OPENID)
    await simulator.push_location(OPENID, 23.134521, 113.358803, "位置信息")
    await simulator.push_link(OPENID, "标题", "描述", "https://shop.example/1")
    await simulator.push_subscribe(OPENID)
    await simulator.push_subscribe(OPENID, scene="poster")
    await simulator.push_click(OPENID, "help")
    await simulator.push_scan(OPENID, "poster")
    await simulator.push_view(OPENID, "https://shop.example")
    await simulator.push_unsubscribe(OPENID)

    assert [getattr(message, "event", message.type) for message in callback.seen] == [
        "text",
        "image",
        "voice",
        "video",
        "location",
        "link",
        "subscribe",
        "subscribe_scan",
        "click",
        "scan",
        "view",
        "unsubscribe",
    ]
    text, image, voice, _video, location = callback.seen[:5]
    assert text.content == "在吗？ ]]> <b>"
    assert simulator.media.get(image.media_id).mime_type == "image/jpeg"
    assert voice.recognition == "你好"
    assert location.location == ("23.134521", "113.358803")
    assert len({message.id for message in callback.seen[:6]}) == 6
    assert all(entry["acked"] for entry in simulator.log("push"))


@pytest.mark.parametrize("data_format", ["xml", "json"])
@pytest.mark.parametrize("mode", ["plain", "compatible", "safe"])
async def test_modes_and_formats(mode: Any, data_format: Any, aiohttp_server: Any) -> None:
    """What is readable and what is sealed follows the account's mode."""
    simulator = WeChatSimulator(mode=mode, data_format=data_format)
    callback = Callback(simulator)
    seen: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        seen.append(await request.read())
        plaintext = callback.open(request, seen[-1])
        assert "找我" in plaintext
        return web.Response(text="success")

    app = web.Application()
    app.router.add_post("/in", receive)
    server = await aiohttp_server(app)

    result = await simulator.push_text(OPENID, "找我", to=str(server.make_url("/in")))
    await simulator.stop()

    assert result.outcome == "acked"
    assert ("找我".encode() in seen[0]) == (mode != "safe")
    assert (b"Encrypt" in seen[0]) == (mode != "plain")


async def test_a_cut_or_silent_try_is_repeated_with_the_same_plaintext(
    simulator: WeChatSimulator, callback: Callback
) -> None:
    """Signed and encrypted anew, but the same message with the same id."""
    callback.cuts, callback.silence = 1, 1

    result = await simulator.push_text(OPENID, "还在吗")

    assert (result.outcome, result.tries) == ("acked", 3)
    assert len(callback.plaintexts) == 3
    assert len(set(callback.plaintexts)) == 1
    assert len(set(callback.bodies)) == len(callback.nonces) == 3


async def test_after_three_tries_the_user_sees_the_fault(
    simulator: WeChatSimulator, callback: Callback
) -> None:
    """Nobody answered: the platform gives up and says so."""
    callback.cuts = 9

    result = await simulator.push_text(OPENID, "喂")

    assert (result.outcome, result.tries, result.acked) == ("no_answer", 3, False)
    assert simulator.phone(OPENID)[-1].text == SERVICE_FAULT


@pytest.mark.parametrize("status, answer", [(503, ""), (200, "ok"), (200, '{"ok": true}')])
async def test_a_wrong_answer_is_not_asked_again(
    simulator: WeChatSimulator, callback: Callback, status: int, answer: str
) -> None:
    """Any answer ends the matter; a wrong one shows the fault at once."""
    callback.status, callback.answer = status, answer

    result = await simulator.push_text(OPENID, "喂")

    assert (result.outcome, result.tries) == ("refused", 1)
    assert simulator.phone(OPENID)[-1].text == SERVICE_FAULT


async def test_a_passive_reply_reaches_the_phone(
    simulator: WeChatSimulator, callback: Callback
) -> None:
    """Sealed by wechatpy, opened by the simulator."""

    def reply(message: Any) -> str:
        text = TextReply(message=message, content="您好！").render()
        return str(callback.crypto().encrypt_message(text, "nonce", "1790000000"))

    callback.answer = reply

    result = await simulator.push_text(OPENID, "你好")

    assert result.outcome == "replied"
    assert simulator.phone(OPENID)[-1].text == "您好！"


async def test_a_bare_reply_in_safe_mode_is_refused(
    simulator: WeChatSimulator, callback: Callback
) -> None:
    """In safe mode the answer must be sealed as well."""
    callback.answer = lambda message: str(TextReply(message=message, content="您好").render())

    assert (await simulator.push_text(OPENID, "你好")).outcome == "refused"


async def test_the_key_can_change(simulator: WeChatSimulator, callback: Callback) -> None:
    """From then on wechatpy needs the new one."""
    await simulator.push_text(OPENID, "before")
    simulator.change_aes_key(new_aes_key())
    await simulator.push_text(OPENID, "after")

    assert [message.content for message in callback.seen] == ["before", "after"]


async def test_the_log_survives_on_disk(tmp_path: Path) -> None:
    """One JSON line per fact, numbered on across a restart."""
    path = tmp_path / "wechat.jsonl"
    for _ in range(2):
        simulator = WeChatSimulator(journal_path=path, time_scale=0.001)
        await simulator.push_text(OPENID, "nobody listens", to="http://127.0.0.1:9/in")
        await simulator.stop()
    with path.open("a") as file:
        file.write('{"n": 3, "cut o')

    entries = list(read_journal(path))

    assert [entry["n"] for entry in entries] == [1, 2]
    assert [entry["outcome"] for entry in entries] == ["no_answer", "no_answer"]
