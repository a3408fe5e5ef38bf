"""A small world for tests of the way of a reply: a test channel with a platform that keeps a log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from hub import ledger
from hub.bells import Bells
from hub.channel import Account, Capabilities, Channel
from hub.core import Core, now
from hub.errors import Unsupported, WindowClosed
from hub.ids import new_id
from hub.model import Allowance, Draft, Receipt, Reply, Template
from hub.replies import Author, Pace, ReplyRequest, ReplyService, accept
from hub.settings import (
    AccountPlan,
    ClosedTemplate,
    DestinationPlan,
    HubSettings,
    QueueSettings,
    Settings,
)
from hub.store import Database

QUICK = Pace(
    poll_s=0.05,
    lease_s=2.0,
    renew_s=0.5,
    send_s=0.6,
    unknown_stands_s=0.6,
    reconcile_s=0.1,
    parts_wait_s=1.5,
    stopped_s=0.3,
    file_s=0.05,
    sweep_s=0.1,
    drain_s=1.0,
    retries_s=(0.05, 0.1, 0.2),
)
"""The pace of a reply, some thirty times faster."""

Script = Callable[[Draft, Mapping[str, Any]], Awaitable[Receipt]]


class Spoken(NamedTuple):
    """One line of the platform's log: what it acted upon."""

    to: str
    text: str
    results: Mapping[str, Any]


class Platform:
    """The test channel's platform: acts, writes it down, and answers as *script* says."""

    def __init__(self) -> None:
        self.log: list[Spoken] = []
        self.prepared: list[str] = []
        self.script: Script | None = None
        self.reconcile_script: Callable[[Draft], Awaitable[Receipt | None]] | None = None
        self.seen: list[Draft] = []

    def act(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Take the call: this is the effect that must not happen twice."""
        if draft.role == "prepare":
            self.prepared.append(draft.body or "")
            return Receipt(status="sent", results={draft.result or "media_id": f"m:{draft.body}"})
        self.log.append(Spoken(str(draft.extra.get("to")), draft.text or "", dict(results)))
        return Receipt(status="sent", external_id=f"ext-{len(self.log)}-{draft.extra.get('key')}")

    def texts(self, to: str | None = None) -> list[str]:
        """What was said, in order."""
        return [one.text for one in self.log if to in (None, one.to)]


class TestSender:
    """Says each line of a text as a message of its own; ``file:x`` is uploaded and then said."""

    __test__ = False

    def __init__(
        self, platform: Platform, *, windowed: bool = False, repeatable: bool = False
    ) -> None:
        self.platform = platform
        self._windowed = windowed
        self._repeatable = repeatable
        self.repeatable_for_s: float | None = None
        self.lately: dict[str, list[str]] = {}

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        self.lately[reply.message_id or ""] = [one["key"] for one in reply.said_lately]
        if reply.template is not None:
            return [self._template(reply, reply.template)]
        text = reply.text or ""
        if text == "unsupported":
            raise Unsupported("the test channel does not say that")
        lines = text.split("\n")
        if self._windowed and allowances:
            left = sum(
                one.remaining or 0 for one in allowances if one.until is None or one.until > now()
            )
            if left == 0:
                raise WindowClosed("the customer has to write first")
            if len(lines) > left:
                lines = [" ".join(lines)]
        return [draft for n, line in enumerate(lines) for draft in self._line(reply, line, n)]

    def _template(self, reply: Reply, template: Template) -> Draft:
        said = f"{template.id}: {', '.join(map(str, template.params.values()))}"
        extra = {"to": reply.to.value, "key": f"{reply.message_id}-template"}
        return Draft(method="POST", url="test://template", text=said, extra=extra, cost=0)

    def _line(self, reply: Reply, line: str, number: int) -> list[Draft]:
        extra = {"to": reply.to.value, "key": f"{reply.message_id}-{number}"}
        say = Draft(
            method="POST",
            url="test://say",
            text=line,
            extra=extra,
            json=extra,
            repeatable=self._repeatable,
            repeatable_for_s=self.repeatable_for_s,
            result=None,
        )
        if not line.startswith("file:"):
            return [say]
        upload = Draft(
            method="POST",
            url="test://upload",
            role="prepare",
            body=line,
            result=f"media_{number}",
            fingerprint=f"fp:{line}",
            fresh_for_s=60.0,
        )
        return [upload, say]

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        self.platform.seen.append(draft)
        if self.platform.script is not None:
            return await self.platform.script(draft, results)
        return self.platform.act(draft, results)


class AskingSender(TestSender):
    """A sender that can ask what became of a call."""

    async def reconcile(self, draft: Draft) -> Receipt | None:
        script = self.platform.reconcile_script
        return None if script is None else await script(draft)


class NoSettings(Struct, frozen=True):
    """The test channel has none."""


def normalize(event: Any, account: Account[Any], /) -> tuple[()]:
    return ()


def channel(*, windowed: bool = False, remembers: bool = False) -> Channel:
    limits: dict[str, Any] = {}
    if windowed:
        limits = {"allowance": 5, "reply_window": timedelta(hours=48)}
    if remembers:
        limits["drops_repeats_for"] = timedelta(hours=4)
    return Channel(
        key="test",
        title="Test",
        settings=NoSettings,
        normalize=normalize,
        capabilities=Capabilities(**limits),
        docs_url="",
    )


class Running(NamedTuple):
    """What the hub's accounts give for one account."""

    plan: AccountPlan
    sender: TestSender | None


class TestAccounts:
    """The accounts of a test, by name."""

    __test__ = False

    def __init__(self, running: Mapping[str, Running]) -> None:
        self.running = dict(running)
        self.told: list[tuple[str, str]] = []
        self.halted: set[str] = set()

    def get(self, name: str) -> Running | None:
        return self.running.get(name)

    async def stop_account(self, name: str, reason: str) -> bool:
        self.told.append((name, reason))
        return True

    async def stopped(self) -> frozenset[str]:
        return frozenset(self.halted)


DESK = DestinationPlan(
    cast("Any", None), cast("Any", None), True, ("*",), (), 16, 15.0, False, None
)
"""A helpdesk that wants every event; nothing is delivered to it."""


class World:
    """One database, one platform, and as many hub processes as a test wants."""

    def __init__(
        self,
        db: Database,
        *,
        windowed: bool = False,
        repeatable: bool = False,
        asking: bool = False,
        remembers: bool = False,
        when_closed: str = "hold",
        desk: bool = False,
        closed_template: ClosedTemplate | None = None,
        closed_accounts: tuple[str, ...] = (),
    ) -> None:
        self.platform = Platform()
        kind = AskingSender if asking else TestSender
        self.sender = kind(self.platform, windowed=windowed, repeatable=repeatable)
        plan = AccountPlan(
            Account("shop", "test", NoSettings()),
            channel(windowed=windowed, remembers=remembers),
            True,
            when_closed,  # type: ignore[arg-type]
            None,
            None,
            closed_template,
            closed_accounts,
        )
        self.db = db
        self.accounts = TestAccounts({"shop": Running(plan, self.sender)})
        self.settings = Settings(
            HubSettings(),
            {"shop": plan},
            {"inbox": QueueSettings()},
            (),
            {"desk": DESK} if desk else {},
            "",
            None,
            (),
        )
        self.core = self.new_core()

    def new_core(self) -> Core:
        """Another process, as far as the hub can tell."""
        accounts, media = cast("Any", self.accounts), cast("Any", None)
        return Core(self.settings, self.db, Bells(None), accounts, media)

    async def conversation(self, address: str = "customer", account: str = "shop") -> UUID:
        own = new_id()
        await self.db.fetch(
            "INSERT INTO conversations (id, account, channel, thread_key, contact_id, address_scheme, "
            "address_scope, address_value, is_group, queue, state, case_number, last_seq, tags, "
            "reply_context, created_at, updated_at) VALUES ($1, $2, 'test', $3, $4, 'test', '', $3, "
            "false, 'inbox', 'open', 1, 0, '[]', '{}', now(), now())",
            own,
            account,
            address,
            new_id(),
        )
        return own

    async def reply(self, conversation: UUID, text: str = "hello", **fields: Any) -> UUID:
        """Accept a reply; its id."""
        request = ReplyRequest(text=text, **fields)
        accepted = await self.db.transaction(
            lambda tx: accept(self.core, tx, {"id": conversation}, request, author=Author("agent"))
        )
        accepted.ring(self.core)
        return accepted.message_id

    async def allow(
        self, conversation: UUID, remaining: int = 5, *, key: str = "1", hours: float = 48
    ) -> None:
        """The customer has done something that lets us speak."""
        opened = now()
        allowance = Allowance(
            trigger="message",
            key=key,
            opened_at=opened,
            until=opened + timedelta(hours=hours),
            remaining=remaining,
            group="message",
        )
        await self.db.transaction(
            lambda tx: ledger.open_allowances(tx, [(conversation, "shop", allowance)])
        )

    async def left(self, conversation: UUID) -> int | None:
        known = await ledger.known(self.db, [conversation])
        return known[conversation][-1].remaining

    async def status(self, message: UUID) -> str:
        rows = await self.db.fetch("SELECT status FROM messages WHERE id = $1", message)
        return str(rows[0]["status"])

    async def body(self, message: UUID) -> dict[str, Any]:
        rows = await self.db.fetch("SELECT body FROM messages WHERE id = $1", message)
        return msgspec.json.decode(rows[0]["body"], type=dict[str, Any])

    async def drafts(self, message: UUID) -> list[str]:
        rows = await self.db.fetch(
            "SELECT state FROM drafts WHERE message_id = $1 ORDER BY position", message
        )
        return [row["state"] for row in rows]

    async def told(self, message: UUID) -> list[str]:
        """The statuses that were published of it, in order."""
        rows = await self.db.fetch(
            "SELECT body FROM events WHERE message_id = $1 AND type = 'message.status' "
            "ORDER BY xid, position",
            message,
        )
        bodies = [msgspec.json.decode(row["body"]) for row in rows]
        return [body["data"]["message"]["status"] for body in bodies]

    @asynccontextmanager
    async def serving(
        self, pace: Pace = QUICK, processes: int = 1
    ) -> AsyncIterator[list[ReplyService]]:
        """Reply services that run until the block ends."""
        cores = [self.core, *(self.new_core() for _ in range(processes - 1))]
        services = [ReplyService(core, pace) for core in cores]
        tasks = [asyncio.create_task(service.run()) for service in services]
        try:
            yield services
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]], timeout: float = 15.0) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(timeout):
        while not await condition():
            await asyncio.sleep(0.02)


async def until_status(world: World, message: UUID, *statuses: str, timeout: float = 15.0) -> str:
    """Wait until the message has one of *statuses*; which."""

    async def reached() -> bool:
        return await world.status(message) in statuses

    await until(reached, timeout)
    return await world.status(message)


def acting(world: World, then: Callable[[], Awaitable[None]]) -> Script:
    """A script that acts, and then does *then* instead of answering."""

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        world.platform.act(draft, results)
        await then()
        return Receipt(status="sent", external_id="late")

    return script


def failing(world: World, *errors: Exception) -> Script:
    """A script that raises *errors*, one for each call, without acting, and then acts."""
    waiting = list(errors)

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        if waiting:
            raise waiting.pop(0)
        return world.platform.act(draft, results)

    return script
