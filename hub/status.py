"""How the hub is doing: per account and destination green or red, and what to do."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from hub.core import Core
from hub.ids import first_id
from hub.settings import AccountPlan, DestinationPlan
from hub.store import status as rows
from hub.store.queues import paused
from hub.store.status import Counts, DestinationState, Waiting
from hub.text import single_line

__all__ = [
    "AccountStatus",
    "DestinationStatus",
    "ProcessStatus",
    "StatusReport",
    "render",
    "status",
    "table",
]

Light = Literal["green", "yellow", "red"]

SLOW = timedelta(seconds=30)
"""Work that waits longer than this is worth a word."""

FAILED_WITHIN = timedelta(hours=24)


class AccountStatus(Struct, frozen=True, kw_only=True):
    """One account; *advice* is one sentence, None when there is nothing to do."""

    name: str
    channel: str
    light: Light
    enabled: bool
    state: str
    reason: str | None = None
    last_message_at: datetime | None = None
    inbox_waiting: int = 0
    inbox_oldest_at: datetime | None = None
    parked: int = 0
    replies_queued: int = 0
    replies_held: int = 0
    replies_unknown: int = 0
    replies_failed: int = 0
    listener: str | None = None
    listener_error: str | None = None
    advice: str | None = None


class DestinationStatus(Struct, frozen=True, kw_only=True):
    """One destination; *breaker*: ``closed`` when it is well, ``open`` while it is down, ``disabled``."""

    name: str
    type: str
    light: Light
    enabled: bool
    breaker: str
    waiting: int = 0
    oldest_at: datetime | None = None
    dead: int = 0
    last_success_at: datetime | None = None
    next_probe_at: datetime | None = None
    last_error: str | None = None
    advice: str | None = None


class ProcessStatus(Struct, frozen=True, kw_only=True):
    """A process of the hub; *settings_in_force* is False while it still has other settings than we."""

    name: str
    kind: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    settings_in_force: bool


class StatusReport(Struct, frozen=True, kw_only=True):
    """Everything at a glance; *light* is the worst of all."""

    at: datetime
    light: Light
    accounts: tuple[AccountStatus, ...]
    destinations: tuple[DestinationStatus, ...]
    processes: tuple[ProcessStatus, ...]
    attachments_waiting: int
    warnings: tuple[str, ...] = ()


async def status(core: Core, queues: Sequence[str] | None = None) -> StatusReport:
    """How everything is doing now.

    With *queues*, only the destinations that serve one of them are told; accounts serve every queue.
    """
    settings = core.settings
    found = await rows.counts(core.db)
    last = await rows.last_messages(core.db)
    failed = await rows.failed_replies(core.db, first_id(found.at - FAILED_WITHIN))
    accounts = tuple(
        _account(plan, found, last.get(name), failed.get(name, 0))
        for name, plan in settings.accounts.items()
    )
    destinations = tuple(
        _destination(plan, found)
        for plan in settings.destinations.values()
        if queues is None or "*" in plan.queues or set(queues) & set(plan.queues)
    )
    warnings = (*_warnings(core, found), *await _pauses(core, queues))
    lights = [one.light for one in accounts] + [one.light for one in destinations]
    return StatusReport(
        at=found.at,
        light=_worst([*lights, "yellow" if warnings else "green"]),
        accounts=accounts,
        destinations=destinations,
        processes=tuple(
            ProcessStatus(
                name=row["name"],
                kind=row["kind"],
                version=row["version"],
                started_at=row["started_at"],
                seen_at=row["seen_at"],
                alive=row["alive"],
                settings_in_force=row["settings_sha256"] in (None, settings.sha256),
            )
            for row in found.processes
        ),
        attachments_waiting=found.attachments,
        warnings=warnings,
    )


def _worst(lights: Sequence[Light]) -> Light:
    order: tuple[Light, ...] = ("red", "yellow", "green")
    return next((one for one in order if one in lights), "green")


def _warnings(core: Core, found: Counts) -> tuple[str, ...]:
    warnings = [*core.settings.warnings]
    if core.db.unsafe:
        warnings.append(
            "The database may lose what it confirms: turn fsync and synchronous_commit on."
        )
    if not core.settings.destinations:
        warnings.append("No destination is configured: messages are kept, and reach no helpdesk.")
    kinds = {row["kind"] for row in found.processes if row["alive"]}
    if "web" not in kinds:
        warnings.append("No web process runs: callbacks find nobody. Start one: hub web")
    if "worker" not in kinds:
        warnings.append(
            "No worker runs: nothing is filed, delivered or sent. Start one: hub worker"
        )
    gone = {one for one, _ in found.replies} | set(found.inbox)
    warnings += [
        f"Account {name} is no longer configured, and work of it still waits."
        for name in sorted(gone - set(core.settings.accounts))
    ]
    return tuple(warnings)


async def _pauses(core: Core, queues: Sequence[str] | None) -> list[str]:
    """What is said of queues that a person has paused, and may have forgotten."""
    return [
        f"Queue {name} is paused since {since:%Y-%m-%d %H:%M} UTC: what is in it waits. "
        f"To go on: hub queue resume {name}"
        for name, since in sorted((await paused(core.db)).items())
        if queues is None or name in queues
    ]


_WELL: tuple[Light, str | None] = ("green", None)


# --- accounts ---------------------------------------------------------------------------------------


def _account(plan: AccountPlan, found: Counts, last: datetime | None, failed: int) -> AccountStatus:
    name = plan.account.name
    row = found.accounts.get(name)
    waiting = found.inbox.get(name, Waiting())
    parked = found.parked.get(name, Waiting()).number
    made = AccountStatus(
        name=name,
        channel=plan.channel.key,
        light="green",
        enabled=plan.enabled,
        state=row["state"] if row else "ok",
        reason=row["reason"] if row else None,
        last_message_at=last,
        inbox_waiting=waiting.number,
        inbox_oldest_at=waiting.oldest,
        parked=parked,
        replies_queued=_replies(found, name, "queued") + _replies(found, name, "sending"),
        replies_held=_replies(found, name, "held"),
        replies_unknown=_replies(found, name, "unknown"),
        replies_failed=failed,
        listener=_listener(plan, found, row),
        listener_error=row["listener_error"] if row and plan.channel.listener else None,
    )
    light, advice = next(_account_findings(made, found.at), _WELL)
    values = {name: getattr(made, name) for name in made.__struct_fields__}
    return AccountStatus(**{**values, "light": light, "advice": advice})


def _listener(plan: AccountPlan, found: Counts, row: Any) -> str | None:
    """How the account hears: what its listener says of itself, else whether it is connected to."""
    state: str | None = row["listener_state"] if row and plan.channel.listener else None
    name = plan.account.name
    if state == "failing" or plan.channel.socket is None or name not in found.connections:
        return state
    return "connected" if found.connections[name] is None else "away"


def _replies(found: Counts, account: str, state: str) -> int:
    return found.replies.get((account, state), 0)


def _account_findings(one: AccountStatus, at: datetime) -> Iterator[tuple[Light, str | None]]:
    """What is wrong, the gravest first."""
    if not one.enabled:
        yield "yellow", "It is switched off in the settings (enabled = false)."
    if one.state != "ok":
        because = f": {single_line(one.reason, 300)}" if one.reason else ""
        yield (
            "red",
            f"It is stopped{because}. Put it right; then “hub check {one.name}” lets it run again.",
        )
    if one.listener == "failing":
        why = single_line(one.listener_error or "no reason known", 120)
        yield "red", f"Its listener fails ({why}). Run “hub check {one.name}”."
    if one.listener == "away":
        yield "red", f"The platform's client is not connected. Run “hub check {one.name}”."
    if _is_slow(one.inbox_oldest_at, at):
        yield "red", "Messages wait to be filed: is a worker running? (hub worker)"
    if one.parked:
        yield (
            "red",
            f"{one.parked} raw events could not be filed; after a fix: hub replay --parked.",
        )
    if one.replies_unknown:
        yield (
            "yellow",
            f"{one.replies_unknown} replies may or may not have gone out: resend or cancel each "
            "(GET /v1/messages?status=unknown lists them).",
        )
    if one.replies_failed:
        yield (
            "yellow",
            f"{one.replies_failed} replies failed in the last 24 hours; hub trace tells why.",
        )


def _is_slow(since: datetime | None, at: datetime) -> bool:
    return since is not None and at - since > SLOW


# --- destinations -----------------------------------------------------------------------------------


def _destination(plan: DestinationPlan, found: Counts) -> DestinationStatus:
    name = plan.target.name
    state = found.destinations.get(name) or DestinationState("closed", *[None] * 5)
    waiting = found.deliveries.get(name, Waiting())
    dead = found.dead.get(name, Waiting()).number
    light, advice = next(
        _destination_findings(plan, state, waiting, dead, found.at), ("green", None)
    )
    return DestinationStatus(
        name=name,
        type=plan.target.kind,
        light=light,
        enabled=plan.enabled,
        breaker=state.state,
        waiting=waiting.number,
        oldest_at=waiting.oldest,
        dead=dead,
        last_success_at=state.last_success_at,
        next_probe_at=state.next_probe_at,
        last_error=state.last_error,
        advice=advice,
    )


def _destination_findings(
    plan: DestinationPlan, state: DestinationState, waiting: Waiting, dead: int, at: datetime
) -> Iterator[tuple[Light, str | None]]:
    error = single_line(state.last_error or "no reason known", 120)
    if not plan.enabled:
        yield "yellow", "It is switched off in the settings; what is for it waits."
    if state.state == "disabled":
        why = single_line(state.disabled_reason or error, 120)
        yield (
            "red",
            f"It was switched off ({why}). Put it right, then "
            f"POST /v1/destinations/{plan.target.name}/restore.",
        )
    if state.state == "open":
        yield (
            "red",
            f"It does not take messages ({error}). They wait in order and flow when it answers.",
        )
    if dead:
        yield "red", f"{dead} dead letters: see /v1/deliveries?state=dead, then replay them."
    if _is_slow(waiting.oldest, at):
        yield (
            "yellow",
            "Messages wait for it: is a worker running, and does the helpdesk answer fast?",
        )


# --- for the terminal -------------------------------------------------------------------------------

_SIGNS: Mapping[Light, str] = {"green": "●", "yellow": "▲", "red": "✗"}
_COLOURS: Mapping[Light, str] = {"green": "32", "yellow": "33", "red": "31"}


def _width(text: str) -> int:
    """How many cells *text* takes; a Chinese character takes two."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns under *head*, one string a line."""
    widths = [max(_width(row[i]) for row in (head, *lines)) for i in range(len(head))]
    return [
        "  ".join(_pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *lines)
    ]


def _ago(then: datetime | None, at: datetime) -> str:
    if then is None:
        return "never"
    seconds = max(0, int((at - then).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _number(count: int) -> str:
    return str(count) if count else "-"


def render(report: StatusReport, *, colour: bool = False) -> str:
    """*report* for people, in aligned columns."""
    accounts = [
        [
            _SIGNS[one.light],
            one.name,
            one.channel,
            _ago(one.last_message_at, report.at),
            _number(one.inbox_waiting),
            _number(one.parked),
            _number(one.replies_queued),
            _number(one.replies_held),
            _number(one.replies_unknown),
            one.listener or "-",
        ]
        for one in report.accounts
    ]
    destinations = [
        [
            _SIGNS[one.light],
            one.name,
            one.type,
            {"closed": "well", "open": "down"}.get(one.breaker, one.breaker),
            _number(one.waiting),
            _number(one.dead),
            _ago(one.last_success_at, report.at),
        ]
        for one in report.destinations
    ]
    head = [
        *("", "ACCOUNT", "CHANNEL", "LAST MESSAGE", "TO FILE", "PARKED", "REPLIES", "HELD"),
        *("UNKNOWN", "LISTENER"),
    ]
    lines = _section(head, accounts, report.accounts, "no account is configured", colour)
    head = ["", "DESTINATION", "TYPE", "STATE", "WAITING", "DEAD", "LAST SUCCESS"]
    lines += ["", *_section(head, destinations, report.destinations, "no destination", colour)]
    if report.warnings:
        lines += ["", *(f"{_SIGNS['yellow']} {warning}" for warning in report.warnings)]
    return "\n".join([*lines, "", f"running: {_running(report.processes)}"])


def _running(processes: Sequence[ProcessStatus]) -> str:
    """How many of each kind are alive; a command that only looks is none of them."""
    kinds = Counter(one.kind for one in processes if one.alive and one.kind in _SERVICES)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no web, no worker"


_SERVICES = ("web", "worker", "listen")


def _section(
    head: Sequence[str],
    cells: Sequence[Sequence[str]],
    shown: Sequence[AccountStatus | DestinationStatus],
    empty: str,
    colour: bool,
) -> list[str]:
    if not cells:
        return [empty]
    first, *others = table(head, cells)
    lines = [first]
    for line, one in zip(others, shown, strict=True):
        lines.append(f"\x1b[{_COLOURS[one.light]}m{line}\x1b[0m" if colour else line)
        if one.advice:
            lines.append(f"   → {one.advice}")
    return lines
