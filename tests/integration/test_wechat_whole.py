"""An official account through the real core: web server, database, filing and replies."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from hub import ledger
from hub.channel import Typist
from hub.ids import show_id
from hub.model import Address, Link, Menu, MenuChoice, MiniProgram, Template
from hub.replies import AttachmentRequest
from sandbox.wechat import messages
from tests.corekit import eventually
from tests.wechatkit import OPENID, World, world_of


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    settings = 'subscribe_templates = ["SUBSCRIBE"]'
    async with world_of(tmp_path, database_url, monkeypatch, settings) as made:
        made.simulator.templates["SUBSCRIBE"] = "subscribe"
        made.simulator.templates["TEMPLATE"] = "template"
        yield made


def menu(*labels: str) -> Menu:
    return Menu("How was it?", tuple(MenuChoice(str(n), one) for n, one in enumerate(labels, 101)))


async def test_a_tap_answers_its_menu(world: World) -> None:
    """Of two menus with the same ids, the one with that label; the tap opens three replies."""
    simulator = world.simulator
    await simulator.push_text(OPENID, "hello")
    first = await world.reply(menu=menu("满意", "不满意"))
    second = await world.reply(menu=menu("红", "蓝"))
    await world.status(second, "sent")
    for label in ("满意", "蓝", "绿"):
        await simulator.push_text(OPENID, label, menu_choice="101" if label != "蓝" else "102")
    taps = (await world.arrived(4))[1:]
    assert {one["kind"] for one in taps} == {"choice"}
    assert [one["choice"]["menu_id"] for one in taps] == [
        show_id("msg", first.message_id),
        show_id("msg", second.message_id),
        show_id("msg", second.message_id),  # no such label: the newest with that id
    ]
    assert taps[0]["reply"]["remaining"] == 3


async def test_templates_and_what_became_of_them(world: World) -> None:
    """Outside the window; the platform's report makes the reply delivered."""
    simulator = world.simulator
    await simulator.push_view(OPENID, "https://shop.example")  # opens nothing
    template = Template(
        "TEMPLATE",
        {"keyword1": "一" * 25, "keyword2": "39.8元"},
        mini_program=MiniProgram("wx00000000000000aa", "pages/order?id=1"),
    )
    reply = await world.reply(template=template)
    assert "20 characters" in reply.message["extra"]["notes"][0]
    shown = await world.status(reply, "delivered")
    (entry,) = simulator.log("template")
    assert shown["external_id"] == str(entry["msgid"])
    assert world.shown() == ["一" * 20 + "\n39.8元"]


async def test_a_subscribe_message_uses_a_grant(world: World) -> None:
    """Accepted once, it goes out once; the second is refused by the platform's own code."""
    simulator = world.simulator
    await simulator.push_subscription(OPENID, "SUBSCRIBE")
    (place,) = await world.filed()
    assert (await world.allowances(place["id"]))["subscription"] == 1
    said = Template("SUBSCRIBE", {"thing1": "已发货", "number2": "7"}, url="pages/order")
    await world.status(await world.reply(template=said), "delivered")
    assert (await world.allowances(place["id"]))["subscription"] == 0
    failed = await world.status(await world.reply(template=said), "failed")
    assert failed["error"]["external_code"] == "43101"
    assert world.shown() == ["已发货\n7"]


async def test_a_page_of_a_mini_program(world: World) -> None:
    """With a picture it is a card; without one a link in the text, that opens the mini program too."""
    simulator = world.simulator
    await simulator.push_text(OPENID, "hello")
    opens = MiniProgram("wx00000000000000aa", "pages/shop")
    plain = await world.reply(link=Link("https://shop.example", "Shop", mini_program=opens))
    await world.status(plain, "sent")
    assert world.shown() == [
        '<a href="https://shop.example" data-miniprogram-appid="wx00000000000000aa" '
        'data-miniprogram-path="pages/shop">Shop</a>'
    ]


async def test_stickers_and_pages_come_in(world: World) -> None:
    """As what they are, as far as the platform tells."""
    await world.simulator.push(messages.sticker(OPENID))
    await world.simulator.push_mini_program(OPENID, "商品")
    sticker, page = await world.arrived(2)
    assert (sticker["kind"], page["kind"]) == ("unsupported", "card")
    assert page["text"] == "[mini program] 商品"


async def account_states(world: World) -> list[Any]:
    rows = await world.core.db.fetch(
        "SELECT body FROM events WHERE type = 'account.state' ORDER BY position"
    )
    return [msgspec.json.decode(row["body"])["data"] for row in rows]


@pytest.mark.parametrize(
    "code, fix", [(40164, "IP白名单"), (40125, "AppSecret"), (48001, "passive = true")]
)
async def test_a_refused_account_stops_and_tells_once(world: World, code: int, fix: str) -> None:
    """With the platform's own text and what to do; nothing is lost, and a check lets it go on."""
    simulator = world.simulator
    await simulator.push_text(OPENID, "hello")
    simulator.fail("errcode", code=code, count=1, path="/cgi-bin/message/custom/send")
    replies = [await world.reply(f"{number}") for number in range(3)]

    async def stopped() -> bool:
        return bool(await world.core.accounts.stopped())

    await eventually(stopped)
    (told,) = await account_states(world)
    assert told["state"] == "stopped"
    assert simulator.log("send") == []
    assert fix in told["reason"]
    if code == 40164:
        assert "invalid ip 127.0.0.1" in told["reason"]
        assert "add 127.0.0.1 under" in told["reason"]
    await world.core.accounts.revive("shop")
    world.core.bells.ring("reply")
    for reply in replies:
        await world.status(reply, "sent")
    assert world.shown() == ["0", "1", "2"]


async def test_typing_costs_nothing(world: World) -> None:
    """It is shown on the phone's side, and the count of replies stays."""
    await world.simulator.push_text(OPENID, "hello")
    (place,) = await world.filed()
    running = world.core.accounts.get("shop")
    assert running is not None
    assert isinstance(running.sender, Typist)
    to = Address("wechat", world.simulator.credentials.app_id, OPENID)
    assert await running.sender.typing(to, on=True)
    assert not await running.sender.typing(to, on=True)  # 45081: it is shown already
    assert [one["command"] for one in world.simulator.log("typing")] == ["Typing"]
    assert (await world.allowances(place["id"]))["message"] == 5


async def test_an_account_leaves_through_its_proxy(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, aiohttp_server: Any
) -> None:
    """Every call to the platform: tokens and messages."""
    seen = []

    async def forward(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, request.raw_path, data=await request.read(), headers=request.headers
            ) as answer,
        ):
            return web.Response(body=await answer.read(), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    proxy = await aiohttp_server(app)
    settings = f'proxy = "http://127.0.0.1:{proxy.port}"'
    async with world_of(tmp_path, database_url, monkeypatch, settings) as world:
        await world.simulator.push_text(OPENID, "hello")
        await world.status(await world.reply("hi"), "sent")
        assert world.shown() == ["hi"]
        assert [path.split("?")[0].split("/cgi-bin/")[1] for path in seen] == [
            "stable_token",
            "message/custom/send",
        ]


async def test_a_file_is_uploaded_once_and_again_when_it_is_gone(world: World) -> None:
    """Its id is used again within three days; where the platform has lost it, it gets another."""
    simulator = world.simulator
    await simulator.push_text(OPENID, "hello")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"\x89PNG\r\n\x1a\n" + bytes(100)

    for number in range(3):
        kept = await world.core.media.upload(
            pieces(), filename="a.png", mime_type="image/png", token_id=None, at=world.core.clock()
        )
        if number == 2:
            simulator.media.lose()
        reply = await world.reply(attachments=(AttachmentRequest(id=kept.id),))
        await world.status(reply, "sent")
    assert len(simulator.log("upload")) == 2
    assert len(world.shown()) == 3


async def test_a_grant_opens_the_template_mode(world: World) -> None:
    """Of two answers one is an acceptance; what may be said by template shows in the conversation."""
    await world.simulator.push_subscription(OPENID, "SUBSCRIBE", accepted=False)
    (place,) = await world.filed()
    assert await world.allowances(place["id"]) == {}
    await world.simulator.push_subscription(OPENID, "SUBSCRIBE")

    async def granted() -> bool:
        return (await world.allowances(place["id"])).get("subscription") == 1

    await eventually(granted)
    states = await ledger.reply_states(world.core.db, {place["id"]: True}, world.core.clock())
    assert states[place["id"]].modes == ("template",)
