"""Accounts: built from settings, rebuilt on reload, stopped and revived."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from hub.accounts import Accounts
from hub.bells import Bells
from hub.channel import Account, Capabilities, Channel, HttpAnswer, Token, Tools
from hub.core import now
from hub.destination import Destination, Target
from hub.errors import Ambiguous, Unreachable, Unsupported
from hub.model import ReplyAttachment, Secret
from hub.seal import Sealer
from hub.settings import AccountPlan, DestinationPlan, HubSettings, Settings
from hub.store import Database
from hub.tokens import Tokens
from outbound.helpdesks.webhook import WebhookCourier


class ToySettings(Struct, frozen=True, kw_only=True):
    secret: Secret
    api_base: str = "https://api.example"
    fails: bool = False


class Part:
    """A part that remembers how it was made."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        if account.settings.fails:
            raise ValueError("this key does not fit")
        self.account = account
        self.tools = tools


class NoFiles:
    async def read(self, attachment: ReplyAttachment) -> bytes:
        raise Unsupported("no file")


TOY: Any = Channel(
    key="toy",
    title="Toy",
    settings=ToySettings,
    normalize=lambda event, account: [],
    capabilities=Capabilities(),
    docs_url="",
    sender=Part,  # type: ignore[arg-type]
    media=Part,  # type: ignore[arg-type]
)


def plan(name: str, enabled: bool = True, **settings: Any) -> AccountPlan:
    made = ToySettings(**{"secret": Secret("first-secret"), **settings})
    return AccountPlan(Account(name, "toy", made), TOY, enabled, "hold", None, None)


def settings(*plans: AccountPlan) -> Settings:
    kind = Destination(key="webhook", title="", settings=Struct, courier=WebhookCourier)
    desk = DestinationPlan(
        Target("desk", "webhook", None), kind, True, ("*",), (), 1, 1.0, False, None
    )
    accounts = {one.account.name: one for one in plans}
    return Settings(
        HubSettings(max_attachment_bytes=2 << 20), accounts, {}, [], {"desk": desk}, "", None, ()
    )


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def accounts(db: Database) -> AsyncIterator[Accounts]:
    made = new_accounts(db)
    yield made
    await made.close()


def new_accounts(db: Database) -> Accounts:
    sealer = Sealer(Secret("k" * 32))
    return Accounts(db, Bells(None), sealer, Tokens(db, sealer, "test"), NoFiles(), now)


async def told(db: Database) -> list[tuple[str, str, str | None]]:
    """The account.state events of the feed."""
    rows = await db.fetch("SELECT body FROM events WHERE type = 'account.state' ORDER BY position")
    datas = [msgspec.json.decode(row["body"])["data"] for row in rows]
    return [(data["account"], data["state"], data["reason"]) for data in datas]


async def test_each_part_is_built_with_its_account(accounts: Accounts) -> None:
    """A channel's parts get the account and tools; what the channel has not is None."""
    await accounts.apply(settings(plan("b"), plan("a")))
    running: Any = accounts.get("a")
    assert (running.sender.account.name, running.adapter, running.fault) == ("a", None, None)
    assert [one.plan.account.name for one in accounts.all()] == ["a", "b"]
    assert accounts.get("c") is None


async def test_only_what_changed_is_rebuilt(accounts: Accounts) -> None:
    """A reload keeps the parts of an unchanged account, and drops a removed one."""
    await accounts.apply(settings(plan("same"), plan("changed"), plan("gone")))
    before = {one.plan.account.name: one.sender for one in accounts.all()}
    await accounts.apply(settings(plan("same"), plan("changed", secret=Secret("second-secret"))))
    after = {one.plan.account.name: one.sender for one in accounts.all()}
    assert after.keys() == {"same", "changed"}
    assert after["same"] is before["same"]
    assert after["changed"] is not before["changed"]


async def test_a_broken_account_takes_no_other_down(accounts: Accounts, db: Database) -> None:
    """It is told once, with its reason, and again when it is whole."""
    await accounts.apply(settings(plan("bad", fails=True), plan("good")))
    bad, good = accounts.all()
    assert (bad.sender, bad.fault) == (None, "ValueError: this key does not fit")
    assert good.sender is not None
    await accounts.apply(settings(plan("bad", fails=True, secret=Secret("other")), plan("good")))
    await accounts.apply(settings(plan("bad"), plan("good")))
    assert await told(db) == [
        ("bad", "broken", "ValueError: this key does not fit"),
        ("bad", "ok", None),
    ]
    rows = await db.fetch("SELECT state FROM deliveries")
    assert [row["state"] for row in rows] == [0, 0]


async def test_a_disabled_account_has_no_parts(accounts: Accounts) -> None:
    """Its plan is known, so that it can be shown; nothing runs."""
    await accounts.apply(settings(plan("a", enabled=False, fails=True)))
    running: Any = accounts.get("a")
    assert (running.sender, running.fault, running.plan.enabled) == (None, None, False)


async def test_a_stop_is_told_once(accounts: Accounts, db: Database) -> None:
    """However many sends fail at once, in however many processes, the owner hears of it once."""
    other = new_accounts(db)
    for one in (accounts, other):
        await one.apply(settings(plan("a"), plan("b")))
    stops = await asyncio.gather(
        *((accounts, other)[i % 2].stop_account("a", "40125") for i in range(20))
    )
    assert sorted(stops) == [False] * 19 + [True]
    assert await told(db) == [("a", "stopped", "40125")]
    assert await other.stopped() == {"a"}
    assert await accounts.revive("a")
    assert not await accounts.revive("a")
    assert not await accounts.revive("b")
    assert await told(db) == [("a", "stopped", "40125"), ("a", "ok", None)]
    await other.close()


async def test_new_credentials_revive_and_a_restart_does_not(
    accounts: Accounts, db: Database
) -> None:
    """A process that restarts does not try refused credentials again; changed ones it does."""
    await accounts.apply(settings(plan("a")))
    await accounts.stop_account("a", "40125")
    restarted = new_accounts(db)
    await restarted.apply(settings(plan("a")))
    assert await restarted.stopped() == {"a"}
    await restarted.apply(settings(plan("a", secret=Secret("second-secret"))))
    assert await restarted.stopped() == frozenset()
    assert await told(db) == [("a", "stopped", "40125"), ("a", "ok", None)]
    await restarted.close()


async def test_stopping_an_unknown_account_is_nothing(accounts: Accounts, db: Database) -> None:
    """An account that was removed meanwhile has no owner to tell."""
    await accounts.apply(settings())
    assert not await accounts.stop_account("gone", "40125")
    assert await told(db) == []


async def test_tokens_change_with_the_credentials(accounts: Accounts) -> None:
    """A new secret does not meet the old one's token."""
    calls = []

    async def fetch() -> Token:
        calls.append(1)
        return Token(f"token-{len(calls)}", 7200)

    values = []
    for secret in ("first", "first", "second"):
        await accounts.apply(settings(plan("a", secret=Secret(secret))))
        running: Any = accounts.get("a")
        values.append(await running.sender.tools.tokens.get("access_token", fetch))
    assert values == ["token-1", "token-1", "token-2"]


@pytest.fixture
async def platform() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query.get("size", "1")))

    app = web.Application()
    app.router.add_route("*", "/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_account_may_call_its_own_base_only(accounts: Accounts, platform: str) -> None:
    """The admin's api_base opens that host for this account; for the next it stays closed."""
    await accounts.apply(settings(plan("demo", api_base=platform), plan("real")))
    demo: Any = accounts.get("demo")
    real: Any = accounts.get("real")
    answer = await demo.sender.tools.http("GET", platform)
    assert (type(answer), answer.status, answer.body) == (HttpAnswer, 200, b"x")
    for refused in (platform, "https://127.0.0.1/", "https://169.254.169.254/"):
        with pytest.raises(Unreachable, match="refused"):
            await real.sender.tools.http("GET", refused)


async def test_files_may_be_larger_than_answers(accounts: Accounts, platform: str) -> None:
    """An API answer has at most 1 MiB, a file as much as the hub allows."""
    await accounts.apply(settings(plan("demo", api_base=platform)))
    demo: Any = accounts.get("demo")
    large, too_large = f"{platform}?size={2 << 20}", f"{platform}?size={(2 << 20) + 1}"
    with pytest.raises(Ambiguous, match="more than"):
        await demo.sender.tools.http("GET", large)
    assert len((await demo.media.tools.http("GET", large)).body) == 2 << 20
    with pytest.raises(Ambiguous, match="more than"):
        await demo.media.tools.http("GET", too_large)


async def test_a_replaced_accounts_calls_may_end(accounts: Accounts, platform: str) -> None:
    """A reload does not cut a call that is under way."""
    await accounts.apply(settings(plan("demo", api_base=platform)))
    demo: Any = accounts.get("demo")
    call = asyncio.create_task(demo.sender.tools.http("GET", platform))
    await accounts.apply(settings(plan("demo", api_base=platform, secret=Secret("new"))))
    assert (await call).status == 200
