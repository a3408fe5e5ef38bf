"""The simulated QQ bot platform keeps the platform's rules, and its app does what people do."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.helpdesk import PEOPLE
from sandbox.http import serve
from sandbox.qq import QqSimulator
from sandbox.qq.app import GROUP, QqBotApp
from tests.corekit import running_desk

LIN = PEOPLE[0]


class Clock:
    """Turned by hand."""

    def __init__(self) -> None:
        self.now = 1_767_323_045.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def simulator(clock: Clock) -> AsyncIterator[QqSimulator]:
    made = QqSimulator(clock=clock)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def bot(simulator: QqSimulator) -> AsyncIterator["Bot"]:
    async with aiohttp.ClientSession() as session:
        made = Bot(simulator, session)
        await made.token()
        yield made


class Bot:
    """A client that knows nothing of the hub."""

    def __init__(self, simulator: QqSimulator, session: aiohttp.ClientSession) -> None:
        self.simulator, self._session = simulator, session
        self._token = ""

    async def token(self) -> dict[str, Any]:
        made = self.simulator.credentials
        asked = {"appId": made.app_id, "clientSecret": made.secret}
        status, body = await self.call("/app/getAppAccessToken", asked)
        assert status == 200
        self._token = body["access_token"]
        return body

    async def call(self, path: str, asked: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"QQBot {self._token}"}
        url = self.simulator.api_base + path
        async with self._session.post(url, json=asked, headers=headers) as answer:
            return answer.status, await answer.json()

    async def say(self, name: str = "林", group: str = "", **asked: Any) -> int:
        """The code of the answer, 0 when it was taken."""
        kind, own = ("groups", group) if group else ("users", name)
        path = f"/v2/{kind}/{self.simulator.openid(own)}/messages"
        _, body = await self.call(path, {"msg_type": 0, "content": "hi", **asked})
        return int(body.get("code", 0))


async def told(simulator: QqSimulator, act: Callable[[], Any]) -> dict[str, Any]:
    """The event of what somebody does."""
    async with running_desk() as desk:
        simulator.callback_url = desk.url.replace("/hook", "/none")
        simulator.pusher.seconds_per_try = 0.01
        result = await act()
        simulator.callback_url = None
        event: dict[str, Any] = result.event
        return event


async def test_one_token_until_its_last_minute(
    simulator: QqSimulator, bot: Bot, clock: Clock
) -> None:
    """What is left of it is told as a text; then a new one, and for a minute both are good."""
    first = await bot.token()
    clock.now += 7139
    again = await bot.token()
    assert (again["access_token"], again["expires_in"]) == (first["access_token"], "61")
    clock.now += 1
    second = await bot.token()
    assert second["access_token"] != first["access_token"]
    assert simulator.tokens.is_good(f"QQBot {first['access_token']}")
    clock.now += 60
    assert not simulator.tokens.is_good(f"QQBot {first['access_token']}")


async def test_a_wrong_secret_is_refused_inside_200(bot: Bot) -> None:
    status, body = await bot.call("/app/getAppAccessToken", {"appId": "1", "clientSecret": "2"})
    assert (status, body["code"], "access_token" in body) == (200, 100016, False)


@pytest.mark.parametrize("scene, count, window", [("c2c", 4, 3600), ("group", 5, 300)])
async def test_how_often_and_how_long(
    simulator: QqSimulator, bot: Bot, clock: Clock, scene: str, count: int, window: int
) -> None:
    """As the platform's page says; a number counts once."""
    group = "g" if scene == "group" else ""
    write = (
        (lambda: simulator.write_in_group("g", "林", "hi"))
        if group
        else (lambda: simulator.write("林", "hi"))
    )
    own = (await told(simulator, write))["d"]["id"]
    codes = [await bot.say(group=group, msg_id=own, msg_seq=n) for n in range(1, count + 2)]
    assert codes == [0] * count + [40034005]
    assert await bot.say(group=group, msg_id=own, msg_seq=1) == 40054005
    assert simulator.chats.repeated == 1
    clock.now += window
    assert await bot.say(group=group, msg_id=own, msg_seq=9) == 40034026


async def test_what_may_not_be_said(simulator: QqSimulator, bot: Bot) -> None:
    """Without a message, under another chat's, empty, of no kind, with a number out of range."""
    own = (await told(simulator, lambda: simulator.write("林", "hi")))["d"]["id"]
    assert await bot.say() == 40034105
    assert await bot.say(group="g", msg_id=own) == 40034024
    assert await bot.say(event_id="INTERACTION_CREATE:1") == 40034025
    assert await bot.say(msg_id=own, content=" ") == 50006
    assert await bot.say(msg_id=own, msg_type=99) == 340069
    assert await bot.say(msg_id=own, msg_seq=2**32) == 40011000
    assert await bot.say(msg_id=own, content="x" * 4001) == 40054007
    assert await bot.say(msg_id=own, msg_type=7, media={"file_info": "none"}) == 304080
    simulator.tokens.expire_all()
    assert await bot.say(msg_id=own) == 11244


async def test_whoever_refuses_active_messages_gets_none(simulator: QqSimulator, bot: Bot) -> None:
    simulator.chats.active_allowed = True
    assert await bot.say() == 0
    await told(simulator, lambda: simulator.befriend("林", "C2C_MSG_REJECT"))
    assert await bot.say() == 40054013
    await told(simulator, lambda: simulator.befriend("林", "C2C_MSG_RECEIVE"))
    assert await bot.say() == 0


async def test_a_push_is_tried_until_it_is_acknowledged(simulator: QqSimulator) -> None:
    """Any 2xx ends it; each try is the same event."""
    simulator.pusher.seconds_per_try = 0.5
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(status=(500, 403, 204)[len(bodies) - 1])

    app = web.Application()
    app.router.add_post("/hook", take)
    runner, port = await serve(app, "127.0.0.1", 0)
    simulator.callback_url = f"http://127.0.0.1:{port}/hook"
    result = await simulator.write("林", "hi")
    await runner.cleanup()
    assert result is not None
    assert (result.acked, result.tries) == (True, 3)
    assert len(set(bodies)) == 1


async def test_the_app_does_what_people_do(simulator: QqSimulator) -> None:
    """Alone and in the group; what is said to everybody is no mention."""
    app = QqBotApp(simulator, PEOPLE)
    simulator.gateway.heartbeat_ms = 1000
    kinds: list[str] = []
    happen = simulator.happen

    async def heard(kind: str, data: Any, **rest: Any) -> Any:
        kinds.append(kind)
        return await happen(kind, data, **rest)

    simulator.happen = heard  # type: ignore[method-assign]
    await app.act(LIN, "bot", "text", {"text": "hi"}, None)
    await app.act(LIN, "group", "text", {"text": "all"}, None)
    await app.act(LIN, "group", "mention", {"text": "bot?"}, None)
    await app.act(LIN, "bot", "image", {}, None)
    await app.act(LIN, "bot", "choice", {"choice": "a", "label": "A"}, None)
    await app.act(LIN, "group", "reject", {}, None)
    await app.act(LIN, "bot", "receive", {}, None)
    assert kinds == [
        "C2C_MESSAGE_CREATE",
        "GROUP_MESSAGE_CREATE",
        "GROUP_AT_MESSAGE_CREATE",
        "C2C_MESSAGE_CREATE",
        "INTERACTION_CREATE",
        "GROUP_MSG_REJECT",
        "C2C_MSG_RECEIVE",
    ]
    bubbles = simulator.phone("", group=GROUP)
    assert [(one.sender, one.text) for one in bubbles] == [(LIN.name, "all"), (LIN.name, "bot?")]


async def test_the_switches_do_what_they_say(simulator: QqSimulator, bot: Bot) -> None:
    """A review holds the next message until it is decided; the window closes; all is well again."""
    board = QqBotApp(simulator, PEOPLE).board
    assert board is not None
    own = (await told(simulator, lambda: simulator.write(LIN.name, "hi")))["d"]["id"]
    await board.throw("review", {})
    assert board.pending() == ["review × 1"]
    assert await bot.say(LIN.name, msg_id=own, msg_seq=1) == 304023
    assert board.pending() == ["under review: 1"]
    await board.throw("pass_review", {})
    assert [one.text for one in simulator.phone(LIN.name)] == ["hi", "hi"]
    await board.throw("fail_call", {"code": "22009"})
    assert await bot.say(LIN.name, msg_id=own, msg_seq=2) == 22009
    await board.throw("close_window", {"customer": simulator.openid(LIN.name)})
    assert await bot.say(LIN.name, msg_id=own, msg_seq=3) == 40034026
    await board.throw("slow", {"seconds": "60"})
    await board.throw("well_again", {})
    assert board.pending() == []
    await board.throw("expire_token", {})
    assert await bot.say(LIN.name, msg_id=own, msg_seq=4) == 11244
