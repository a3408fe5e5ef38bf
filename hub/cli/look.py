"""Commands that look: status, check, channels, route, trace."""

import asyncio
import sys
from collections.abc import Iterable, Sequence

import msgspec
from yarl import URL

from hub import status as statuses
from hub import trace as traces
from hub.accounts import RunningAccount
from hub.channel import Check
from hub.cli.common import connect_to_running, fail, parser, with_core
from hub.core import Core, now
from hub.delivery.target import Target
from hub.destination import Event
from hub.errors import HubError, SendError
from hub.registry import Installed, installed
from hub.running import config_path
from hub.settings import DestinationPlan, load
from hub.tickets import RunningDesk

__all__ = ["channels", "check", "status", "trace"]


def _print_json(value: object) -> None:
    print(msgspec.json.encode(value).decode())


def channels(arguments: Sequence[str]) -> int:
    """List what is installed."""
    given = parser(
        "channels", "What is installed, from which package and version.", json=True
    ).parse_args(arguments)
    found = installed()
    if given.json:
        _print_json([_installed_json(one) for one in found])
    else:
        print("\n".join(statuses.table(("KEY", "KIND", "TITLE", "FROM"), [*map(_line, found)])))
    return 1 if any(one.error for one in found) else 0


def _line(one: Installed) -> tuple[str, str, str, str]:
    kind = type(one.value).__name__.lower() if one.value else "-"
    title = one.value.title if one.value else f"does not load: {one.error}"
    return one.key, kind, title, f"{one.package} {one.version}"


def _installed_json(one: Installed) -> dict[str, str | None]:
    return {
        "key": one.key,
        "kind": type(one.value).__name__.lower() if one.value else None,
        "title": one.value.title if one.value else None,
        "package": one.package,
        "version": one.version,
        "error": one.error,
    }


def status(arguments: Sequence[str]) -> int:
    """Show how the hub is doing; 1 when something is red."""
    given = parser("status", "What works, what does not, and what to do.", json=True).parse_args(
        arguments
    )

    async def work(core: Core) -> int:
        report = await statuses.status(core)
        if given.json:
            _print_json(report)
        else:
            print(statuses.render(report, colour=sys.stdout.isatty()))
        return 1 if report.light == "red" else 0

    return with_core(given.config, "status", work)


def trace(arguments: Sequence[str]) -> int:
    """Show everything that happened to one message."""
    made = parser("trace", "Everything that happened to one message, both directions.", json=True)
    made.add_argument(
        "id", help="msg_…, a webhook-id (evt_…), a trace id, or the platform's own id"
    )
    given = made.parse_args(arguments)

    async def work(core: Core) -> int:
        own = await traces.find(core.db, given.id)
        found = await traces.trace(core.db, own) if own else None
        if found is None:
            return fail(f"there is no message {given.id}")
        if given.json:
            _print_json(found)
        else:
            print(traces.render(found, colour=sys.stdout.isatty()))
        return 0

    return with_core(given.config, "trace", work)


def check(arguments: Sequence[str]) -> int:
    """Try the configuration against the real platforms; 1 when something is wrong."""
    made = parser(
        "check",
        "Try credentials, callback URLs, mailboxes and helpdesks; print what to paste where.",
    )
    made.add_argument(
        "name", nargs="*", metavar="NAME", help="only these accounts and destinations"
    )
    given = made.parse_args(arguments)
    connect_to_running()
    settings = load(config_path(given.config))
    for warning in settings.warnings:
        print(f"! {warning}")
    unknown = set(given.name) - set(settings.accounts) - set(settings.destinations)
    if unknown:
        names = ", ".join(sorted(unknown))
        return fail(f"there is no account or destination {names} in {settings.path}")

    async def work(core: Core) -> int:
        good = True
        for running in core.accounts.all():
            if not given.name or running.plan.account.name in given.name:
                good &= await _check_account(core, running)
        for name, plan in core.settings.destinations.items():
            if not given.name or name in given.name:
                good &= await _check_destination(core, plan)
        return 0 if good else 1

    return with_core(given.config, "check", work)


async def _check_account(core: Core, running: RunningAccount) -> bool:
    """Print what is found; an account that was stopped and is well runs again."""
    plan = running.plan
    print(f"\n{plan.account.name} ({plan.channel.title})")
    if running.checker is None:
        print("  – nothing to check")
        return True
    found: list[Check] = []
    try:
        async with asyncio.timeout(60):
            async for one in running.checker.check(core.settings.hub.public_url):
                found.append(one)
                _print_check(one)
    except (HubError, OSError, TimeoutError) as error:
        found.append(Check(False, "check", f"{type(error).__name__}: {error}"))
        _print_check(found[-1])
    good = all(one.ok for one in found)
    if good and await core.accounts.revive(plan.account.name):
        print("  ✓ it was stopped; now it sends again")
        core.bells.ring("reply")
    return good


async def _check_destination(core: Core, plan: DestinationPlan) -> bool:
    """Whether its URL answers at all: a HEAD request carries no event and changes nothing."""
    print(f"\n{plan.target.name} ({plan.kind.title})")
    running = core.desks.get(core, plan.target.name)
    if running is not None:
        return await _check_desk(core, running)
    target = Target(plan)
    if target.courier is None:
        print("  – it is off")
        return True
    call = target.courier.request(Event(id="evt_check", type="check", body=b"{}"), now())
    url = URL(call.url).with_query(None).human_repr()
    try:
        answer = await target.fetcher("HEAD", call.url, timeout=plan.timeout_s)
        found = Check(True, "URL", f"{url} answers", _status_advice(answer.status))
    except SendError as error:
        found = Check(False, "URL", f"{url}: {error.detail}", _reach_advice(plan))
    finally:
        await target.fetcher.close()
    _print_check(found)
    return found.ok


async def _check_desk(core: Core, running: RunningDesk) -> bool:
    public = core.settings.hub.public_url
    url = f"{public.rstrip('/')}{running.callback_path}" if public else None
    found: list[Check] = []
    try:
        async with asyncio.timeout(60):
            async for one in running.desk.check(url):
                found.append(one)
                _print_check(one)
    except (HubError, OSError, TimeoutError) as error:
        found.append(Check(False, "check", f"{type(error).__name__}: {error}"))
        _print_check(found[-1])
    return all(one.ok for one in found)


def _status_advice(status: int) -> str | None:
    if status < 400 or status == 405:
        return None
    return f"status {status} to a HEAD request; when events are refused too, look at the path"


def _reach_advice(plan: DestinationPlan) -> str | None:
    return None if plan.allow_private else "A private address needs allow_private = true."


def _print_check(one: Check) -> None:
    print(f"  {'✓' if one.ok else '✗'} {one.name}: {one.detail}")
    for line in _lines(one.advice):
        print(f"      {line}")


def _lines(text: str | None) -> Iterable[str]:
    return text.splitlines() if text else ()
