"""The WeChat simulator over real sockets, against a callback that believes wechatpy only."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.replies import TextReply
from wechatpy.utils import check_signature

from sandbox.journal import read_journal
from sandbox.wechat import SERVICE_FAULT, WeChatSimulator, new_aes_key

OPENID = "oAlice_0123456789abcdefghijk"
FAST = 0.08
"""A try takes 0.1 s instead of 5."""


@dataclass
class Callback:
    """An account's server: checks with wechatpy, answers as it is told."""

    simulator: WeChatSimulator
    url: str = ""
    answer: str | Callable[[Any], str] = "success"
    status: int = 200
    cuts: int = 0
    silence: int = 0
    seen: list[Any] = field(default_factory=list)
    plaintexts: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)

    def crypto(self) -> WeChatCrypto:
        credentials = self.simulator.credentials
        return WeChatCrypto(credentials.token, credentials.aes_key, credentials.app_id)

    async def verify(self, request: web.Request) -> web.Response:
        query = request.query
        token = self.simulator.credentials.token
        check_signature(token, query["signature"], query["timestamp"], query["nonce"])
        return web.Response(text=query["echostr"])

    async def receive(self, request: web.Request) -> web.Response:
        plaintext = self.open(request, await request.read())
        self.plaintexts.append(plaintext)
        self.nonces.add(request.query["nonce"])
        if self.cuts:
            self.cuts -= 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.silence:
            self.silence -= 1
            await asyncio.sleep(1)
        message = parse_message(plaintext)
        self.seen.append(message)
        answer = self.answer(message) if callable(self.answer) else self.answer
        return web.Response(text=answer, status=self.status)

    def open(self, request: web.Request, body: bytes) -> str:
        self.bodies.append(body)
        query = request.query
        token = self.simulator.credentials.token
        check_signature(token, query["signature"], query["timestamp"], query["nonce"])
        assert query["openid"] == OPENID
        if self.simulator.builder.mode == "plain":
            assert "encrypt_type" not in query
            return body.decode()
        assert query["encrypt_type"] == "aes"
        pushed: Any = body.decode()
        if self.simulator.builder.data_format == "json":
            pushed = json.loads(body)
        opened = self.crypto().decrypt_message(
            pushed, query["msg_signature"], query["timestamp"], query["nonce"]
        )
        return str(opened)


@pytest.fixture
async def simulator() -> AsyncIterator[WeChatSimulator]:
    simulator = WeChatSimulator(time_scale=FAST)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def callback(simulator: WeChatSimulator, aiohttp_server: Any) -> Callback:
    callback = Callback(simulator)
    app = web.Application()
    app.add_routes([web.get("/in", callback.verify), web.post("/in", callback.receive)])
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    callback.url = simulator.callback_url = str(server.make_url("/in"))
    return callback


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Api:
    """The account's side of the platform's API."""

    def __init__(self, simulator: WeChatSimulator, http: aiohttp.ClientSession) -> None:
        self.simulator, self.http, self.token = simulator, http, ""

    async def call(self, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        url = f"{self.simulator.api_base}/cgi-bin/{path}"
        query = {"access_token": self.token} | query
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        async with self.http.request("POST" if data else "GET", url, params=query, data=data) as r:
            assert r.status == 200
            answer: dict[str, Any] = await r.json(content_type=None)
            return answer

    async def login(self) -> None:
        credentials = self.simulator.credentials
        asked = {
            "grant_type": "client_credential",
            "appid": credentials.app_id,
            "secret": credentials.app_secret,
        }
        self.token = (await self.call("stable_token", asked))["access_token"]

    async def say(self, content: str, openid: str = OPENID) -> dict[str, Any]:
        asked = {"touser": openid, "msgtype": "text", "text": {"content": content}}
        return await self.call("message/custom/send", asked)


@pytest.fixture
async def api(simulator: WeChatSimulator, http: aiohttp.ClientSession) -> Api:
    api = Api(simulator, http)
    await api.login()
    return api


# Pushes ------------------------------------------------------------------


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


# The API -----------------------------------------------------------------


async def test_an_answer_reaches_the_phone(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """The main job: the customer writes, the account answers."""
    asked = await simulator.push_text(OPENID, "几点关门？")

    answer = await api.say("晚上八点 🙂")
    bubble = await simulator.wait_for_answer(OPENID, after=asked.number)

    assert answer["errcode"] == 0
    assert bubble.text == "晚上八点 🙂"
    assert simulator.log("send")[-1]["text"] == "晚上八点 🙂"


async def test_five_answers_and_no_more(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """The sixth is 45047; an unknown user is 40003; each refusal has a rid."""
    await simulator.push_text(OPENID, "hi")

    codes = [(await api.say(str(number)))["errcode"] for number in range(6)]
    stranger = await api.say("hi", openid="oStranger")

    assert codes == [0, 0, 0, 0, 0, 45047]
    assert stranger["errcode"] == 40003
    assert " rid: " in stranger["errmsg"]


async def test_pictures_go_up_and_come_down(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """A picture of the customer is fetched, one of the account is uploaded and shown."""
    await simulator.push_image(OPENID, b"\xff\xd8\xff the customer's", "photo.jpg")
    url = f"{simulator.api_base}/cgi-bin/media/get"
    query = {"access_token": api.token, "media_id": callback.seen[-1].media_id}
    async with api.http.get(url, params=query) as response:
        fetched, kind = await response.read(), response.content_type
    form = aiohttp.FormData()
    form.add_field("media", b"\xff\xd8\xff ours", filename="a.jpg", content_type="image/jpeg")
    url = f"{simulator.api_base}/cgi-bin/media/upload?type=image&access_token={api.token}"
    async with api.http.post(url, data=form) as response:
        media_id = (await response.json(content_type=None))["media_id"]
    picture = {"touser": OPENID, "msgtype": "image", "image": {"media_id": media_id}}
    sent = await api.call("message/custom/send", picture)
    bubble = simulator.phone(OPENID)[-1]
    async with api.http.get(f"{simulator.api_base}{bubble.media_url}") as response:
        shown = await response.read()

    assert (fetched, kind) == (b"\xff\xd8\xff the customer's", "image/jpeg")
    assert sent["errcode"] == 0
    assert shown == b"\xff\xd8\xff ours"


async def test_a_video_is_fetched_through_a_url(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """media/get answers JSON for a video, and JSON with status 200 for a mistake."""
    await simulator.push_video(OPENID, b"\0\0\0\x18ftypmp42 film")

    found = await api.call("media/get", media_id=callback.seen[-1].media_id)
    lost = await api.call("media/get", media_id="nothing")
    async with api.http.get(found["video_url"]) as response:
        film = await response.read()

    assert film == b"\0\0\0\x18ftypmp42 film"
    assert lost["errcode"] == 40007


async def test_the_other_calls_answer(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """Typing, user info, callback check, callback addresses, quota, wrong method, wrong secret."""
    await simulator.push_text(OPENID, "hi")
    typing = {"touser": OPENID, "command": "Typing"}

    assert (await api.call("message/custom/typing", typing))["errcode"] == 0
    assert (await api.call("message/custom/typing", typing))["errcode"] == 45081
    assert (await api.call("user/info", openid=OPENID))["subscribe"] == 1
    assert "ping" in await api.call("callback/check", {"action": "all"})
    assert "ip_list" in await api.call("getcallbackip")
    quota = {"appid": simulator.credentials.app_id}
    assert (await api.call("clear_quota", quota))["errcode"] == 0
    assert (await api.call("message/custom/send"))["errcode"] == 43002
    wrong = {"grant_type": "client_credential", "appid": simulator.credentials.app_id}
    assert (await api.call("stable_token", wrong | {"secret": "x"}))["errcode"] == 40125
    assert (await api.call("stable_token", wrong | {"appid": "x"}))["errcode"] == 40013


async def test_a_json_error_is_sometimes_labelled_as_text(api: Api) -> None:
    """As on the platform, the content type is no guide."""
    labels = set()
    for _ in range(4):
        async with api.http.get(f"{api.simulator.api_base}/cgi-bin/getcallbackip") as response:
            labels.add(response.content_type)

    assert labels == {"application/json", "text/plain"}


# Faults ------------------------------------------------------------------


async def test_a_lost_answer_hides_what_was_done(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """The message is on the phone although the caller saw a broken connection."""
    await simulator.push_text(OPENID, "hi")
    simulator.fail("drop_answer", path="/cgi-bin/message")

    with pytest.raises(aiohttp.ClientError):
        await api.say("maybe")

    assert simulator.phone(OPENID)[-1].text == "maybe"
    assert simulator.log("send")[-1]["errcode"] == 0


async def test_a_dropped_request_does_nothing(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """The caller sees the same broken connection, but nothing was shown."""
    await simulator.push_text(OPENID, "hi")
    simulator.fail("drop_request", path="/cgi-bin/message")

    with pytest.raises(aiohttp.ClientError):
        await api.say("never")

    assert simulator.phone(OPENID)[-1].text == "hi"


async def test_switched_errors(simulator: WeChatSimulator, callback: Callback, api: Api) -> None:
    """Quota, IP list, busy, expired and revoked token, each as the platform words it."""
    await simulator.push_text(OPENID, "hi")
    simulator.limit_rate()
    simulator.refuse_ip()
    simulator.fail("errcode", code=-1)
    codes = [(await api.say("x"))["errcode"] for _ in range(4)]
    simulator.tokens.expire_all()
    expired = (await api.say("x"))["errcode"]
    simulator.tokens.revoke_all()
    revoked = (await api.say("x"))["errcode"]

    assert codes == [45009, 40164, -1, 0]
    assert (expired, revoked) == (42001, 40001)


async def test_a_bad_gateway_after_the_act(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """502 says nothing about what happened."""
    await simulator.push_text(OPENID, "hi")
    simulator.fail("bad_gateway", path="/cgi-bin/message")
    url = f"{simulator.api_base}/cgi-bin/message/custom/send?access_token={api.token}"
    asked = {"touser": OPENID, "msgtype": "text", "text": {"content": "done"}}

    async with api.http.post(url, data=json.dumps(asked)) as response:
        status = response.status

    assert status == 502
    assert simulator.phone(OPENID)[-1].text == "done"


async def test_the_platform_dies_and_comes_back(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """Gone in the middle of an answer; back on the same port it still knows everything."""
    await simulator.push_text(OPENID, "hi")
    port = simulator.port
    simulator.fail("die", path="/cgi-bin/message")

    with pytest.raises(aiohttp.ClientError):
        await api.say("last words")
    with pytest.raises(aiohttp.ClientError):
        await api.say("anyone?")
    await simulator.start(port=port)

    assert (await api.say("again"))["errcode"] == 0
    assert [bubble.text for bubble in simulator.phone(OPENID)] == ["hi", "last words", "again"]


# Control and log ---------------------------------------------------------


async def test_the_switches_work_over_http(
    simulator: WeChatSimulator, callback: Callback, api: Api
) -> None:
    """Another process pushes, switches a fault on, and reads the log."""
    base = f"{simulator.api_base}/_control"
    push = {"kind": "text", "openid": OPENID, "content": "hello"}
    async with api.http.post(f"{base}/push", json=push) as response:
        pushed = await response.json()
    async with api.http.post(f"{base}/faults", json={"kind": "errcode", "code": 45009}) as r:
        assert r.status == 200
    refused = await api.say("x")
    async with api.http.get(f"{base}/log", params={"kind": "push"}) as response:
        log = await response.json()
    async with api.http.get(f"{base}/customers/{OPENID}") as response:
        customer = await response.json()

    assert pushed["outcome"] == "acked"
    assert refused["errcode"] == 45009
    assert [entry["message_id"] for entry in log["entries"]] == [pushed["message_id"]]
    assert log["in_flight"] == 0
    assert customer["remaining_replies"] == 5


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_a_strangers_page_cannot_use_the_switches(
    simulator: WeChatSimulator, http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """Neither by another name for this machine, nor from another origin, nor as a plain form."""
    url = f"{simulator.api_base}/_control/token/revoke"

    async with http.post(url, data=b"{}", headers=headers) as response:
        assert response.status in (403, 415)


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
