"""What the WeChat simulator answers to the account's calls: its API, its faults, its switches."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from sandbox.wechat import WeChatSimulator
from tests.support.wechat_peers import (
    OPENID,
    Api,
    Callback,
    logged_in,
    simulating,
    taking_pushes,
)


@pytest.fixture
async def simulator() -> AsyncIterator[WeChatSimulator]:
    async with simulating() as simulator:
        yield simulator


@pytest.fixture
async def callback(simulator: WeChatSimulator) -> AsyncIterator[Callback]:
    async with taking_pushes(simulator) as callback:
        yield callback


@pytest.fixture
async def api(simulator: WeChatSimulator) -> AsyncIterator[Api]:
    async with logged_in(simulator) as api:
        yield api


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
    simulator: WeChatSimulator, api: Api, headers: dict[str, str]
) -> None:
    """Neither by another name for this machine, nor from another origin, nor as a plain form."""
    url = f"{simulator.api_base}/_control/token/revoke"

    async with api.http.post(url, data=b"{}", headers=headers) as response:
        assert response.status in (403, 415)
