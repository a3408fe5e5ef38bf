"""Deliveries: what waits, what is dead, and sending it again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct

from hub.delivery import replay
from hub.delivery.sample import Sample, send_sample
from hub.ids import read_id, show_id
from hub.settings import DestinationPlan
from hub.store import api as rows
from hub.store.breakers import restore_destination
from hub.store.models import CANCELLED, DONE, PARKED, WAITING
from hub.web.api.conversations import Cursor, Limit
from hub.web.cursors import Place, in_range, read_cursor, show_cursor
from hub.web.problems import Problem, invalid, not_found
from hub.web.routes import Call, Nothing, RouteTable
from hub.web.shapes import own_id, page_size

table = RouteTable()
TAG = "Deliveries"

DeliveryState = Literal["waiting", "delivered", "dead", "replaced"]
_NUMBERS: Mapping[str, int] = {
    "waiting": WAITING,
    "delivered": DONE,
    "dead": PARKED,
    "replaced": CANCELLED,
}
_STATES: Mapping[int, DeliveryState] = {
    WAITING: "waiting",
    DONE: "delivered",
    PARKED: "dead",
    CANCELLED: "replaced",
}
MAX_REPLAY = 1000


class Order(Struct, frozen=True):
    """The place of a delivery: number *n* of its lane. Below 0: it was given up, and has none any more."""

    lane: str
    n: int


class Delivery(Struct, frozen=True, kw_only=True):
    """One event for one destination; *webhook_id* is the same at each try and each replay.

    ``dead``: given up, with the reason in *error*; ``replaced``: dead, and replayed since.
    """

    id: str
    webhook_id: str
    type: str
    destination: str
    state: DeliveryState
    order: Order
    failed_tries: int
    replayed: bool
    error: str | None
    account: str | None
    queue: str | None
    conversation_id: str | None
    message_id: str | None
    created_at: datetime
    first_tried_at: datetime | None
    finished_at: datetime | None


class DeliveryPage(Struct, frozen=True):
    """A page of deliveries; *next* is the cursor of the page after it, null on the last."""

    items: tuple[Delivery, ...]
    next: str | None


class DeliveryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which deliveries are wanted."""

    state: DeliveryState | None = None
    destination: str | None = None
    account: str | None = None
    type: Annotated[str | None, Meta(description="Only of events of this type")] = None
    since: Annotated[datetime, Meta(tz=True, description="Made then or later")] | None = None
    until: Annotated[datetime, Meta(tz=True, description="Made before")] | None = None
    after: Cursor | None = None
    limit: Limit = 50


@table.add(
    "GET", "/v1/deliveries", tag=TAG, scope="admin", query=DeliveryQuery, answer=DeliveryPage
)
async def list_deliveries(call: Call[DeliveryQuery, Nothing]) -> DeliveryPage:
    """List deliveries.

    The newest first; `state=dead` are the dead letters.
    """
    asked = call.query
    before = None
    if asked.after is not None:
        before = read_id("dlv", read_cursor(asked.after, Place, "after").id)
        if before is None:
            raise invalid("is no cursor of this list", parameter="after")
    found = await rows.deliveries(
        call.core.db,
        call.queues,
        rows.DeliveryFilter(
            state=None if asked.state is None else _NUMBERS[asked.state],
            destination=asked.destination,
            account=asked.account,
            type=asked.type,
            since=asked.since,
            until=asked.until,
            before=before,
        ),
        page_size(asked.limit),
    )
    page, more = found[: asked.limit], len(found) > asked.limit
    following = show_cursor(Place(show_id("dlv", page[-1]["id"]))) if more else None
    return DeliveryPage(tuple(map(_delivery, page)), following)


def _shown(prefix: str, value: UUID | None) -> str | None:
    return None if value is None else show_id(prefix, value)


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=show_id("dlv", row["id"]),
        webhook_id=show_id("evt", row["event_id"]),
        type=row["type"],
        destination=row["destination"],
        state=_STATES[row["state"]],
        order=Order(f"lan_{row['lane_id']}", row["n"]),
        failed_tries=row["tries"],
        replayed=row["replayed"],
        error=row["error"],
        account=row["account"],
        queue=row["queue"],
        conversation_id=_shown("cnv", row["conversation_id"]),
        message_id=_shown("msg", row["message_id"]),
        created_at=row["created_at"],
        first_tried_at=row["first_tried_at"],
        finished_at=row["finished_at"],
    )


class Replayed(Struct, frozen=True):
    """How many deliveries were put at the end of their lanes; *more*: the filter fits others still."""

    replayed: int
    more: bool = False


@table.add(
    "POST",
    "/v1/deliveries/{id}/replay",
    tag=TAG,
    scope="admin",
    body=Nothing,
    answer=Replayed,
    status=202,
    problems=(404, 409),
)
async def replay_delivery(call: Call[Nothing, Nothing]) -> Replayed:
    """Send a dead letter again.

    A new delivery of the same event goes to the end of its lane, with the same webhook-id and the
    header `webhook-replayed: true`. 409: this delivery is not dead.
    """
    wanted = rows.DeliveryFilter(ids=[own_id("dlv", call.path["id"])])
    found = await rows.deliveries(call.core.db, call.queues, wanted, 1)
    if not found:
        raise not_found()
    count = await replay(call.core, [found[0]["id"]])
    if not count:
        state = _STATES[found[0]["state"]]
        raise Problem(409, "not-dead", f"only dead letters are replayed; this one is {state}")
    return Replayed(count)


def _plan(call: Call[Nothing, Nothing]) -> DestinationPlan:
    """The destination of the path, if it serves a queue that the caller may see."""
    plan = call.core.settings.destinations.get(call.path["name"])
    queues = call.queues
    if plan is None or not (queues is None or "*" in plan.queues or set(queues) & set(plan.queues)):
        raise not_found()
    return plan


@table.add(
    "POST",
    "/v1/destinations/{name}/test",
    tag=TAG,
    scope="admin",
    body=Nothing,
    answer=Sample,
    problems=(404, 409),
)
async def test_a_destination(call: Call[Nothing, Nothing]) -> Sample:
    """Send a signed sample to a webhook.

    An event of the type `hub.test`, once, beside everything that waits. The answer shows what was sent, with
    the computed signature and the text that it is over, and what came back. 409: it is no webhook.
    """
    try:
        return await send_sample(call.core, _plan(call))
    except ValueError as error:
        raise Problem(409, "no-webhook", str(error)) from error


class Restored(Struct, frozen=True):
    """The destination, and whether it was switched off or down before."""

    name: str
    restored: bool


@table.add(
    "POST",
    "/v1/destinations/{name}/restore",
    tag=TAG,
    scope="admin",
    body=Nothing,
    answer=Restored,
    problems=(404,),
)
async def restore_a_destination(call: Call[Nothing, Nothing]) -> Restored:
    """Send to a destination again.

    One that answered 410 was switched off until somebody says so; one that is down is tried at once.
    """
    name = _plan(call).target.name
    restored = await restore_destination(call.core.db, name)
    if restored:
        call.core.bells.ring("deliver")
    return Restored(name, restored)


class ReplayFilter(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters to send again: at least one field; several must all fit."""

    schema_extra: ClassVar[Mapping[str, Any]] = {
        "anyOf": [
            {"required": [name], "properties": {name: {"type": ["string", "array"]}}}
            for name in ("ids", "destination", "account", "type", "since", "until")
        ]
    }

    ids: Annotated[tuple[str, ...] | None, Meta(description="These, by id")] = None
    destination: str | None = None
    account: str | None = None
    type: str | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_REPLAY)] = MAX_REPLAY

    def __post_init__(self) -> None:
        in_range(self.since)
        in_range(self.until)


@table.add(
    "POST",
    "/v1/deliveries/replay",
    tag=TAG,
    scope="admin",
    body=ReplayFilter,
    answer=Replayed,
    status=202,
)
async def replay_deliveries(call: Call[Nothing, ReplayFilter]) -> Replayed:
    """Send many dead letters again, by filter.

    The oldest come first within each lane; at most 1,000 in one call.
    """
    asked = call.body
    given = (asked.ids, asked.destination, asked.account, asked.type, asked.since, asked.until)
    if all(one is None for one in given):
        raise invalid("wants at least one field besides limit", pointer="")
    ids = None
    if asked.ids is not None:
        ids = [own for one in asked.ids if (own := read_id("dlv", one)) is not None]
    wanted = rows.DeliveryFilter(
        PARKED,
        asked.destination,
        asked.account,
        asked.type,
        asked.since,
        asked.until,
        ids,
        oldest_first=True,
    )
    found = await rows.deliveries(call.core.db, call.queues, wanted, page_size(asked.limit))
    chosen = [row["id"] for row in found[: asked.limit]]
    return Replayed(await replay(call.core, chosen), more=len(found) > asked.limit)
