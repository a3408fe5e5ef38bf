"""The channel against the platform's simulator, over real sockets: neither shares code with the other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from adapters.wechat import CHANNEL, WeChatAdapter, WeChatSettings
from hub.channel import Account, IntakeRequest, Response, Tools
from hub.errors import BadCredentials, RateLimited, SendError, WindowClosed
from hub.fetch import Fetcher
from hub.guard import ON_PREMISE
from hub.model import (
    Address,
    Attachment,
    Link,
    Menu,
    MenuChoice,
    Message,
    Receipt,
    Reply,
    ReplyAttachment,
    Result,
    Secret,
)
from hub.testing import MemoryMedia, MemoryTokens, RecordingLog
from outbound.wechat import WeChatChecker, WeChatMedia, WeChatSender
from sandbox.wechat import WeChatSimulator

OPENID = "oAlice_0123456789abcdefghijk"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@dataclass
class Shop:
    """One account of the hub, as far as the channel goes: a door, and what came through it."""

    account: Account[Any]
    tools: Tools
    results: list[Result] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        asked = IntakeRequest(
            request.method,
            request.path,
            request.raw_path.partition("?")[2],
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            datetime.now(UTC),
        )
        intake = await WeChatAdapter(self.account, self.tools).accept(asked)
        for event in intake.events:
            self.keys.append(event.dedupe_key)
            self.results += CHANNEL.normalize(event, self.account)
        response: Response = intake.response
        return web.Response(status=response.status, body=response.body, headers=response.headers)

    async def say(self, **content: Any) -> list[Receipt]:
        """Compose and send; what each call brought."""
        sender = WeChatSender(self.account, self.tools)
        reply = Reply(to=Address("wechat", self.account.settings.app_id, OPENID), **content)
        receipts: list[Receipt] = []
        known: dict[str, Any] = {}
        for draft in sender.compose(reply, ()):
            receipts.append(await sender.send(draft, known))
            known |= receipts[-1].results
        return receipts


async def shop_of(simulator: WeChatSimulator, http: Fetcher, **changes: Any) -> Shop:
    made = simulator.credentials
    settings = WeChatSettings(
        app_id=made.app_id,
        app_secret=Secret(made.app_secret),
        token=Secret(made.token),
        aes_key=Secret(made.aes_key),
        api_base=simulator.api_base,
        **changes,
    )
    assert not list(settings.mistakes())
    media = MemoryMedia()
    media.files["att_1"] = PNG
    tools = Tools(
        http=http,
        tokens=MemoryTokens(),
        media=media,
        clock=lambda: datetime.now(UTC),
        log=RecordingLog(),
    )
    return Shop(Account("shop", "wechat", settings), tools)


@pytest.fixture
async def http() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(ON_PREMISE, max_bytes=25 << 20)
    yield fetcher
    await fetcher.close()


@pytest.fixture
async def simulator() -> AsyncIterator[WeChatSimulator]:
    simulator = WeChatSimulator(time_scale=0.2)
    await simulator.start()
    yield simulator
    await simulator.stop()


async def listening(shop: Shop, simulator: WeChatSimulator, aiohttp_server: Any) -> Shop:
    app = web.Application()
    app.add_routes([web.route("*", "/in/wechat/shop", shop.answer)])
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    simulator.callback_url = str(server.make_url("/in/wechat/shop"))
    return shop


@pytest.fixture
async def shop(simulator: WeChatSimulator, http: Fetcher, aiohttp_server: Any) -> Shop:
    return await listening(await shop_of(simulator, http), simulator, aiohttp_server)


def kinds(results: Sequence[Result]) -> list[str]:
    return [getattr(one, "kind", type(one).__name__) for one in results]


async def test_every_kind_arrives(simulator: WeChatSimulator, shop: Shop) -> None:
    """The callback is verified, and each push is taken, acknowledged and understood."""
    assert (await simulator.verify_url()).ok
    await simulator.push_text(OPENID, "在吗？ ]]> <b>")
    await simulator.push_image(OPENID)
    await simulator.push_voice(OPENID, recognition="你好")
    await simulator.push_video(OPENID)
    await simulator.push_location(OPENID, 23.134521, 113.358803, "位置信息")
    await simulator.push_link(OPENID, "标题", "描述", "https://shop.example/1")
    await simulator.push_subscribe(OPENID, scene="poster")
    await simulator.push_click(OPENID, "help")
    await simulator.push_scan(OPENID, "poster")
    await simulator.push_view(OPENID, "https://shop.example")
    await simulator.push_unsubscribe(OPENID)
    assert kinds(shop.results) == [
        "text",
        "image",
        "voice",
        "video",
        "location",
        "link",
        "subscribed",
        "menu_clicked",
        "scanned",
        "menu_viewed",
        "unsubscribed",
    ]
    first = shop.results[0]
    assert isinstance(first, Message)
    assert first.text == "在吗？ ]]> <b>"
    assert all(entry["acked"] for entry in simulator.log("push"))
    assert len(set(shop.keys)) == len(shop.keys)


@pytest.mark.parametrize("data_format", ["xml", "json"])
@pytest.mark.parametrize("mode", ["plain", "compatible", "safe"])
async def test_modes_and_formats(
    mode: Any, data_format: Any, http: Fetcher, aiohttp_server: Any
) -> None:
    """What the platform sends in each of its modes and formats is understood alike."""
    simulator = WeChatSimulator(mode=mode, data_format=data_format, time_scale=0.2)
    await simulator.start()
    shop = await listening(await shop_of(simulator, http, mode=mode), simulator, aiohttp_server)
    assert (await simulator.push_text(OPENID, "你好")).acked
    await simulator.stop()
    (message,) = shop.results
    assert isinstance(message, Message)
    assert (message.kind, message.text) == ("text", "你好")


async def test_replies_arrive_on_the_phone(simulator: WeChatSimulator, shop: Shop) -> None:
    """Text as written, a picture, a card and a menu: taken by the platform, seen by the customer."""
    await simulator.push_text(OPENID, "hello")
    menu = Menu("How was it?", (MenuChoice("101", "满意"), MenuChoice("102", "不满意")))
    file = ReplyAttachment(kind="image", filename="a.png", mime_type="image/png", id="att_1")
    receipts = await shop.say(
        text='你好 😀 <a href="https://e.example">x</a>', attachments=(file,), menu=menu
    )
    await shop.say(link=Link("https://e.example", "Title"))
    assert {one.status for one in receipts} == {"sent"}
    sent = simulator.phone(OPENID)
    assert any("你好 😀" in str(bubble) for bubble in sent)
    assert len(sent) == 1 + 4


async def test_what_a_customer_sent_can_be_fetched(simulator: WeChatSimulator, shop: Shop) -> None:
    """The picture and the video come back as the platform keeps them."""
    await simulator.push_image(OPENID)
    await simulator.push_video(OPENID)
    media = WeChatMedia(shop.account, shop.tools)
    for result in shop.results:
        assert isinstance(result, Message)
        attachment: Attachment = result.attachments[0]
        content = b"".join([piece async for piece in media.open(attachment)])
        assert content == simulator.media.get(attachment.source["media_id"]).content


async def test_the_sixth_reply_is_one_too_many(simulator: WeChatSimulator, shop: Shop) -> None:
    """The platform counts; its code becomes WindowClosed."""
    await simulator.push_text(OPENID, "hello")
    for number in range(5):
        await shop.say(text=f"{number}")
    with pytest.raises(WindowClosed) as caught:
        await shop.say(text="one more")
    assert caught.value.external_code == "45047"


async def test_nobody_is_written_to_unasked(simulator: WeChatSimulator, shop: Shop) -> None:
    """Without a message of theirs nothing may be said."""
    with pytest.raises(SendError):
        await shop.say(text="hello?")


@pytest.mark.parametrize("end", ["expire_all", "revoke_all"])
async def test_a_token_that_ends_costs_nothing(
    simulator: WeChatSimulator, shop: Shop, end: str
) -> None:
    """The platform calls the token over (42001, 40001); the reply goes out with the next one, once."""
    await simulator.push_text(OPENID, "hello")
    await shop.say(text="one")
    getattr(simulator.tokens, end)()
    await shop.say(text="two")
    texts = [str(bubble) for bubble in simulator.phone(OPENID)]
    assert sum("two" in text for text in texts) == 1


async def test_refusals_have_their_class(simulator: WeChatSimulator, shop: Shop) -> None:
    """An address that is not listed, and too fast a pace, as the platform tells them."""
    await simulator.push_text(OPENID, "hello")
    await shop.say(text="one")
    simulator.limit_rate()
    with pytest.raises(RateLimited):
        await shop.say(text="two")
    simulator.refuse_ip()
    with pytest.raises(BadCredentials) as caught:
        await shop.say(text="three")
    assert caught.value.external_code == "40164"


async def test_the_check_is_green(simulator: WeChatSimulator, shop: Shop) -> None:
    """With these credentials the platform gives a token."""
    checker = WeChatChecker(shop.account, shop.tools)
    found = [one async for one in checker.check("https://hub.example.com")]
    assert all(one.ok for one in found)


async def test_a_hundred_replies_need_one_token(simulator: WeChatSimulator, shop: Shop) -> None:
    """At once, and nothing waits for anything but the platform."""
    for number in range(20):
        await simulator.push_text(f"oBob{number:024}", "hello")
    sender = WeChatSender(shop.account, shop.tools)

    async def say(number: int) -> Receipt:
        to = Address("wechat", shop.account.settings.app_id, f"oBob{number % 20:024}")
        return await sender.send(sender.compose(Reply(to=to, text="hi"), ())[0], {})

    await say(0)
    receipts = await asyncio.gather(*(say(number) for number in range(1, 100)))
    assert {one.status for one in receipts} == {"sent"}
    assert isinstance(shop.tools.tokens, MemoryTokens)
    assert shop.tools.tokens.fetches == 1
