"""Contacts: several addresses of one person, brought together and apart again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from hub.core import Core
from hub.identity import Change, tell
from hub.ids import id_pattern, read_id, show_id
from hub.model import Address
from hub.store import Transaction
from hub.store import identity as rows
from hub.web.problems import Problem, invalid, not_found
from hub.web.routes import Call, Nothing, RouteTable
from hub.web.shapes import own_id

table = RouteTable()
TAG = "Contacts"


class Merge(Struct, frozen=True, kw_only=True):
    """Two contacts that became one: *kept* took over *gone*; *by* is the account whose platform said so,
    or the token of who did; *undone_at* null: it stands."""

    id: str
    kept: str
    gone: str
    by: str
    evidence: str
    at: datetime
    undone_at: datetime | None


class ContactView(Struct, frozen=True, kw_only=True):
    """A person or group, and where they are reached. Their conversations over all channels:
    `GET /v1/conversations?contact=`."""

    id: str
    name: str | None
    addresses: tuple[Address, ...]
    merges: tuple[Merge, ...]
    created_at: datetime


@table.add(
    "GET",
    "/v1/contacts/{id}",
    tag=TAG,
    scope="read",
    answer=ContactView,
    problems=(404,),
    tagged=True,
)
async def get_contact(call: Call[Nothing, Nothing]) -> ContactView:
    """Read a contact: addresses, and what was merged into it.

    A token for some queues gets the addresses that write there, and merges only if it sees all of the
    contact's conversations.
    """
    own = own_id("cnt", call.path["id"])
    if not await rows.sees_all(call.core.db, call.queues, own, all_=False):
        raise not_found()
    return await _view(call.core, own, call.queues)


async def _view(core: Core, own: UUID, queues: Sequence[str] | None) -> ContactView:
    found = await rows.contact(core.db, own)
    if found is None:
        raise not_found()
    addresses = await rows.addresses_of(core.db, own, queues)
    sees_all = await rows.sees_all(core.db, queues, own, all_=True)
    merges = await rows.merges_of(core.db, own) if sees_all else ()
    return ContactView(
        id=show_id("cnt", own),
        name=found["name"],
        addresses=tuple(Address(one["scheme"], one["scope"], one["value"]) for one in addresses),
        merges=tuple(_merge(one) for one in merges),
        created_at=found["created_at"],
    )


def _merge(row: Any) -> Merge:
    return Merge(
        id=show_id("mrg", row["id"]),
        kept=show_id("cnt", row["kept_id"]),
        gone=show_id("cnt", row["gone_id"]),
        by=row["account"],
        evidence=row["evidence"],
        at=row["at"],
        undone_at=row["undone_at"],
    )


class MergeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is the same person, and how that is known."""

    other: Annotated[
        str,
        Meta(description="The other contact", extra_json_schema={"pattern": id_pattern("cnt")}),
    ]
    evidence: Annotated[str, Meta(min_length=1, max_length=500, description="How it is known")]


@table.add(
    "POST",
    "/v1/contacts/{id}/merge",
    tag=TAG,
    scope="reply",
    body=MergeRequest,
    answer=ContactView,
    problems=(404, 409),
)
async def merge_contacts(call: Call[Nothing, MergeRequest]) -> ContactView:
    """Make one contact of two.

    The older one keeps everything. It is told by `contact.merged`, and each conversation that moves by
    `conversation.updated`. It can be undone. 409: one of them is a group, or has been merged into another
    already. The token has to see every conversation of both.
    """
    core, own = call.core, own_id("cnt", call.path["id"])
    other = read_id("cnt", call.body.other)
    if other is None or other == own:
        raise invalid("wants the id of another contact", pointer="/other")
    for one in (own, other):
        if not await rows.sees_all(core.db, call.queues, one, all_=True):
            raise not_found()
        if await rows.contact(core.db, one) is None:
            raise not_found()

    async def work(tx: Transaction) -> tuple[rows.Merged, frozenset[str]]:
        now = core.clock()
        by = f"token {call.caller.name}"
        merged = await rows.merge_by_hand(tx, own, other, by, call.body.evidence, now)
        change = Change("contact.merged", merged.id, merged.kept, merged.gone, now)
        return merged, await tell(tx, core.settings, change, merged.conversations, now)

    try:
        merged, rung = await core.db.transaction(work)
    except rows.CannotMerge as error:
        raise Problem(409, "cannot-merge", str(error)) from error
    if rung:
        core.bells.ring("deliver")
    return await _view(core, merged.kept, call.queues)


class UndoRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which merge was wrong."""

    merge: Annotated[
        str,
        Meta(
            description="The merge, of those that the contact shows",
            extra_json_schema={"pattern": id_pattern("mrg")},
        ),
    ]


@table.add(
    "POST",
    "/v1/contacts/{id}/unmerge",
    tag=TAG,
    scope="reply",
    body=UndoRequest,
    answer=ContactView,
    problems=(404, 409),
)
async def unmerge_contacts(call: Call[Nothing, UndoRequest]) -> ContactView:
    """Undo a merge.

    It is told by `contact.unmerged`. The younger contact has its addresses and conversations again, also
    those made there since. The platform's word for that merge is not followed again. 409: it is undone
    already, or one of the two was merged on.
    """
    core, own = call.core, own_id("cnt", call.path["id"])
    wanted = read_id("mrg", call.body.merge)
    if not await rows.sees_all(core.db, call.queues, own, all_=True):
        raise not_found()

    async def work(tx: Transaction) -> frozenset[str] | None:
        merge = await rows.lock_merge(tx, wanted) if wanted else None
        if merge is None or own not in (merge["kept_id"], merge["gone_id"]):
            raise not_found()
        now = core.clock()
        moved = await rows.undo(tx, merge, now)
        if moved is None:
            return None
        facts = (merge[name] for name in ("id", "kept_id", "gone_id", "at"))
        return await tell(tx, core.settings, Change("contact.unmerged", *facts), moved, now)

    rung = await core.db.transaction(work)
    if rung is None:
        raise Problem(409, "cannot-undo", "it is undone already, or was merged on")
    if rung:
        core.bells.ring("deliver")
    return await _view(core, own, call.queues)
