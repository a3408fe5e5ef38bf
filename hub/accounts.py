"""The configured accounts, built: each part of each channel with the tools that the hub hands to it."""

import asyncio
import hashlib
import hmac
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
import structlog

from hub.bells import Bells
from hub.calls import Calls
from hub.channel import (
    Adapter,
    Checker,
    Listener,
    Maker,
    MediaSource,
    MediaStore,
    Sender,
    Socket,
    Tools,
)
from hub.feed import NewEvent, publish
from hub.fetch import Fetcher, Policy, http_of, policy_for
from hub.model import Secret
from hub.relay import Relays
from hub.seal import Sealer
from hub.settings import AccountPlan, Settings
from hub.store import AWAY, Database, Transaction
from hub.store.accounts import note_state, stopped_accounts
from hub.tokens import Tokens

__all__ = ["Accounts", "RunningAccount"]

P = TypeVar("P")

FILE_TIMEOUT_S = 60.0
LINGER_S = 120.0
"""How long the connections of a replaced account stay open for calls that are under way."""

_log = structlog.get_logger("hub.accounts")


class RunningAccount(NamedTuple):
    """An account's parts; None where the channel has none, or *fault* says why it could not be built."""

    plan: AccountPlan
    adapter: Adapter | None = None
    listener: Listener | None = None
    socket: Socket | None = None
    sender: Sender | None = None
    media: MediaSource | None = None
    checker: Checker | None = None
    fault: str | None = None


class _Built(NamedTuple):
    running: RunningAccount
    fetchers: tuple[Fetcher, ...]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str | Secret]]:
    """The texts and secrets in *value*, with the name of the setting that they stand under."""
    if isinstance(value, str | Secret):
        yield name, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves(one, str(key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one, name)
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _leaves(getattr(value, field), field)


def _secrets(plan: AccountPlan) -> list[str]:
    """The account's secrets, also as they stand in a URL."""
    leaves = _leaves(plan.account.settings)
    plain = [one.reveal() for _, one in leaves if isinstance(one, Secret) and one]
    return [*plain, *(quoted for one in plain if (quoted := quote(one, safe="")) != one)]


def _policy(plan: AccountPlan) -> Policy:
    """What the account may call: public addresses, and the hosts that its admin set.

    Those are ``api_base`` and ``websocket_url``.
    """
    leaves = _leaves(plan.account.settings)
    return policy_for(
        http_of(one)
        for name, one in leaves
        if name.endswith(("api_base", "websocket_url")) and isinstance(one, str)
    )


class Accounts:
    """Every account's parts, for one process; rebuilt on reload where its settings changed."""

    def __init__(
        self,
        db: Database,
        bells: Bells,
        sealer: Sealer,
        tokens: Tokens,
        files: MediaStore,
        clock: Callable[[], datetime],
    ) -> None:
        self._db = db
        self._bells = bells
        self._fingerprint_key = sealer.derive("account-fingerprint")
        self._tokens = tokens
        self._files = files
        self._clock = clock
        self._relays = Relays(db, bells, f"{socket.gethostname()}:{os.getpid()}")
        self._settings: Settings | None = None
        self._built: dict[str, _Built] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def get(self, name: str) -> RunningAccount | None:
        """The account *name*, or None."""
        built = self._built.get(name)
        return built.running if built else None

    def all(self) -> list[RunningAccount]:
        """Every configured account, broken and disabled ones too, by name."""
        return [self._built[name].running for name in sorted(self._built)]

    async def apply(self, settings: Settings) -> None:
        """Take *settings* into force: build what is new or changed, let go what is gone.

        An account that cannot be built is broken, with its reason, and takes no other down. One that
        was stopped for its credentials runs again when its settings have changed since.
        """
        self._settings = settings
        limit = settings.hub.max_attachment_bytes
        for name in self._built.keys() - settings.accounts.keys():
            self._let_go(self._built.pop(name))
        for name, plan in settings.accounts.items():
            before = self._built.get(name)
            if before is not None and before.running.plan == plan:
                continue
            self._built[name] = self._build(plan, limit)
            if before is not None:
                self._let_go(before)
        try:
            await self._tell_faults()
            await self._revive_changed()
        except AWAY as error:  # what is built works; the next reload or stop writes the states
            _log.warning("account_states_not_written", error=type(error).__name__)

    async def stop_account(self, name: str, reason: str) -> bool:
        """The platform refuses the account's credentials: it sends nothing more until it is revived.

        Its owner is told by one ``account.state`` event; False when it was stopped already.
        """
        return await self._change(name, "stopped", reason)

    async def revive(self, name: str) -> bool:
        """Let the account send again; False when it was not stopped."""
        return await self._change(name, "ok", None)

    async def stopped(self) -> frozenset[str]:
        """The accounts that are stopped, as the database knows it, for all processes."""
        return frozenset(one.name for one in await stopped_accounts(self._db))

    async def close(self) -> None:
        """Close every connection."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for built in self._built.values():
            await _close(built)
        self._built.clear()

    # -- building ------------------------------------------------------------------------------------

    def _build(self, plan: AccountPlan, max_file: int) -> _Built:
        if not plan.enabled:
            return _Built(RunningAccount(plan), ())
        policy = _policy(plan)
        secrets = _secrets(plan)
        calls = Fetcher(policy, proxy=plan.proxy, secrets=secrets, keep_alive=4.0)
        # Platforms keep files at plain http addresses too.
        downloads = Fetcher(
            policy._replace(allow_http=True), proxy=plan.proxy, secrets=secrets, limit=8
        )
        try:
            running = self._parts(
                plan, calls, Calls(downloads, max_bytes=max_file, at_least_s=FILE_TIMEOUT_S)
            )
        except Exception as error:
            _log.exception("account_broken", account=plan.account.name)
            running = RunningAccount(plan, fault=f"{type(error).__name__}: {error}")
        return _Built(running, (calls, downloads))

    def _parts(self, plan: AccountPlan, calls: Fetcher, downloads: Calls) -> RunningAccount:
        account, channel = plan.account, plan.channel
        tools = Tools(
            http=Calls(calls),
            tokens=self._tokens.of(f"{account.name}:{self._fingerprint(plan)}"),
            media=self._files,
            clock=self._clock,
            log=structlog.get_logger(f"channel.{channel.key}").bind(account=account.name),
            connect=calls.connect,
            relay=self._relays.of(account.name),
        )

        def part(make: Maker[P] | None, tools: Tools = tools) -> P | None:
            return None if make is None else make(account, tools)

        return RunningAccount(
            plan,
            part(channel.adapter),
            part(channel.listener),
            part(channel.socket),
            part(channel.sender),
            part(channel.media, msgspec.structs.replace(tools, http=downloads)),
            part(channel.checker),
        )

    def _fingerprint(self, plan: AccountPlan) -> str:
        """Changes with the account's settings, and tells nothing about them."""
        text = repr([plan.channel.key, plan.account.settings, _secrets(plan)])
        return hmac.new(self._fingerprint_key, text.encode(), hashlib.sha256).hexdigest()[:16]

    def _let_go(self, built: _Built) -> None:
        async def later() -> None:
            try:
                await asyncio.sleep(LINGER_S)
            finally:
                await _close(built)

        task = asyncio.create_task(later(), name=f"close-{built.running.plan.account.name}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # -- how they are doing --------------------------------------------------------------------------

    async def _tell_faults(self) -> None:
        rows = await self._db.fetch("SELECT name FROM accounts WHERE state = 'broken'")
        were_broken = {row["name"] for row in rows}
        for name, built in self._built.items():
            if built.running.fault is not None:
                await self._change(name, "broken", built.running.fault)
            elif name in were_broken:
                await self._change(name, "ok", None)

    async def _revive_changed(self) -> None:
        for one in await stopped_accounts(self._db):
            built = self._built.get(one.name)
            if built is not None and self._fingerprint(built.running.plan) != one.fingerprint:
                await self.revive(one.name)

    async def _change(self, name: str, state: str, reason: str | None) -> bool:
        settings = self._settings
        built = self._built.get(name)
        if settings is None or built is None:
            return False
        plan = built.running.plan
        at = self._clock()
        event = NewEvent(
            "account.state",
            {
                "account": name,
                "channel": plan.channel.key,
                "state": state,
                "reason": reason,
                "since": at,
            },
            account=name,
        )

        async def work(tx: Transaction) -> tuple[bool, frozenset[str]]:
            if not await note_state(tx, name, state, reason, self._fingerprint(plan), at):
                return False, frozenset()
            return True, await publish(tx, settings, [event], at)

        changed, told = await self._db.transaction(work)
        if changed:
            _log.warning("account_state", account=name, state=state, reason=reason)
        if told:
            self._bells.ring("deliver")
        return changed


async def _close(built: _Built) -> None:
    for fetcher in built.fetchers:
        await fetcher.close()
