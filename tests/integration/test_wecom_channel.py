"""The app's channel against the platform's simulator, over real sockets: neither shares code."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from adapters.wecom import CHANNEL, WeComAdapter, WeComSettings
from hub.channel import Account, IntakeRequest, Tools
from hub.errors import Ambiguous, BadCredentials, RateLimited, RecipientGone
from hub.fetch import Fetcher
from hub.guard import ON_PREMISE
from hub.model import (
    Address,
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
from outbound.wecom import WeComChecker, WeComMedia, WeComSender
from sandbox.wecom import WeComSimulator

MEMBER = "lin"


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
        intake = await WeComAdapter(self.account, self.tools).accept(asked)
        for event in intake.events:
            self.keys.append(event.dedupe_key)
            self.results += CHANNEL.normalize(event, self.account)
        response = intake.response
        return web.Response(status=response.status, body=response.body, headers=response.headers)

    async def say(self, to: str = MEMBER, **content: Any) -> list[Receipt]:
        sender = WeComSender(self.account, self.tools)
        address = Address("wecom", self.account.settings.corp_id, to)
        receipts: list[Receipt] = []
        known: dict[str, Any] = {}
        for draft in sender.compose(Reply(to=address, message_id="msg_1", **content), ()):
            receipts.append(await sender.send(draft, known))
            known |= receipts[-1].results
        return receipts


@pytest.fixture
async def simulator() -> AsyncIterator[WeComSimulator]:
    simulator = WeComSimulator(time_scale=0.2)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def shop(simulator: WeComSimulator, aiohttp_server: Any) -> AsyncIterator[Shop]:
    made = simulator.credentials
    settings = WeComSettings(
        corp_id=made.corp_id,
        agent_id=made.agent_id,
        secret=Secret(made.secret),
        token=Secret(made.token),
        aes_key=Secret(made.aes_key),
        api_base=simulator.api_base,
    )
    assert not list(settings.mistakes())
    http, media = Fetcher(ON_PREMISE, max_bytes=25 << 20), MemoryMedia()
    media.files["att_1"] = b"\x89PNG\r\n\x1a\n123456"
    tools = Tools(
        http=http,
        tokens=MemoryTokens(),
        media=media,
        clock=lambda: datetime.now(UTC),
        log=RecordingLog(),
    )
    shop = Shop(Account("shop", "wecom", settings), tools)
    app = web.Application()
    app.add_routes([web.route("*", "/in/wecom/shop", shop.answer)])
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    simulator.callback_url = str(server.make_url("/in/wecom/shop"))
    yield shop
    await http.close()


async def test_every_kind_arrives(simulator: WeComSimulator, shop: Shop) -> None:
    """The callback is verified, and each push is taken, acknowledged and understood."""
    assert (await simulator.verify_url()).ok
    await simulator.push_text(MEMBER, "在吗？ ]]> <b>")
    await simulator.push_image(MEMBER)
    await simulator.push_voice(MEMBER)
    await simulator.push_location(MEMBER, 23.13, 113.35)
    await simulator.push_event(MEMBER, "enter_agent", EventKey="")
    await simulator.push_event(MEMBER, "click", EventKey="help")
    await simulator.tap(MEMBER, "yes", "hub_1")
    kinds = [getattr(one, "kind", type(one).__name__) for one in shop.results]
    assert kinds == ["text", "image", "voice", "location", "app_entered", "menu_clicked", "choice"]
    assert isinstance(shop.results[0], Message)
    assert shop.results[0].text == "在吗？ ]]> <b>"
    assert all(entry["acked"] for entry in simulator.log("push"))
    assert len(set(shop.keys)) == len(shop.keys)


async def test_replies_arrive_on_the_phone(simulator: WeComSimulator, shop: Shop) -> None:
    """Text, a picture, a file, a card and a menu: taken by the platform, seen by the member."""
    simulator.members.meet(MEMBER)
    picture = ReplyAttachment(kind="image", filename="a.png", mime_type="image/png", id="att_1")
    file = ReplyAttachment(kind="file", filename="报价.pdf", id="att_1")
    menu = Menu("How was it?", (MenuChoice("101", "满意"), MenuChoice("102", "不满意")))
    receipts = await shop.say(text="你好 😀", attachments=(picture, file), menu=menu)
    await shop.say(link=Link("https://e.example", "Title"))
    assert {one.status for one in receipts} == {"sent"}
    shown = [bubble.text for bubble in simulator.phone(MEMBER)]
    assert shown == [
        "你好 😀",
        "[image] a.png",
        "[file] 报价.pdf",
        "How was it?",
        "Title https://e.example",
    ]


async def test_a_repeat_of_a_lost_answer_is_shown_once(
    simulator: WeComSimulator, shop: Shop
) -> None:
    """The answer got lost, so the call is made again: the platform drops the double."""
    simulator.members.meet(MEMBER)
    await shop.say(text="warm up")
    simulator.fail("drop_answer", path="/cgi-bin/message/send")
    with pytest.raises(Ambiguous):
        await shop.say(text="only once")
    await shop.say(text="only once")
    assert [one.text for one in simulator.phone(MEMBER)] == ["warm up", "only once"]


async def test_a_member_who_may_not_see_the_app(simulator: WeComSimulator, shop: Shop) -> None:
    """81013, whichever way the platform says it."""
    with pytest.raises(RecipientGone):
        await shop.say(to="nobody", text="hi")


@pytest.mark.parametrize("end", ["expire_all", "revoke_all"])
async def test_a_token_that_ends_costs_nothing(
    simulator: WeComSimulator, shop: Shop, end: str
) -> None:
    """The platform calls the token over (42001, 40014); the reply goes out with the next one, once."""
    simulator.members.meet(MEMBER)
    await shop.say(text="one")
    getattr(simulator.tokens, end)()
    await shop.say(text="two")
    assert [one.text for one in simulator.phone(MEMBER)] == ["one", "two"]


async def test_an_address_that_is_not_trusted(simulator: WeComSimulator, shop: Shop) -> None:
    """60020 stops the account; the check says what to enter where."""
    simulator.fail("errcode", code=60020, path="/cgi-bin/message/send")
    with pytest.raises(BadCredentials):
        await shop.say(text="hi")
    simulator.fail("errcode", code=60020, path="/cgi-bin/agent/get")
    checker = WeComChecker(shop.account, shop.tools)
    found = {one.name: one async for one in checker.check("https://hub.example.com")}
    assert "127.0.0.1" in (found["agent id and trusted address"].advice or "")


async def test_what_a_member_sent_can_be_fetched(simulator: WeComSimulator, shop: Shop) -> None:
    """The picture comes back as the platform keeps it; so does the check."""
    await simulator.push_image(MEMBER)
    media = WeComMedia(shop.account, shop.tools)
    (message,) = shop.results
    assert isinstance(message, Message)
    attachment = message.attachments[0]
    content = b"".join([piece async for piece in media.open(attachment)])
    assert content == simulator.media.get(attachment.source["media_id"]).content
    checker = WeComChecker(shop.account, shop.tools)
    assert all([one.ok async for one in checker.check("https://hub.example.com")])


async def test_a_member_is_never_written_to_too_often(
    simulator: WeComSimulator, shop: Shop
) -> None:
    """The platform would take the thirty-first and drop it; the hub waits with it."""
    simulator.members.meet(MEMBER)
    sender = WeComSender(shop.account, shop.tools)
    address = Address("wecom", shop.account.settings.corp_id, MEMBER)
    (thirty_first,) = sender.compose(Reply(to=address, message_id="m30", text="30"), ())
    for number in range(30):
        (draft,) = sender.compose(Reply(to=address, message_id=f"m{number}", text=str(number)), ())
        await sender.send(draft, {})
    with pytest.raises(RateLimited):
        await sender.send(thirty_first, {})

    assert [one.text for one in simulator.phone(MEMBER)] == [str(number) for number in range(30)]
