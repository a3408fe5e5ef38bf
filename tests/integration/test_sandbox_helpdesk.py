"""The demo helpdesk over real sockets: webhooks, misbehaviour, the page's guard, the phone."""

import asyncio
import json
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aioimaplib
import pytest
from aiohttp import web
from yarl import URL

from sandbox.demo import SHOP_ADDRESS, Demo, DemoPorts, DemoSecrets
from sandbox.helpdesk import DeskFault, Misbehaviour, sign
from sandbox.mail import write_letter
from sandbox.wechat import Envelope, WeChatCredentials
from sandbox.wechat.wire import parse

TINY_PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


class StandInHub:
    """Just enough of a hub to carry messages: no store, no retries, no promise."""

    def __init__(self) -> None:
        self.demo: Demo
        self.secrets = DemoSecrets()
        self.keys: list[str] = []
        self.homes: dict[str, tuple[str, str]] = {}
        self.lanes: dict[str, int] = {}
        self.http: aiohttp.ClientSession

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/in/wechat/shop", self.take_push),
            web.post("/v1/conversations/{id}/messages", self.reply),
            web.get("/v1/conversations/{id}", self.nothing),
            web.get("/v1/conversations", self.nothing),
            web.get("/v1/attachments/{id}", self.picture),
            web.get("/ready", self.nothing),
        ]

    async def nothing(self, request: web.Request) -> web.Response:
        return web.json_response({})

    async def picture(self, request: web.Request) -> web.Response:
        return web.Response(body=TINY_PNG, content_type="text/html")

    async def take_push(self, request: web.Request) -> web.Response:
        wechat = self.demo.wechat.credentials
        envelope = Envelope(wechat.token, wechat.aes_key, wechat.app_id)
        fields = parse(envelope.open(parse(await request.read(), "xml")["Encrypt"]), "xml")
        await self.tell("wechat", fields["FromUserName"], fields.get("Content", "[event]"), {})
        return web.Response(text="success")

    async def take_letter(self, letter: Any) -> None:
        address = letter.sender.rpartition("<")[2].rstrip(">")
        await self.tell("email", address, letter.text, {"subject": letter.subject})

    async def tell(self, channel: str, value: str, text: str, more: dict[str, Any]) -> None:
        home = f"cnv_{value}"
        self.homes[home] = (channel, value)
        message = {
            "id": f"msg_{len(self.lanes)}_{time.monotonic_ns()}",
            "channel": channel,
            "account": "shop",
            "direction": "inbound",
            "text": text,
            "sender": {"address": {"value": value}},
            "conversation": {"id": home, "queue": "sales"},
            "sent_at": "2026-11-21T12:00:00Z",
            **more,
        }
        await self.post("message.received", {"message": message}, home)

    async def post(self, kind: str, data: dict[str, Any], lane: str, **odd: Any) -> int:
        number = self.lanes[lane] = self.lanes.get(lane, 0) + 1
        data = data | {"order": {"lane": lane, "n": number}}
        body = json.dumps({"type": kind, "timestamp": "t", "data": data}).encode()
        headers = self.headers(f"evt_{lane}_{number}", body) | odd
        async with self.http.post(self.demo.site.webhook_url, data=body, headers=headers) as got:
            return got.status

    def headers(self, event: str, body: bytes) -> dict[str, str]:
        at = str(int(time.time()))
        signature = sign(self.secrets.webhook_secret, event, at, body)
        return {
            "webhook-id": event,
            "webhook-timestamp": at,
            "webhook-signature": signature,
        }

    async def reply(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.keys.append(request.headers["Idempotency-Key"])
        channel, value = self.homes[request.match_info["id"]]
        if channel == "email":
            raw = write_letter(SHOP_ADDRESS, value, "Re:", asked["text"], at=time.time())
            await self.demo.mail.deliver(SHOP_ADDRESS, [value], raw)
        else:
            await self.say(value, asked["text"])
        answer = {"id": f"msg_{time.monotonic_ns()}", "status": "queued", "text": asked["text"]}
        return web.json_response(answer, status=202)

    async def say(self, openid: str, text: str) -> None:
        token, _ = self.demo.wechat.tokens.stable()
        url = f"{self.demo.wechat.api_base}/cgi-bin/message/custom/send?access_token={token}"
        asked = {"touser": openid, "msgtype": "text", "text": {"content": text}}
        body = json.dumps(asked, ensure_ascii=False).encode()
        async with self.http.post(url, data=body) as response:
            assert (await response.json(content_type=None))["errcode"] == 0


@pytest.fixture
async def hub(aiohttp_server: Any) -> AsyncIterator[StandInHub]:
    hub = StandInHub()
    app = web.Application()
    app.add_routes(hub.routes())
    server = await aiohttp_server(app)
    hub.demo = Demo(str(server.make_url("")).rstrip("/"), DemoPorts(), hub.secrets)
    tasks: set[asyncio.Task[None]] = set()

    def forward(owner: str, letter: Any) -> None:
        if owner == SHOP_ADDRESS and letter.direction == "received":
            tasks.add(asyncio.get_running_loop().create_task(hub.take_letter(letter)))

    hub.demo.mail.listeners.append(forward)
    async with aiohttp.ClientSession() as hub.http:
        await hub.demo.start()
        await hub.demo.join("t")
        yield hub
        await hub.demo.stop()
        await asyncio.gather(*tasks)


@pytest.fixture
async def page(hub: StandInHub) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that has opened the printed link."""
    jar = aiohttp.CookieJar(unsafe=True)
    base = f"http://127.0.0.1:{hub.demo.site.port}"
    async with aiohttp.ClientSession(base, cookie_jar=jar) as session:
        async with session.get(hub.demo.page_url) as response:
            assert response.status == 200
        yield session


async def state_of(page: aiohttp.ClientSession) -> Any:
    async with page.get("/api/state") as response:
        return await response.json()


# The demo ----------------------------------------------------------------


async def test_a_message_goes_there_and_back(hub: StandInHub) -> None:
    """The first thing that a newcomer's hub has already done."""
    mailbox = aioimaplib.IMAP4("127.0.0.1", hub.demo.mail.imap_port, timeout=5)
    await mailbox.wait_hello_from_server()
    await mailbox.login(SHOP_ADDRESS, hub.secrets.text("mail_password"))
    await mailbox.select("INBOX")

    parts = [part for part in hub.demo.parts if part.name in ("WeChat", "email")]
    seconds = await asyncio.gather(*(part.greet(hub.demo.desk, 10) for part in parts))
    await mailbox.logout()

    assert all(0 < taken < 10 for taken in seconds)
    assert len({*hub.keys}) == len(parts) == 2


def test_the_settings_are_toml_with_every_secret_in_place() -> None:
    """Also with secrets that need quoting."""
    secrets = DemoSecrets({"mail_password": 'q"uo\\te'})
    demo = Demo("http://127.0.0.1:8080", DemoPorts({"helpdesk": 1}), secrets)

    settings = tomllib.loads(demo.settings_toml())

    assert settings["accounts"]["support"]["password"] == 'q"uo\\te'
    assert settings["accounts"]["shop"]["aes_key"] == demo.wechat.credentials.aes_key
    assert settings["destinations"]["demo"]["url"] == "http://127.0.0.1:1/webhook"
    assert settings["routes"] == [{"channel": "email", "queue": "support"}, {"queue": "sales"}]


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    """The second start finds the first one's, except the key of the page."""
    path = tmp_path / "var" / "demo.json"
    first, second = DemoSecrets.load_or_make(path), DemoSecrets.load_or_make(path)
    made = first.record("wechat", WeChatCredentials)

    assert path.stat().st_mode & 0o777 == 0o600
    assert second.webhook_secret == first.webhook_secret
    assert DemoSecrets.load_or_make(path).record("wechat", WeChatCredentials) == made
    assert second.page_token != first.page_token
    assert made.app_secret not in repr(first)


@pytest.mark.parametrize(
    "damaged", ['{"wechat": {', "[]", '{"wechat": {"odd": 1}}', '{"wechat": 5}']
)
def test_damaged_secrets_are_made_anew(tmp_path: Path, damaged: str) -> None:
    """Half a file, as after a power cut; or one of another shape."""
    path = tmp_path / "demo.json"
    path.write_text(damaged)
    made = DemoSecrets.load_or_make(path).record("wechat", WeChatCredentials)

    assert DemoSecrets.load_or_make(path).record("wechat", WeChatCredentials) == made


# Webhooks ----------------------------------------------------------------


async def test_what_is_told_is_shown(hub: StandInHub, page: aiohttp.ClientSession) -> None:
    """A message appears in its conversation; the log holds its place in the lane."""
    await hub.tell("wechat", "oAlice", "在吗？", {})

    state = await state_of(page)
    assert [each["preview"] for each in state["conversations"]] == ["在吗？"]
    entry = hub.demo.desk.journal.entries("webhook")[0]
    assert (entry["lane"], entry["order_n"], entry["verdict"]) == ("cnv_oAlice", 1, "new")


async def test_a_repeat_is_dropped(hub: StandInHub) -> None:
    """Same id, answered the same, filed once, and counted."""
    await hub.tell("wechat", "oAlice", "hi", {})
    hub.lanes["cnv_oAlice"] = 0
    await hub.tell("wechat", "oAlice", "hi", {})

    desk = hub.demo.desk
    assert desk.counts["repeat"] == 1
    assert [len(each.messages) for each in desk.inbox.conversations()] == [1]


async def test_a_forged_webhook_is_refused_and_seen(
    hub: StandInHub, page: aiohttp.ClientSession
) -> None:
    """403, nothing filed, and the footer says so."""
    odd = {"webhook-signature": "v1,AAAA"}

    assert await hub.post("message.received", {"message": {}}, "lane", **odd) == 403
    state = await state_of(page)
    assert state["conversations"] == []
    assert state["health"]["counts"]["refused"] == 1
    assert state["health"]["troubles"][0]["text"] == "the signature is wrong"


async def outcome(hub: StandInHub) -> int | str:
    try:
        async with asyncio.timeout(0.4):
            body = b'{"type": "x", "timestamp": "t", "data": {}}'
            headers = hub.headers("evt_1", body)
            async with hub.http.post(hub.demo.site.webhook_url, data=body, headers=headers) as got:
                await got.read()
                return got.status
    except TimeoutError:
        return "silence"
    except aiohttp.ClientError:
        return "broken"


@pytest.mark.parametrize(
    "kind,seen,taken",
    [
        ("status", 503, 0),
        ("drop_request", "broken", 0),
        ("drop_answer", "broken", 1),
        ("early_close", "broken", 1),
        ("slow", "silence", 1),
        ("endless", "silence", 1),
    ],
)
async def test_misbehaviour(
    hub: StandInHub, kind: Misbehaviour, seen: int | str, taken: int
) -> None:
    """What the hub sees, whether the event was taken in, and that it ends."""
    hub.demo.desk.misbehave(DeskFault(kind))

    first = await outcome(hub)
    counted = hub.demo.desk.counts["received"]
    second = await outcome(hub)

    assert (first, counted, second) == (seen, taken, 204)


# The page ----------------------------------------------------------------


async def test_the_page_opens_only_with_its_key(hub: StandInHub) -> None:
    """Without the printed link there is nothing to see, on any path."""
    base = f"http://127.0.0.1:{hub.demo.site.port}"
    for path in ("/", "/?token=wrong", "/api/state", "/api/news", "/readme"):
        async with hub.http.get(base + path) as response:
            assert response.status == 403
            assert "shop" not in await response.text()


async def test_the_cookie_is_strict_and_the_policy_tight(hub: StandInHub) -> None:
    """HttpOnly, SameSite=Strict, and no source but the page itself."""
    async with hub.http.get(hub.demo.page_url) as response:
        cookie = response.headers["Set-Cookie"]
        policy = response.headers["Content-Security-Policy"]

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_strangers_are_refused(page: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    """Another name for this machine, or another page of the same browser."""
    async with page.get("/api/state", headers=headers) as response:
        assert response.status == 403
    async with page.post("/api/phone/lin/wechat/shop", json={}, headers=headers) as response:
        assert response.status == 403


async def test_a_plain_form_is_refused(page: aiohttp.ClientSession) -> None:
    """What a browser would send across origins without asking is not accepted."""
    async with page.post("/api/phone/lin/wechat/shop", data=b"{}") as response:
        assert response.status == 415


@pytest.mark.parametrize("path", ["..%2fdemo.py", "%2e%2e/demo.py", "nothing.js", "demo.py"])
async def test_only_the_pages_own_files_are_served(
    hub: StandInHub, page: aiohttp.ClientSession, path: str
) -> None:
    """No way out of the folder, no other kind of file."""
    url = URL(f"http://127.0.0.1:{hub.demo.site.port}/static/{path}", encoded=True)
    async with page.get(url) as response:
        assert response.status == 404


async def test_an_agent_answers_and_the_customer_sees_it(
    hub: StandInHub, page: aiohttp.ClientSession
) -> None:
    """From the phone to the desk and back, as the newcomer does it by hand."""
    say = {"action": "text", "fields": {"text": "几点关门？"}}
    async with page.post("/api/phone/lin/wechat/shop", json=say) as response:
        assert response.status == 200
    conversation = (await state_of(page))["conversations"][0]
    reply = {"text": "九点", "key": "one"}
    async with page.post(f"/api/conversations/{conversation['id']}/reply", json=reply) as response:
        answered = await response.json()

    phone = (await state_of(page))["phone"]["people"][0]
    assert conversation["name"] == "林小雨"
    assert answered["status"] == "queued"
    bubbles = phone["chats"]["wechat"]["shop"]["bubbles"]
    assert [bubble["text"] for bubble in bubbles] == ["几点关门？", "九点"]
    assert hub.keys == ["one"]


async def test_a_customer_writes_and_reads_mail(
    hub: StandInHub, page: aiohttp.ClientSession
) -> None:
    """In the mail app; the answer stands in the same mailbox."""
    mail = {"subject": "Invoice", "text": "Could you send it?", "answering": None}
    async with page.post("/api/phone/mia/mail", json=mail) as response:
        assert response.status == 200
    await asyncio.wait_for(until(lambda: len(hub.demo.desk.inbox.conversations()) == 1), 5)
    home = hub.demo.desk.inbox.conversations()[0]
    await hub.demo.desk.answer(home.id, {"text": "Of course."})

    letters = (await state_of(page))["phone"]["people"][1]["letters"]
    assert home.name == "Mia Lindqvist"
    assert [letter["text"] for letter in letters] == ["Could you send it?", "Of course."]


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_news_arrive_live(hub: StandInHub, page: aiohttp.ClientSession) -> None:
    """A message is pushed to the open page as a server-sent event."""
    async with page.get("/api/news") as stream:
        await stream.content.readuntil(b"\n\n")
        await hub.tell("wechat", "oAlice", "hello", {})
        news = await asyncio.wait_for(stream.content.readuntil(b"\n\n"), 5)

    assert news.startswith(b"event: message\ndata: ")
    assert json.loads(news.partition(b"data: ")[2])["message"]["text"] == "hello"


async def test_an_attachment_is_shown_by_its_bytes_only(
    hub: StandInHub, page: aiohttp.ClientSession
) -> None:
    """Whatever type the hub names: a picture is a picture, and may run nothing."""
    base = hub.demo.desk.hub.base_url
    files = [
        {"id": "att_1", "kind": "image", "state": "stored", "url": f"{base}/v1/attachments/1"},
        {"id": "att_2", "kind": "image", "state": "stored", "url": "http://169.254.169.254/x"},
    ]
    await hub.tell("wechat", "oAlice", "[image]", {"attachments": files})

    async with page.get("/api/attachments/att_1") as response:
        assert response.content_type == "image/png"
        assert "sandbox" in response.headers["Content-Security-Policy"]
    async with page.get("/api/attachments/att_2") as response:
        assert response.status == 502
    async with page.get("/api/attachments/att_3") as response:
        assert response.status == 404
