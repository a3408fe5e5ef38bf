"""The demo page in a real browser: it works, and nothing that a customer writes can run.

Needs Chromium on PATH (Debian: ``chromium``), which is only remote-controlled
over loopback.
"""

import asyncio
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.helpdesk import (
    PEOPLE,
    Helpdesk,
    HelpdeskSite,
    HubClient,
    Phone,
    new_webhook_secret,
    sign,
)
from sandbox.mail import MailPair
from sandbox.wechat import WeChatSimulator
from sandbox.wechat import messages as actions
from sandbox.wechat.app import WeChatApp
from tests.support.shared_material import SHARED

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
OWN_PAYLOADS = (
    "<script>window.ran=1</script>",
    '<img src=x onerror="window.ran=1">',
    "<svg/onload=window.ran=1>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "javascript:window.ran=1",
    '"><script>window.ran=1</script>',
    "{{constructor.constructor('window.ran=1')()}}",
    "</textarea><script>window.ran=1</script>",
    "<style>@import 'http://evil.example'</style>",
    "<a href=javascript:window.ran=1>click</a>",
)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
    pytest.mark.slow,
]


class Browser:
    """One Chromium page, driven by its debugging protocol."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def start(self, folder: str) -> None:
        assert CHROMIUM
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._http = aiohttp.ClientSession()
        port = await self._port(Path(folder) / "DevToolsActivePort")
        async with self._http.get(f"http://127.0.0.1:{port}/json") as response:
            page = next(each for each in await response.json() if each["type"] == "page")
        self._socket = await self._http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.get_running_loop().create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def stop(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._http.close()
        self._process.terminate()
        await self._process.wait()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 20)

    async def run(self, code: str) -> Any:
        answer = await self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Until the JavaScript *condition* is true in the page."""
        async with asyncio.timeout(15):
            while not await self.run(f"Boolean({condition})"):
                await asyncio.sleep(0.05)

    async def open(self, url: str, width: int = 1440, height: int = 900) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 900,
        )
        await self.call("Page.navigate", url=url)
        await self.wait_for("document.querySelector('.person')")

    def named(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]

    async def _port(self, file: Path) -> str:
        async with asyncio.timeout(30):
            while not file.exists() or len(file.read_text().split()) != 2:
                await asyncio.sleep(0.05)
        return file.read_text().split()[0]

    async def _read(self) -> None:
        async for message in self._socket:
            document = json.loads(message.data)
            if "id" in document:
                self._waiting.pop(document["id"]).set_result(document.get("result", document))
            else:
                self.events.append(document)


class Stage:
    """Desk, phone and page without a hub behind them."""

    def __init__(self) -> None:
        self.secret = new_webhook_secret()
        self.wechat = WeChatSimulator(callback_url="http://127.0.0.1:9/in", time_scale=0.1)
        self.mail = MailPair({"support@shop.example": "secret"})
        self.app = WeChatApp(self.wechat, PEOPLE)
        self.phone = Phone([self.app], mail=self.mail, shop_address="support@shop.example")
        self.desk = Helpdesk(hub=HubClient("http://127.0.0.1:9", "t"), webhook_secret=self.secret)
        self.site = HelpdeskSite(self.desk, self.phone)

    async def start(self) -> None:
        await self.mail.start()
        for person in PEOPLE:
            await self.mail.add_user(person.mail)
        await self.site.start()

    async def stop(self) -> None:
        await self.site.stop()
        await self.desk.close()
        await self.mail.close()
        await self.wechat.stop()

    def tell(self, number: int, text: str, home: str = "cnv_1", **more: Any) -> None:
        """A message of a customer, as a webhook; every text in it is *text*."""
        file = {"id": f"att_{number}", "kind": "file", "state": "stored", "filename": text}
        message = {
            "id": f"msg_{number}",
            "channel": "email",
            "account": text,
            "direction": "inbound",
            "kind": "text",
            "text": text,
            "subject": text,
            "sender": {"address": {"value": text}, "name": text},
            "conversation": {"id": home, "queue": text},
            "sent_at": "2026-11-21T12:00:00Z",
            "attachments": [file | {"url": text}],
            "location": {"latitude": 1, "longitude": 2, "label": text} if number % 5 == 0 else None,
            **more,
        }
        kind = "message.status" if "status" in more else "message.received"
        body = json.dumps({"type": kind, "timestamp": "t", "data": {"message": message}}).encode()
        at = str(int(time.time()))
        signature = sign(self.secret, f"evt_{number}", at, body)
        headers = {"webhook-id": f"evt_{number}", "webhook-timestamp": at}
        self.desk.take_in(headers | {"webhook-signature": signature}, body)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.start()
    yield stage
    await stage.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser()
        await browser.start(folder)
        yield browser
        await browser.stop()


def payloads() -> list[str]:
    """Own ones always; those of the shared corpora where they are at hand."""
    found = list(OWN_PAYLOADS)
    folder = SHARED / "corpora" / "badinput"
    for path in sorted(folder.glob("payloadsallthethings/xss_*.txt")):
        found += path.read_text(encoding="utf-8", errors="replace").splitlines()
    dompurify = folder / "dompurify" / "expect.share.json"
    if dompurify.exists():
        found += [each["payload"] for each in json.loads(dompurify.read_text(encoding="utf-8"))]
    found += [
        path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("bleach/*.test")
    ]
    return [payload for payload in found if payload.strip()]


async def test_the_page_is_whole_in_both_sizes_and_languages(
    stage: Stage, browser: Browser
) -> None:
    """No error, no request to anywhere else, nothing refused by its own policy."""
    stage.tell(1, "hello")
    await browser.open(stage.site.url)
    await browser.wait_for("document.querySelectorAll('.line').length === 1")
    await browser.run("[...document.querySelectorAll('.top button')].at(-2).click()")
    await browser.wait_for("document.querySelector('.brand b').textContent === '消息中枢'")
    await browser.open(stage.site.url, 390, 844)
    await browser.run("document.querySelectorAll('.tab')[2].click()")
    await browser.wait_for("document.querySelector('.device').offsetHeight > 400")

    assert await browser.run("location.search") == ""
    assert await browser.run("document.documentElement.scrollWidth <= 390")
    assert browser.named("Runtime.exceptionThrown") == []
    origin = stage.site.url.partition("/?")[0]
    asked = {each["request"]["url"] for each in browser.named("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith((origin, "about:"))} == set()
    assert [each for each in browser.named("Log.entryAdded") if "Security" in str(each)] == []


async def test_a_customer_writes_on_the_phone_and_the_desk_hears_of_it(
    stage: Stage, browser: Browser, aiohttp_server: Any
) -> None:
    """Typed and sent with Enter; the bubble is green and on the right."""
    heard: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.query["openid"])
        return web.Response(text="success")

    app = web.Application()
    app.router.add_post("/in", hear)
    server = await aiohttp_server(app)
    stage.wechat.callback_url = str(server.make_url("/in"))
    await browser.open(stage.site.url)

    await browser.run("document.querySelector('.chat-bar textarea').focus()")
    await browser.call("Input.insertText", text="在吗？")
    await browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter")
    await browser.wait_for("document.querySelector('.chat-line.mine')")

    assert await browser.run("document.querySelector('.chat-line.mine').innerText") == "林\n在吗？"
    assert heard == [stage.app.address(PEOPLE[0])]


async def test_mails_stand_in_their_threads(stage: Stage, browser: Browser) -> None:
    """A question and its answer are one line in the mailbox, and open together."""
    lin, shop = stage.phone.people["lin"].mail, "support@shop.example"
    question = await stage.mail.send_as(lin, shop, "order", "where is it?")
    await stage.mail.send_as(shop, lin, "Re: order", "on its way", answering=question)
    await stage.mail.send_as(shop, lin, "news", "we have moved")
    await browser.open(stage.site.url)
    await browser.run("document.querySelector('[data-app=mail]').click()")
    await browser.wait_for("document.querySelectorAll('.mail-row').length === 2")
    assert await browser.run("document.querySelector('.mail-count').innerText") == "2"
    await browser.run("document.querySelectorAll('.mail-row')[1].click()")
    await browser.wait_for("document.querySelectorAll('.mail-letter').length === 2")
    texts = "[...document.querySelectorAll('.mail-text')].map(each => each.innerText).join('|')"
    assert await browser.run(texts) == "where is it?|on its way"
    assert browser.named("Runtime.exceptionThrown") == []


async def test_tools_ask_for_what_they_need(stage: Stage, browser: Browser) -> None:
    """A sheet with the usual words in it, a sample where nobody picks a file, choices to tap."""
    openid = stage.app.address(PEOPLE[0])
    choices = (("1", "good"), ("2", "bad"))
    await browser.open(stage.site.url, 390, 844)
    await browser.run("document.querySelectorAll('.tab')[2].click()")
    await browser.run("document.querySelector('.round').click()")
    await browser.run("document.querySelector('[data-tool=location]').click()")
    await browser.run("document.querySelector('.tool-sheet input[name=label]').value = 'Bund'")
    await browser.run("document.querySelector('.tool-sheet .go').click()")
    await browser.wait_for("document.querySelector('.chat-bubble.card .map')")
    await browser.run("document.querySelector('[data-tool=image]').click()")
    await browser.run("document.querySelector('.tool-sheet .go').click()")
    await browser.wait_for("document.querySelector('.chat-bubble.photo img')?.naturalWidth === 160")
    stage.wechat.customers.show(openid, "account", "menu", "How was it?", choices=choices)
    await browser.wait_for("document.querySelectorAll('.choice').length === 2")
    await browser.run("document.querySelectorAll('.choice')[1].click()")
    await browser.wait_for("document.querySelectorAll('.chat-line.mine').length === 3")

    said = [bubble for bubble in stage.wechat.phone(openid) if bubble.author == "user"]
    assert [bubble.text for bubble in said] == ["Bund", "[image]", "bad"]
    assert said[2].details["bizmsgmenuid"] == "2"
    assert await browser.run("document.documentElement.scrollWidth <= 390")
    assert browser.named("Runtime.exceptionThrown") == []


async def test_switches_are_thrown_for_the_person_in_hand(stage: Stage, browser: Browser) -> None:
    """From the drawer; what is still to happen stands there."""
    openid = stage.app.address(PEOPLE[0])
    stage.wechat.customers.meet(openid).open_allowance("message", stage.wechat.clock())
    await browser.open(stage.site.url)
    await browser.run("document.querySelector('.fault-button').click()")
    await browser.run("document.querySelector('[data-switch=slow] .go').click()")
    await browser.wait_for("document.querySelector('.pending').innerText.includes('slow × 1')")
    await browser.run("document.querySelector('[data-switch=close_window] .go').click()")
    await browser.wait_for("document.querySelectorAll('.toast').length === 2")
    await browser.run("document.querySelector('[data-switch=well_again] .go').click()")
    await browser.wait_for("document.querySelector('.pending').innerText === ''")

    left = stage.wechat.customers.meet(openid).remaining_replies(stage.wechat.clock())
    assert left == 0
    assert browser.named("Runtime.exceptionThrown") == []


async def test_nothing_that_a_customer_writes_runs(stage: Stage, browser: Browser) -> None:
    """In texts, subjects, names, queues, file names, places, reasons: all of it stays text."""
    hostile = payloads()
    await browser.open(stage.site.url)
    await browser.run("window.ran = 0")
    for number, text in enumerate(hostile):
        stage.tell(number, text, home=f"cnv_{number // 400}")
        if number % 50 == 0:
            stage.tell(
                number + 100_000,
                text,
                direction="outbound",
                status="failed",
                error={"detail": text},
            )
    openid = stage.app.address(PEOPLE[0])
    for text in hostile[:: max(1, len(hostile) // 150)]:
        stage.wechat.stamp(actions.text(openid, text))
        stage.wechat.stamp(actions.location(openid, 1.0, 2.0, text))
        shown = {"title": text, "description": text, "url": text, "footer": text}
        stage.wechat.customers.show(openid, "account", "link", text, details=shown, sender=text)
        choices = ((text, text),)
        stage.wechat.customers.show(openid, "account", "menu", text, details=shown, choices=choices)
        stage.wechat.customers.show(openid, "system", text, text, media_url=text)
        await stage.mail.send_as("support@shop.example", stage.phone.people["lin"].mail, "x", text)
    for row in range(min(4, len({number // 400 for number in range(len(hostile))}))):
        await browser.wait_for(f"document.querySelectorAll('.row').length > {row}")
        await browser.run(f"document.querySelectorAll('.row')[{row}].click()")
        await browser.wait_for("document.querySelectorAll('.line').length > 5")
    await browser.run("document.querySelector('[data-app=mail]').click()")
    await browser.wait_for("document.querySelector('.mail-row')")
    await browser.run("document.querySelector('.mail-row').click()")
    await asyncio.sleep(0.3)  # what would run, has run

    assert len(hostile) >= len(OWN_PAYLOADS)
    assert await browser.run("window.ran") == 0
    assert browser.named("Page.javascriptDialogOpening") == []
    assert browser.named("Runtime.exceptionThrown") == []
    scripts = "[...document.scripts].filter(s => !s.src.endsWith('/static/main.js')).length"
    assert await browser.run(scripts) == 0
    assert (
        await browser.run("document.querySelectorAll('iframe,object,embed,base,style').length") == 0
    )
    links = "[...document.querySelectorAll('a')].filter(a => a.protocol !== 'http:').length"
    assert await browser.run(links) == 0
    origin = stage.site.url.partition("/?")[0]
    asked = {each["request"]["url"] for each in browser.named("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith((origin, "about:"))} == set()
