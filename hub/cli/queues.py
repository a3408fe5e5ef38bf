"""Commands about queues: which rule leads where, what other rules would change, pause and resume."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from hub.cli.common import connect_to_running, fail, number, parser, with_core
from hub.core import Core, now
from hub.ids import read_id, show_id
from hub.ingest import Facts
from hub.routing import Explained, Router, router_of
from hub.running import config_path
from hub.settings import Settings, load
from hub.status import table
from hub.store import queues as rows

__all__ = ["queue", "route"]


# --- route ------------------------------------------------------------------------------------------


def route(arguments: Sequence[str]) -> int:
    """Say which rule would take a message, or what other rules would change."""
    made = parser(
        "route",
        "Which rule takes a message, and why; what another rule set would change.",
        json=True,
    )
    made.add_argument("--explain", action="store_true", help="what each rule says (always shown)")
    for name in ("channel", "account", "text", "subject", "sender"):
        made.add_argument(f"--{name}", default="")
    made.add_argument("--kind", default="text")
    made.add_argument("--tag", action="append", default=[], help="a tag of the conversation")
    made.add_argument("--contact", choices=("new", "known"), default="new")
    made.add_argument(
        "--at", type=_time, default=None, help="when, e.g. 2026-10-01T09:30+08:00; now if unset"
    )
    made.add_argument("--message", metavar="ID", help="a message that was filed (msg_…)")
    made.add_argument(
        "--dry-run",
        metavar="FILE",
        help="the rules of this file against those in force, on stored messages",
    )
    made.add_argument("--last", type=number, default=1000, help="on how many; 1000 if unset")
    given = made.parse_args(arguments)
    if given.dry_run:
        return with_core(given.config, "route", lambda core: _dry_run(core, given))
    if given.message:
        return with_core(given.config, "route", lambda core: _explain_message(core, given))
    connect_to_running()
    settings = load(config_path(given.config))
    if given.account and given.account not in settings.accounts:
        known = ", ".join(sorted(settings.accounts)) or "none"
        return fail(f"there is no account {given.account}; there are {known}")
    if given.account and not given.channel:
        given.channel = settings.accounts[given.account].channel.key
    return _show(router_of(settings).explain(_facts(given)), given)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.astimezone()


def _facts(given: argparse.Namespace) -> Facts:
    return Facts(
        given.channel,
        given.account,
        given.kind,
        given.text,
        given.subject or None,
        given.sender,
        True,
        given.tag,
        given.contact == "known",
        given.at or now(),
    )


_NAMES = {0: "default", -1: "overflow"}


def _show(told: Sequence[Explained], given: argparse.Namespace) -> int:
    if given.json:
        _print_json(told)
        return 0
    for one in told:
        name = _NAMES.get(one.number, f"rule {one.number}")
        print(f"{'→' if one.fits else ' '} {name:<8} {one.queue:<16} {one.reason}")
    return 0


async def _explain_message(core: Core, given: argparse.Namespace) -> int:
    own = read_id("msg", given.message)
    found = await rows.routed_message(core.db, own) if own else None
    if found is None:
        return fail(f"there is no message {given.message} of a customer")
    return _show(router_of(core.settings).explain(_stored(found)), given)


def _stored(row: Any) -> Facts:
    """The facts of a stored message, as they were when it came; tags are those of now."""
    body = msgspec.json.decode(row["body"])
    since = row["contact_since"]
    return Facts(
        row["channel"],
        row["account"],
        row["kind"],
        body.get("text") or "",
        body.get("subject"),
        row["address_value"],
        row["seq"] == 1,
        tuple(msgspec.json.decode(row["tags"])),
        row["seq"] > 1 or (since is not None and since < row["created_at"]),
        row["created_at"],
    )


class Move(msgspec.Struct, frozen=True):
    """A message that other rules would lead elsewhere."""

    id: str
    at: datetime
    before: str
    after: str
    text: str


async def _dry_run(core: Core, given: argparse.Namespace) -> int:
    settings = load(Path(given.dry_run))
    found = await rows.recent_messages(core.db, given.last)
    moves = list(_moves(found, core.settings, settings))
    if given.json:
        _print_json({"looked_at": len(found), "moves": moves})
        return 0
    print(f"{len(moves)} of the last {len(found)} messages would move")
    head = ("MESSAGE", "CAME", "FROM", "TO", "TEXT")
    lines = [(one.id, f"{one.at:%Y-%m-%d %H:%M}", one.before, one.after, one.text) for one in moves]
    if lines:
        print("\n".join(table(head, lines)))
    return 0


def _moves(found: Sequence[Any], before: Settings, after: Settings) -> Iterator[Move]:
    """Each message is routed as if its conversation were new, by both rule sets."""
    old, new = _router(before), _router(after)
    for row in found:
        facts = _stored(row)
        was, would = old.choose(facts).queue, new.choose(facts).queue
        if was != would:
            text = " ".join(facts.text.split())[:40]
            yield Move(show_id("msg", row["id"]), row["created_at"], was, would, text)


def _router(settings: Settings) -> Router:
    return router_of(settings)


# --- queue ------------------------------------------------------------------------------------------


def queue(arguments: Sequence[str]) -> int:
    """Show queues, pause one, or let it go on."""
    made = parser("queue", "What waits in each queue; pause one and let it go on.", json=True)
    actions = made.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show them")
    for name, about in (
        ("pause", "deliver nothing of it; messages are taken in and wait"),
        ("resume", "let it go on, in order"),
    ):
        actions.add_parser(name, help=about).add_argument("name", help="the queue")
    given = made.parse_args(arguments)
    if given.action == "list":
        return with_core(given.config, "queue", lambda core: _list(core, given))
    return with_core(given.config, "queue", lambda core: _pause(core, given))


async def _list(core: Core, given: argparse.Namespace) -> int:
    counts = await rows.queue_counts(core.db, core.clock())
    paused = await rows.paused(core.db)
    names = sorted(set(core.settings.queues) | set(counts) | set(paused))
    found = {
        name: {"paused_at": paused.get(name), **counts.get(name, rows.QueueCounts())._asdict()}
        for name in names
    }
    if given.json:
        _print_json(found)
        return 0
    head = ("QUEUE", "OPEN", "WAITING", "OLDEST", "LAST MINUTE", "")
    lines = [
        (
            name,
            str(one["open"]),
            str(one["waiting"]),
            f"{one['oldest']:%Y-%m-%d %H:%M:%S}" if one["oldest"] else "-",
            str(one["messages"]),
            f"paused since {one['paused_at']:%Y-%m-%d %H:%M}" if one["paused_at"] else "",
        )
        for name, one in found.items()
    ]
    print("\n".join(table(head, lines)))
    return 0


async def _pause(core: Core, given: argparse.Namespace) -> int:
    pauses = given.action == "pause"
    if pauses and given.name not in core.settings.queues:
        known = ", ".join(sorted(core.settings.queues))
        return fail(f"there is no queue {given.name}; there are {known}")
    changed = await rows.pause(core.db, given.name, pauses, core.clock())
    core.bells.ring("deliver")
    state = "paused" if pauses else "running"
    print(f"{given.name} is {state}" if changed else f"{given.name} was {state} already")
    return 0


def _print_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())
