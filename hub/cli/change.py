"""Commands that change something: migrate, token, replay, send."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from hub import apitokens
from hub.cli.common import (
    connect_to_running,
    database_url,
    fail,
    number,
    parser,
    reach_database,
    with_core,
)
from hub.core import Core
from hub.delivery import replay as replay_deliveries
from hub.errors import HubError
from hub.ids import read_id, show_id
from hub.replies import Author, ReplyRequest, accept
from hub.running import config_path
from hub.settings import load
from hub.status import table
from hub.store import Transaction
from hub.store import migrate as migrate_database
from hub.store.inbox import refile, unpark
from hub.store.models import PARKED, Conversation, Delivery

__all__ = ["migrate", "replay", "send", "token"]


def migrate(arguments: Sequence[str]) -> int:
    """Bring the schema up to date."""
    given = parser("migrate", "Bring the database's schema up to date.").parse_args(arguments)
    connect_to_running()
    url = database_url(load(config_path(given.config)))

    async def work() -> None:
        await reach_database(url)
        await migrate_database(url)

    asyncio.run(work())
    print("the schema is up to date")
    return 0


# --- tokens -----------------------------------------------------------------------------------------


def token(arguments: Sequence[str]) -> int:
    """Make, list and revoke API tokens."""
    made = parser("token", "API tokens of helpdesks and people.", json=True)
    actions = made.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make one; it is shown once")
    create.add_argument("name", help="whose it is")
    create.add_argument(
        "--scope", action="append", choices=apitokens.SCOPES, help="read and reply if unset"
    )
    create.add_argument("--queue", action="append", help="only these queues; all if unset")
    create.add_argument("--days", type=number, help="good for this long; for ever if unset")
    create.add_argument(
        "--rate",
        type=float,
        metavar="N",
        help="N requests a second, twice as many at once; 0: no limit; api_requests_per_s if unset",
    )
    actions.add_parser("list", help="show them, without their secrets")
    revoke = actions.add_parser("revoke", help="end one at once")
    revoke.add_argument("id", help="tok_…")
    given = made.parse_args(arguments)
    work = {"create": _create, "list": _list, "revoke": _revoke}[given.action]
    return with_core(given.config, "token", lambda core: work(core, given))


async def _create(core: Core, given: argparse.Namespace) -> int:
    unknown = set(given.queue or ()) - {apitokens.ALL_QUEUES, *core.settings.queues}
    if unknown:
        known = ", ".join(sorted(core.settings.queues))
        return fail(f"there is no queue {', '.join(sorted(unknown))}; there are {known}")
    expires = core.clock() + timedelta(days=given.days) if given.days else None
    if given.rate is not None and not 0 <= given.rate <= apitokens.MAX_RATE:
        return fail(f"--rate wants 0 to {apitokens.MAX_RATE:.0f} requests a second")
    made = await apitokens.create(
        core.db,
        given.name,
        scopes=given.scope or ("read", "reply"),
        queues=given.queue or (apitokens.ALL_QUEUES,),
        requests_per_s=given.rate,
        expires_at=expires,
    )
    print(msgspec.json.encode(made).decode() if given.json else made.token)
    return 0


async def _list(core: Core, given: argparse.Namespace) -> int:
    found = await apitokens.listing(core.db)
    if given.json:
        print(msgspec.json.encode(found).decode())
        return 0
    head = ("ID", "NAME", "SCOPES", "QUEUES", "USED", "")
    lines = [
        (one.id, one.name, ", ".join(one.scopes), ", ".join(one.queues), _used(one), _ended(one))
        for one in found
    ]
    print("\n".join(table(head, lines)) if lines else "no token yet: hub token create NAME")
    return 0


def _used(one: apitokens.TokenFacts) -> str:
    return f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never"


def _ended(one: apitokens.TokenFacts) -> str:
    if one.revoked_at:
        return "revoked"
    rate = None if one.requests_per_s is None else f"{one.requests_per_s:g}/s"
    until = f"until {one.expires_at:%Y-%m-%d}" if one.expires_at else None
    return ", ".join(part for part in (until, "no limit" if rate == "0/s" else rate) if part)


async def _revoke(core: Core, given: argparse.Namespace) -> int:
    own = read_id("tok", given.id)
    if own is None or not await apitokens.revoke(core.db, own):
        return fail(f"there is no token {given.id} that could be revoked")
    print("revoked")
    return 0


# --- replay -----------------------------------------------------------------------------------------


def replay(arguments: Sequence[str]) -> int:
    """File raw events again, or deliver dead letters again."""
    made = parser("replay", "File raw events again after a fix, or deliver dead letters again.")
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--parked", action="store_true", help="all raw events that could not be filed"
    )
    what.add_argument(
        "--inbox", type=int, nargs="+", metavar="N", help="raw events by their number"
    )
    what.add_argument("--delivery", nargs="+", metavar="ID", help="dead letters by id (dlv_…)")
    what.add_argument("--dead", metavar="DESTINATION", help="all dead letters of a destination")
    given = made.parse_args(arguments)
    return with_core(given.config, "replay", lambda core: _replay(core, given))


async def _replay(core: Core, given: argparse.Namespace) -> int:
    if given.parked or given.inbox:
        count = await (unpark(core.db, None) if given.parked else refile(core.db, given.inbox))
        core.bells.ring("ingest")
        print(f"{count} raw events will be filed again")
        return 0
    ids = await _dead(given)
    if given.dead and not ids and given.dead not in core.settings.destinations:
        known = ", ".join(sorted(core.settings.destinations)) or "none"
        return fail(f"there is no destination {given.dead}; there are {known}")
    if None in ids:
        return fail("a delivery id looks like dlv_01h455vb4pex5vsknk084sn02q")
    count = await replay_deliveries(core, [one for one in ids if one])
    while given.dead and (ids := await _dead(given)):
        count += await replay_deliveries(core, [one for one in ids if one])
    print(f"{count} dead letters will be delivered again")
    return 0


async def _dead(given: argparse.Namespace) -> list[UUID | None]:
    if given.delivery:
        return [read_id("dlv", text) for text in given.delivery]
    found = await Delivery.filter(destination=given.dead, state=PARKED).order_by("id").limit(1000)
    return [one.id for one in found]


# --- send -------------------------------------------------------------------------------------------


def send(arguments: Sequence[str]) -> int:
    """Reply in a conversation from the command line."""
    made = parser("send", "Reply in a conversation; standard input when no text is given.")
    made.add_argument("conversation", help="cnv_…")
    made.add_argument("text", nargs="?")
    given = made.parse_args(arguments)
    text = given.text if given.text is not None else sys.stdin.read()
    return with_core(given.config, "send", lambda core: _send(core, given.conversation, text))


async def _send(core: Core, conversation: str, text: str) -> int:
    own = read_id("cnv", conversation)
    found = await Conversation.get_or_none(id=own) if own else None
    if found is None:
        return fail(f"there is no conversation {conversation}")

    async def work(tx: Transaction) -> object:
        return await accept(
            core, tx, {"id": found.id}, ReplyRequest(text=text), author=Author("command line")
        )

    try:
        accepted = await core.db.transaction(work)
    except HubError as error:
        return fail(f"{error.sentence} {error}")
    accepted.ring(core)  # type: ignore[attr-defined]
    await asyncio.sleep(0.2)  # let the bell leave
    print(show_id("msg", accepted.message_id))  # type: ignore[attr-defined]
    return 0
