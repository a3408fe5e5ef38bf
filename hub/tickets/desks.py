"""The connectors of one process, each built when it is first needed and anew when its settings change."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any, Literal, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec

from hub.calls import Calls
from hub.core import Core
from hub.destination import Desk, DeskTools
from hub.fetch import Fetcher
from hub.guard import ON_PREMISE, STRICT, Policy, private_network
from hub.model import Secret
from hub.settings import DestinationPlan
from hub.tickets.insight import TicketInsight

__all__ = ["Desks", "RunningDesk", "desk_token", "policy_of"]

FILE_S = 60.0
LINGER_S = 120.0
OnReopen = Literal["same_ticket", "new_ticket"]


class RunningDesk(NamedTuple):
    """A connector and the plan that it was built from."""

    plan: DestinationPlan
    desk: Desk
    fetchers: tuple[Fetcher, ...]

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.plan.target.name

    @property
    def secret(self) -> str:
        """The last part of its callback's path."""
        return _callback_secret(self.plan)

    @property
    def poll_s(self) -> float:
        """How soon an active ticket is looked at again without a callback."""
        return float(getattr(self.plan.target.settings, "poll_s", 60.0))

    @property
    def on_reopen(self) -> OnReopen:
        """What a customer who writes to a resolved conversation gets."""
        chosen: OnReopen = getattr(self.plan.target.settings, "on_reopen", "same_ticket")
        return chosen

    @property
    def zone(self) -> tzinfo:
        """The time zone in which its agents read times."""
        return ZoneInfo(getattr(self.plan.target.settings, "time_zone", None) or "UTC")

    @property
    def callback_path(self) -> str:
        """Where the helpdesk calls."""
        return _callback_path(self.plan)


class Desks:
    """The connectors that are configured; a destination that is none has no entry here."""

    def __init__(self) -> None:
        self._running: dict[str, RunningDesk] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def get(self, core: Core, name: str) -> RunningDesk | None:
        """The connector *name* as the settings in force have it; None: there is none, or it is off."""
        plan = core.settings.destinations.get(name)
        if plan is None or not plan.enabled or plan.kind.desk is None:
            return None
        found = self._running.get(name)
        if found is not None and found.plan == plan:
            return found
        if found is not None:
            self._let_go(found)
        self._running[name] = _built(core, plan)
        return self._running[name]

    def all(self, core: Core) -> Iterator[RunningDesk]:
        """Every connector that is on."""
        for name in core.settings.destinations:
            if (found := self.get(core, name)) is not None:
                yield found

    def _let_go(self, desk: RunningDesk) -> None:
        async def later() -> None:
            try:
                await asyncio.sleep(LINGER_S)
            finally:
                await _close(desk)

        task = asyncio.create_task(later(), name=f"close-{desk.name}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Close every connection."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for desk in self._running.values():
            await _close(desk)
        self._running.clear()


async def _close(desk: RunningDesk) -> None:
    for fetcher in desk.fetchers:
        await fetcher.close()


def _built(core: Core, plan: DestinationPlan) -> RunningDesk:
    assert plan.kind.desk is not None  # noqa: S101 (the caller looked)
    secrets = list(_secrets(plan.target.settings))
    policy = policy_of(plan)
    calls = Fetcher(policy, proxy=plan.proxy, secrets=secrets, limit=plan.max_in_flight)
    files = Fetcher(policy, proxy=plan.proxy, secrets=secrets, limit=8)
    largest = core.settings.hub.max_attachment_bytes
    tools = DeskTools(
        http=Calls(calls, exactly_s=plan.timeout_s, max_bytes=16 << 20),
        files=Calls(files, exactly_s=FILE_S, max_bytes=largest),
        clock=core.clock,
        callback_url=_callback_url(core, plan),
        insight=TicketInsight(core, plan.target.name),
    )
    return RunningDesk(plan, plan.kind.desk(plan.target, tools), (calls, files))


def _callback_url(core: Core, plan: DestinationPlan) -> str | None:
    """Where its callbacks, and people with its links, come in."""
    public = core.settings.hub.public_url
    return public.rstrip("/") + _callback_path(plan) if public else None


def _callback_path(plan: DestinationPlan) -> str:
    return f"/in/{plan.target.kind}/{plan.target.name}/{_callback_secret(plan)}"


def _callback_secret(plan: DestinationPlan) -> str:
    found = getattr(plan.target.settings, "callback_secret", None)
    return found.reveal() if isinstance(found, Secret) else ""


def policy_of(plan: DestinationPlan) -> Policy:
    """What a destination may call: its admin has chosen the port; whoever controls a name still cannot
    lead it inside."""
    if plan.allow_private:
        return ON_PREMISE
    inside = tuple(private_network(one) for one in plan.allow_addresses)
    return STRICT._replace(ports=None, allow_http=bool(inside), inside=inside)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        if value:
            yield value.reveal()
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secrets(one)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets(getattr(value, name))


def desk_token(name: str) -> UUID:
    """Whose uploads the files of a connector's agents are, in the place of an API token."""
    return uuid5(NAMESPACE_URL, f"hub:desk:{name}")
