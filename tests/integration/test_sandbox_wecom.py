"""The simulators of enterprise WeChat keep the platform's rules; wechatpy opens what they push."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from wechatpy.enterprise import parse_message
from wechatpy.enterprise.crypto import WeChatCrypto

from sandbox.wechat import messages
from sandbox.wechat_kefu import ENDED, HUBS, NOBODYS, QUEUED, SERVED, KefuSimulator
from sandbox.wecom import WeComSimulator

START = 1_767_000_000.0
DAY = 86_400


class Turned:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Caller:
    """Calls a simulator as the hub does, with a token of its own."""

    def __init__(self, simulator: WeComSimulator | KefuSimulator) -> None:
        self.simulator = simulator
        self._http = aiohttp.ClientSession(
            json_serialize=lambda value: json.dumps(value, ensure_ascii=False)
        )

    async def close(self) -> None:
        await self._http.close()

    async def token(self, secret: str | None = None) -> Any:
        made = self.simulator.credentials
        query = {"corpid": made.corp_id, "corpsecret": secret or made.secret}
        url = f"{self.simulator.api_base}/cgi-bin/gettoken"
        async with self._http.get(url, params=query) as answer:
            return await answer.json()

    async def post(self, path: str, /, **body: Any) -> Any:
        token = (await self.token())["access_token"]
        url = f"{self.simulator.api_base}/cgi-bin/{path}"
        async with self._http.post(url, params={"access_token": token}, json=body) as answer:
            return await answer.json(content_type=None)

    async def code(self, path: str, /, **body: Any) -> int:
        answer = await self.post(path, **body)
        return int(answer["errcode"])


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
async def app(clock: Turned) -> AsyncIterator[Caller]:
    simulator = WeComSimulator(clock=clock)
    await simulator.start()
    caller = Caller(simulator)
    yield caller
    await caller.close()
    await simulator.stop()


@pytest.fixture
async def kefu(clock: Turned) -> AsyncIterator[Caller]:
    simulator = KefuSimulator(clock=clock)
    await simulator.start()
    caller = Caller(simulator)
    yield caller
    await caller.close()
    await simulator.stop()


# --- the app ----------------------------------------------------------------------------------------


async def test_wechatpy_opens_a_push_and_its_echo(app: Caller) -> None:
    """Another implementation of the platform's encryption agrees with the simulator."""
    simulator: Any = app.simulator
    made = simulator.credentials
    theirs = WeChatCrypto(made.token, made.aes_key, made.corp_id)
    stamped = simulator.stamp(messages.text("lin", "在吗？ ]]>"))
    pushed = simulator.builder.build(stamped)
    query = {name: values[0] for name, values in parse_qs(pushed.query).items()}
    opened = theirs.decrypt_message(
        pushed.body.decode(), query["msg_signature"], query["timestamp"], query["nonce"]
    )
    message = parse_message(opened)
    assert (message.type, message.source, message.content) == ("text", "lin", "在吗？ ]]>")
    assert message.agent == made.agent_id
    query = {
        name: values[0]
        for name, values in parse_qs(simulator.builder.build_url_check("echo")).items()
    }
    echo = theirs.check_signature(
        query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"]
    )
    assert echo == "echo"


@pytest.mark.parametrize("kind", [WeComSimulator, KefuSimulator])
async def test_an_echo_that_takes_more_than_a_second_is_refused(
    kind: type[WeComSimulator | KefuSimulator], aiohttp_server: Any
) -> None:
    """As the console does when the callback URL is saved; no test's hurry changes the second."""

    async def late(request: web.Request) -> web.Response:
        await asyncio.sleep(1.5)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", late)
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    simulator = kind(time_scale=10.0)
    await simulator.start()
    try:
        checked = await simulator.verify_url(str(server.make_url("/")))
    finally:
        await simulator.stop()
    assert (checked.ok, checked.status) == (False, None)
    assert "TimeoutError" in checked.body


async def test_everybody_gets_the_same_token(app: Caller) -> None:
    """While it is good; a wrong secret gets none."""
    assert (await app.token())["access_token"] == (await app.token())["access_token"]
    assert (await app.token("wrong"))["errcode"] == 40001


async def said(app: Caller, to: str, text: str, **more: Any) -> Any:
    body = {"touser": to, "msgtype": "text", "agentid": 1000002, "text": {"content": text}}
    return await app.post("message/send", **{**body, **more})


async def test_members_who_may_not_see_the_app(app: Caller) -> None:
    """One of two: ok, and named in lower case; all of them: 81013."""
    simulator: Any = app.simulator
    simulator.members.meet("lin")
    answer = await said(app, "lin|Nobody", "hi")
    assert (answer["errcode"], answer["invaliduser"]) == (0, "nobody")
    assert (await said(app, "Nobody", "hi"))["errcode"] == 81013
    assert (await said(app, "lin", "hi", agentid=1))["errcode"] == 40056


async def test_the_duplicate_check(app: Caller, clock: Turned) -> None:
    """The same to the same within the interval is taken and not shown; only where it is asked for."""
    simulator: Any = app.simulator
    simulator.members.meet("lin")
    check = {"enable_duplicate_check": 1, "duplicate_check_interval": 60}
    for _ in range(2):
        assert (await said(app, "lin", "hi", **check))["errcode"] == 0
    assert len(simulator.phone("lin")) == 1
    await said(app, "lin", "hi")
    clock.now += 61
    await said(app, "lin", "hi", **check)
    assert len(simulator.phone("lin")) == 3


async def test_a_long_text_is_cut_without_a_word(app: Caller) -> None:
    """2048 bytes, as the platform does it."""
    simulator: Any = app.simulator
    simulator.members.meet("lin")
    assert (await said(app, "lin", "哈" * 700))["errcode"] == 0
    assert simulator.phone("lin")[0].text == "哈" * 682


# --- customer service -------------------------------------------------------------------------------


def desk_and_customer(kefu: Caller) -> tuple[Any, str, str]:
    simulator: Any = kefu.simulator
    desk, lin = simulator.desks.open(), simulator.meet("lin")
    simulator.write(desk, lin, content="hello")
    return simulator, desk, lin


async def say(kefu: Caller, desk: str, customer: str, msgid: str | None = None) -> int:
    body = {"touser": customer, "open_kfid": desk, "msgtype": "text", "text": {"content": "hi"}}
    return await kefu.code("kf/send_msg", **body, **({"msgid": msgid} if msgid else {}))


async def test_five_replies_in_two_days(kefu: Caller, clock: Turned) -> None:
    """The sixth is one too many; the customer's next message opens five more, for 48 hours."""
    simulator, desk, lin = desk_and_customer(kefu)
    assert [await say(kefu, desk, lin) for _ in range(6)] == [0, 0, 0, 0, 0, 95001]
    simulator.write(desk, lin, content="again")
    assert await say(kefu, desk, lin) == 0
    clock.now += 2 * DAY + 1
    assert await say(kefu, desk, lin) == 95002


async def test_an_id_is_taken_once(kefu: Caller) -> None:
    """The second is 95033 and uses up nothing; one of 33 letters is no id."""
    _, desk, lin = desk_and_customer(kefu)
    assert [await say(kefu, desk, lin, "a" * 32) for _ in range(2)] == [0, 95033]
    assert await say(kefu, desk, lin, "a" * 33) == 40058


@pytest.mark.parametrize(
    "state,code", [(NOBODYS, 0), (HUBS, 0), (QUEUED, 95018), (SERVED, 95018), (ENDED, 95018)]
)
async def test_who_has_the_session_speaks(kefu: Caller, state: int, code: int) -> None:
    """The interface only while it is nobody's or its own."""
    simulator, desk, lin = desk_and_customer(kefu)
    simulator.desks.get(desk).session(lin).state = state
    assert await say(kefu, desk, lin) == code


@pytest.mark.parametrize(
    "start,to,code",
    [
        (NOBODYS, HUBS, 0),
        (HUBS, QUEUED, 0),
        (QUEUED, HUBS, 95016),
        (SERVED, HUBS, 95016),
        (SERVED, ENDED, 0),
        (ENDED, HUBS, 95013),
    ],
)
async def test_steps_of_a_session(kefu: Caller, start: int, to: int, code: int) -> None:
    """Those that the platform documents, and no other."""
    simulator, desk, lin = desk_and_customer(kefu)
    simulator.desks.get(desk).session(lin).state = start
    ids = {"open_kfid": desk, "external_userid": lin}
    assert await kefu.code("kf/service_state/trans", **ids, service_state=to) == code


async def test_a_code_is_good_once_and_for_20_seconds(kefu: Caller, clock: Turned) -> None:
    """And there is no second welcome within two days."""
    simulator, desk, _ = desk_and_customer(kefu)
    answers = []
    for wait in (19, 21):
        mia = simulator.meet("mia")
        code = simulator.enter(desk, mia)["event"]["welcome_code"]
        assert "welcome_code" not in simulator.enter(desk, mia)["event"]
        clock.now += wait
        body = {"code": code, "msgtype": "text", "text": {"content": "hi"}}
        answers += [await kefu.code("kf/send_msg_on_event", **body) for _ in range(2)]
    assert answers == [0, 40058, 40058, 40058]


async def test_pages(kefu: Caller, clock: Turned) -> None:
    """A cursor is the desk's own; a token lives ten minutes; three days are kept."""
    simulator, desk, lin = desk_and_customer(kefu)
    for number in range(4):
        simulator.write(desk, lin, content=str(number))
    first = await kefu.post("kf/sync_msg", open_kfid=desk, limit=3)
    assert (len(first["msg_list"]), first["has_more"]) == (3, 1)
    rest = await kefu.post("kf/sync_msg", open_kfid=desk, cursor=first["next_cursor"])
    assert (len(rest["msg_list"]), rest["has_more"]) == (2, 0)
    other = simulator.desks.open()
    foreign = {"open_kfid": other, "cursor": first["next_cursor"]}
    assert await kefu.code("kf/sync_msg", **foreign) == 40058
    token = simulator.desks.new_token(simulator.desks.get(desk))
    assert await kefu.code("kf/sync_msg", open_kfid=desk, token=token) == 0
    clock.now += 601
    assert await kefu.code("kf/sync_msg", open_kfid=desk, token=token) == 95007
    clock.now += 3 * DAY
    assert (await kefu.post("kf/sync_msg", open_kfid=desk))["msg_list"] == []
    assert await kefu.code("kf/sync_msg", open_kfid="wkUnknown") == 95004


async def test_a_bell_says_nothing_but_where(kefu: Caller) -> None:
    """No sender, no id, no content: a token and the desk."""
    simulator, desk, _ = desk_and_customer(kefu)
    made = simulator.credentials
    simulator.callback_url = f"{simulator.api_base}/nowhere"
    assert not (await simulator.ring(desk)).acked
    token = simulator.desks.new_token(simulator.desks.get(desk))
    fields = {"MsgType": "event", "Event": "kf_msg_or_event", "Token": token, "OpenKfId": desk}
    stamped = simulator.builder.stamp(messages.UserAction("", fields, None))
    pushed = simulator.builder.build(stamped)
    query = {name: values[0] for name, values in parse_qs(pushed.query).items()}
    opened = WeChatCrypto(made.token, made.aes_key, made.corp_id).decrypt_message(
        pushed.body.decode(), query["msg_signature"], query["timestamp"], query["nonce"]
    )
    found = parse_message(opened)._data
    assert set(found) == {
        "ToUserName",
        "CreateTime",
        "MsgType",
        "Event",
        "Token",
        "OpenKfId",
    }
