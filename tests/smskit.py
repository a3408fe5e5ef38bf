"""An SMS channel with a door on loopback, as far as the channel goes: no database behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from msgspec import Struct

from hub.channel import Account, Channel, IntakeRequest, Tools
from hub.errors import NotAuthentic, NotRecognised
from hub.fetch import Fetcher
from hub.guard import ON_PREMISE
from hub.model import Address, Receipt, Reply, Result
from hub.testing import MemoryMedia, MemoryTokens, RecordingLog

__all__ = ["SECRET", "Shop", "running_shop"]

SECRET = "behind-a-secret"


@dataclass
class Shop:
    """One account: what came through its door, and its sender."""

    channel: Channel
    account: Account[Any]
    tools: Tools
    url: str
    results: list[Result] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    status: int = 200
    """Anything but 200: the hub is out of order and stores nothing."""
    refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        if self.status != 200:
            self.refused += 1
            return web.Response(status=self.status)
        path, _, query = request.raw_path.partition("?")
        asked = IntakeRequest(
            request.method,
            path,
            query,
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            datetime.now(UTC),
            request.remote,
        )
        assert self.channel.adapter
        try:
            intake = await self.channel.adapter(self.account, self.tools).accept(asked)
        except (NotAuthentic, NotRecognised) as refusal:
            return web.Response(status=403 if isinstance(refusal, NotAuthentic) else 400)
        for event in intake.events:
            self.keys.append(event.dedupe_key)
            self.results += self.channel.normalize(event, self.account)
        response = intake.response
        return web.Response(status=response.status, body=response.body, headers=response.headers)

    @property
    def sender(self) -> Any:
        assert self.channel.sender
        return self.channel.sender(self.account, self.tools)

    async def checks(self) -> dict[str, Any]:
        """What ``hub check`` finds, by name."""
        assert self.channel.checker
        checker = self.channel.checker(self.account, self.tools)
        return {one.name: one async for one in checker.check("https://hub.example.com")}

    def reply(self, to: str, text: str | None, message_id: str = "msg_1", **more: Any) -> Reply:
        now = datetime.now(UTC)
        address = Address("tel", "", to)
        return Reply(
            to=address, text=text, message_id=message_id, created_at=now, thread_key=to, **more
        )

    async def say(
        self, to: str, text: str | None, message_id: str = "msg_1", **more: Any
    ) -> Receipt:
        """Say *text* in one call."""
        (draft,) = self.sender.compose(self.reply(to, text, message_id, **more), ())
        receipt: Receipt = await self.sender.send(draft, {})
        return receipt

    def of(self, kind: type) -> list[Any]:
        """What came through the door of one kind of result."""
        return [one for one in self.results if isinstance(one, kind)]


@asynccontextmanager
async def running_shop(
    channel: Channel, settings: Callable[[str], Struct], aiohttp_server: Any
) -> AsyncIterator[Shop]:
    """A shop whose *settings* are made from where the hub is reached; its path has ``SECRET``."""
    made: list[Shop] = []

    async def answer(request: web.Request) -> web.Response:
        return await made[0].answer(request)

    path = f"/in/{channel.key}/shop/{SECRET}"
    app = web.Application()
    app.router.add_route("*", path, answer)
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    base = str(server.make_url("/")).rstrip("/")
    http = Fetcher(ON_PREMISE, max_bytes=25 << 20)
    tools = Tools(
        http=http,
        tokens=MemoryTokens(),
        media=MemoryMedia(),
        clock=lambda: datetime.now(UTC),
        log=RecordingLog(),
    )
    own = settings(base)
    assert not list(own.mistakes())  # type: ignore[attr-defined]
    made.append(Shop(channel, Account("shop", channel.key, own), tools, f"{base}{path}"))
    yield made[0]
    await http.close()
