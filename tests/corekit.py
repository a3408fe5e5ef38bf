"""A core for tests: real database, a small test channel, and a helpdesk that remembers."""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from msgspec import Struct

from hub.bells import Bells
from hub.channel import Account, Capabilities, Channel
from hub.core import Core
from hub.delivery import Deliverer
from hub.destination import Target
from hub.ingest import Ingester
from hub.model import (
    Address,
    Allowance,
    ConversationRef,
    Group,
    Ignored,
    InboundEvent,
    Message,
    Notice,
    Part,
    Participant,
    Result,
    Secret,
)
from hub.routing import router_of
from hub.settings import AccountPlan, DestinationPlan, HubSettings, QueueSettings, Route, Settings
from hub.store import Database
from hub.store.breakers import ensure_destinations
from hub.store.inbox import Arrived, ensure_partitions, insert_events
from outbound.helpdesks.webhook import DESTINATION, WebhookSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Nothing(Struct, frozen=True):
    """The test channel's settings: none."""


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterator[Result]:
    """The test channel: an event's body is JSON that says what it means."""
    said = json.loads(event.body)
    address = Address("test", "", said.get("from", "somebody"))
    who = Participant(said.get("role", "contact"), address, said.get("name"))
    place = ConversationRef(
        thread_key=said.get("thread", address.value), is_group=said.get("group", False)
    )
    group = Group(Address("test", "", place.thread_key or ""), said.get("group_name"))
    common = {"channel": "test", "account": account.name, "sender": who, "conversation": place}
    kind = said.get("type", "message")
    if kind == "ignored":
        yield Ignored("nobody needs it")
    elif kind == "broken":
        raise RuntimeError("this normalizer cannot")
    elif kind == "notice":
        yield Notice(
            kind="subscribed",
            text="subscribed",
            dedupe_key=said["id"],
            sent_at=START,
            consent=said.get("consent"),
            same_as=tuple(Address("union", "", one) for one in said.get("same", ())),
            **common,
        )
    else:
        yield Message(
            kind="text",
            text=said["text"],
            group=group if place.is_group else None,
            dedupe_key=said.get("id", event.dedupe_key),
            external_id=said.get("id"),
            sent_at=START,
            part=Part(*said["part"]) if "part" in said else None,
            known_ids=tuple(said.get("known", ())),
            thread_hints=tuple(said.get("hints", ())),
            allowances=tuple(
                Allowance(
                    trigger="message",
                    key=one,
                    opened_at=START,
                    remaining=5,
                    until=START + timedelta(days=2),
                )
                for one in said.get("allow", ())
            ),
            **common,
        )


CHANNEL = Channel(
    key="test",
    title="Test",
    settings=Nothing,
    normalize=normalize,
    capabilities=Capabilities(),
    docs_url="",
)


def settings_for(
    url: str | None = None,
    *,
    accounts: Sequence[str] = ("shop",),
    channel: Channel = CHANNEL,
    routes: Sequence[Route] = (),
    queues: Sequence[str] = ("inbox",),
    **plan: Any,
) -> Settings:
    """Settings with test accounts and, given a *url*, one destination called ``desk``."""
    values: dict[str, Any] = {
        "enabled": True,
        "queues": ("*",),
        "events": (),
        "max_in_flight": 16,
        "timeout_s": 5.0,
        "allow_private": True,
        "proxy": None,
    } | plan
    target = Target("desk", "webhook", WebhookSettings(url=url or "", secret=Secret(SECRET)))
    return Settings(
        HubSettings(),
        {
            name: AccountPlan(
                Account(name, channel.key, Nothing()), channel, True, "hold", None, None
            )
            for name in accounts
        },
        {name: QueueSettings() for name in queues},
        list(routes),
        {"desk": DestinationPlan(target, DESTINATION, **values)} if url else {},
        "0" * 64,
        None,
        (),
    )


@asynccontextmanager
async def opened(
    database_url: str, settings: Settings, *, name: str = "test"
) -> AsyncIterator[Core]:
    """A core on *database_url*; there can be one database per test and loop."""
    db = await Database.open(database_url)
    core = Core(settings, db, Bells(None), None, None, name)  # type: ignore[arg-type]
    try:
        await ensure_partitions(db, settings.accounts)
        await ensure_destinations(db, list(settings.destinations))
        yield core
    finally:
        await db.close()


def twin(core: Core, name: str) -> Core:
    """Another process's core on the same database, as far as leases can tell."""
    return Core(core.settings, core.db, Bells(None), core.accounts, core.media, name)


def event(said: dict[str, Any], *, order_key: str | None = None) -> InboundEvent:
    """A raw event of the test channel."""
    body = json.dumps(said).encode()
    return InboundEvent(
        dedupe_key=said.get("event", hashlib.sha256(body).hexdigest()),
        order_key=order_key or said.get("from", "somebody"),
        body=body,
        received_at=START,
    )


async def store(core: Core, *said: dict[str, Any], account: str = "shop") -> None:
    """Put events into the inbox."""
    await insert_events(core.db, [Arrived(account, "test", event(one)) for one in said])


class NoParsers:
    """No hostile channel here."""

    async def normalize(
        self, channel_key: str, event: InboundEvent, account: Account[Any]
    ) -> list[Result]:
        raise AssertionError("not a hostile channel")


async def keep(attachment: Any) -> Any:
    raise AssertionError("no files here")


def ingester(core: Core, deliverer: Deliverer | None = None) -> Ingester:
    """An ingester of the test channel; it hands lanes to *deliverer*."""
    offer = deliverer.offer if deliverer else nullcontext
    return Ingester(core, lambda settings: router_of(settings).choose, NoParsers(), keep, offer)


async def file_all(core: Core, deliverer: Deliverer | None = None) -> None:
    """File until nothing waits."""
    service = ingester(core, deliverer)
    while await service.once():
        pass


class Desk:
    """A helpdesk: remembers each request, answers as told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda said: 200
        self.arrived = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        said = json.loads(await request.read())
        self.seen.append((request.headers["webhook-id"], said, dict(request.headers)))
        self.arrived.set()
        answer = self.answer(said)
        if isinstance(answer, Awaitable):
            answer = await answer
        return answer if isinstance(answer, web.Response) else web.Response(status=answer)

    @property
    def messages(self) -> list[str]:
        """The texts of the messages received, in order, repeats included."""
        return [
            s["data"]["message"]["text"] for _, s, _ in self.seen if s["type"] == "message.received"
        ]

    @property
    def by_lane(self) -> dict[str, list[int]]:
        """The order numbers received in each lane."""
        lanes: dict[str, list[int]] = defaultdict(list)
        for _, said, _ in self.seen:
            lanes[said["data"]["order"]["lane"]].append(said["data"]["order"]["n"])
        return dict(lanes)


@asynccontextmanager
async def running_desk(port: int = 0) -> AsyncIterator[Desk]:
    """A helpdesk on loopback."""
    desk = Desk()
    app = web.Application()
    app.router.add_post("/hook", desk.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    desk.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield desk
    finally:
        await runner.cleanup()


@asynccontextmanager
async def background(*serving: Awaitable[None]) -> AsyncIterator[None]:
    """Services that run until the block ends."""
    tasks = [asyncio.ensure_future(one) for one in serving]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def eventually(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    """Wait until *condition* (a function, or one that gives an awaitable) holds."""
    async with asyncio.timeout(timeout):
        while True:
            found = condition()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)
