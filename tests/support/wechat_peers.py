"""What stands on the account's side of the WeChat simulator: judges that believe wechatpy only."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.utils import check_signature

from sandbox.wechat import WeChatSimulator

__all__ = ["OPENID", "Api", "Callback", "logged_in", "simulating", "taking_pushes"]

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


@asynccontextmanager
async def simulating() -> AsyncIterator[WeChatSimulator]:
    """The platform, with nobody at its callback URL yet."""
    simulator = WeChatSimulator(time_scale=FAST)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def taking_pushes(simulator: WeChatSimulator) -> AsyncIterator[Callback]:
    """A server that *simulator* pushes to."""
    callback = Callback(simulator)
    app = web.Application()
    app.add_routes([web.get("/in", callback.verify), web.post("/in", callback.receive)])
    async with TestServer(app, shutdown_timeout=0.1) as server:
        callback.url = simulator.callback_url = str(server.make_url("/in"))
        yield callback


@asynccontextmanager
async def logged_in(simulator: WeChatSimulator) -> AsyncIterator[Api]:
    """The API of *simulator*, with a token."""
    async with aiohttp.ClientSession() as http:
        api = Api(simulator, http)
        await api.login()
        yield api
