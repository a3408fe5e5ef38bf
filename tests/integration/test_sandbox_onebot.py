"""The OneBot implementation of the sandbox: its rules, its codes, its phones and its switches."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.files import File
from sandbox.onebot import OneBotSimulator
from sandbox.onebot.app import GROUP_NUMBER, QQApp
from sandbox.onebot.wire import signature
from sandbox.phones import NotPossible, Person

LIN = Person("lin", "林小雨", "lin@home.example")
MIA = Person("mia", "Mia", "mia@home.example")
STRANGER = 99999


@pytest.fixture
async def simulator() -> AsyncIterator[OneBotSimulator]:
    made = OneBotSimulator(time_scale=0.05)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def app(simulator: OneBotSimulator) -> QQApp:
    return QQApp(simulator, (LIN, MIA))


@pytest.fixture
async def session(simulator: OneBotSimulator) -> AsyncIterator[aiohttp.ClientSession]:
    token = simulator.credentials.access_token
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(simulator.api_base, headers=headers) as made:
        yield made


def text(said: str) -> list[dict[str, Any]]:
    return [{"type": "text", "data": {"text": said}}]


async def called(
    session: aiohttp.ClientSession, action: str, **params: Any
) -> tuple[int, dict[str, Any]]:
    async with session.post(f"/{action}", json=params) as answer:
        found = await answer.json() if answer.status == 200 else {}
        return answer.status, found


async def test_the_http_api_has_the_standards_statuses(
    simulator: OneBotSimulator, session: aiohttp.ClientSession
) -> None:
    """401 without a token, 403 with another, 404, 400, 406; and errors inside 200."""
    async with aiohttp.ClientSession() as stranger:
        for headers, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 403)):
            async with stranger.get(f"{simulator.api_base}/get_status", headers=headers) as answer:
                assert answer.status == status
    assert (await called(session, "no_such_action"))[0] == 404
    for data, kind, status in (("{", "application/json", 400), ("a=b", "text/plain", 406)):
        headers = {"Content-Type": kind}
        async with session.post("/send_msg", data=data, headers=headers) as answer:
            assert answer.status == status
    _, refused = await called(session, "send_private_msg", user_id=STRANGER, message=text("hi"))
    assert (refused["status"], refused["retcode"]) == ("failed", 1200)
    _, refused = await called(session, "send_private_msg", user_id="x", message=text("hi"))
    assert refused["retcode"] == 1400


async def test_who_may_be_written_to(
    simulator: OneBotSimulator, session: aiohttp.ClientSession, app: QQApp
) -> None:
    """Friends, and groups that the account is in and may speak in."""
    lin = int(app.address(LIN))
    _, answer = await called(session, "send_private_msg", user_id=lin, message=text("hi"))
    number = answer["data"]["message_id"]
    assert 0 <= number < 2**31
    _, answer = await called(session, "get_msg", message_id=number)
    assert answer["data"]["raw_message"] == "hi"
    simulator.world.groups[GROUP_NUMBER].is_muted = True
    _, answer = await called(session, "send_group_msg", group_id=GROUP_NUMBER, message=text("hi"))
    assert "禁言" in answer["message"]


async def test_a_cq_code_in_a_persons_text_is_seen(
    session: aiohttp.ClientSession, app: QQApp
) -> None:
    """A string that holds one is refused, so that nobody's text can become one unseen."""
    lin = int(app.address(LIN))
    asked = {"user_id": lin, "message": "[CQ:at,qq=all] hi"}
    assert (await called(session, "send_private_msg", **asked))[1]["retcode"] == 1200
    _, answer = await called(session, "send_private_msg", **asked, auto_escape=True)
    assert answer["status"] == "ok"


async def test_a_wrong_token_gets_a_frame_and_no_more(simulator: OneBotSimulator) -> None:
    """Forward WebSocket: 1403 inside the connection, then it is closed."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(simulator.forward_url) as socket,
    ):
        assert (await socket.receive_json())["retcode"] == 1403
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_an_answer_to_an_event_is_carried_out(simulator: OneBotSimulator, app: QQApp) -> None:
    """The trap of quick operations: an innocent body speaks to the customer."""
    seen: list[tuple[str, bytes]] = []

    async def application(request: web.Request) -> web.Response:
        seen.append((request.headers["X-Signature"], await request.read()))
        return web.json_response({"reply": "ok"})

    server = web.Application()
    server.router.add_post("/", application)
    runner = web.AppRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    simulator.post_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await app.act(LIN, "shop", "text", {"text": "hi"}, None)
    await runner.cleanup()
    (header, body), lin = seen[0], int(app.address(LIN))
    assert header == signature(simulator.credentials.secret, body)
    assert [one.text for one in simulator.phone(lin)] == ["hi", "ok"]


TOOLS = [
    ("mention", {"text": "hi"}, "message"),
    ("quote", {"text": "hi"}, "message"),
    ("image", {}, "message"),
    ("voice", {}, "message"),
    ("video", {}, "message"),
    ("file", {}, "message"),
    ("face", {"id": "14"}, "message"),
    ("recall", {}, "notice"),
    ("poke", {}, "notice"),
]


@pytest.mark.parametrize("chat", ["shop", "group"])
async def test_every_tool_makes_an_event(simulator: OneBotSimulator, app: QQApp, chat: str) -> None:
    """In private and in the group; everybody in the group sees what is said there."""
    await app.act(LIN, chat, "text", {"text": "first"}, None)
    for key, fields, post_type in TOOLS:
        await app.act(LIN, chat, key, fields, None)
        assert simulator.log("event")[-1]["post_type"] == post_type
    assert {one.key for one in app.spec.tools} == {key for key, *_ in TOOLS}
    bubbles = app.state(MIA)[chat]["bubbles"]
    assert bool(bubbles) == (chat == "group")
    pictures = [one for one in app.state(LIN)[chat]["bubbles"] if one["kind"] == "image"]
    assert isinstance(app.file(pictures[0]["media_id"]), File)


async def test_what_was_never_said_cannot_be_recalled(app: QQApp) -> None:
    """The person is told."""
    with pytest.raises(NotPossible):
        await app.act(LIN, "shop", "recall", {}, None)


async def test_every_switch_can_be_thrown_and_all_is_well_again(
    simulator: OneBotSimulator, app: QQApp
) -> None:
    """What is still to happen is listed; afterwards nothing is."""
    board = app.board
    assert board is not None
    for one in app.as_json()["switches"]:
        if one["key"] != "well_again":
            await board.throw(one["key"], {})
    assert len(app.as_json()["pending"]) == 7
    await board.throw("well_again", {})
    assert app.as_json()["pending"] == []
