"""Publishing events: the feed, and a delivery for each destination that takes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from hub.ids import new_id
from hub.settings import Settings
from hub.store import Transaction
from hub.store import feed as rows

__all__ = ["NewEvent", "Prepared", "prepare", "publish", "with_order"]


class NewEvent(NamedTuple):
    """Something to tell: *data* is the event's ``data`` object (not empty), JSON-like."""

    type: str
    data: Mapping[str, Any]
    account: str | None = None
    queue: str | None = None
    conversation_id: UUID | None = None
    message_id: UUID | None = None


def _encode(event: NewEvent, at: datetime) -> bytes:
    return msgspec.json.encode({"type": event.type, "timestamp": at, "data": event.data})


def with_order(body: bytes, lane_id: int, n: int) -> bytes:
    """*body* with ``data.order``, which only the delivery knows; the same bytes at each try."""
    return body[:-2] + b',"order":{"lane":"lan_%d","n":%d}}}' % (lane_id, n)


def _lane_of(event: NewEvent) -> UUID:
    """The conversation whose order the event keeps; an account's own events keep theirs."""
    return event.conversation_id or uuid5(NAMESPACE_URL, f"hub:account:{event.account}")


class Prepared(NamedTuple):
    """Events on their way into the feed, in order: their ids and bodies, and who takes them."""

    ids: Sequence[UUID]
    bodies: Sequence[bytes]
    addressed: Sequence[rows.Addressed]


def prepare(settings: Settings, events: Sequence[NewEvent], at: datetime) -> Prepared:
    """What storing *events* needs."""
    ids = [new_id() for _ in events]
    addressed = [
        rows.Addressed(name, _lane_of(event), event_id)
        for event, event_id in zip(events, ids, strict=True)
        for name, plan in settings.destinations.items()
        if plan.takes(event.queue, event.type)
    ]
    return Prepared(ids, [_encode(event, at) for event in events], addressed)


async def publish(
    tx: Transaction, settings: Settings, events: Sequence[NewEvent], at: datetime
) -> frozenset[str]:
    """Store *events* in the feed and queue them for their destinations, in the order given.

    Returns the destinations that now have work; ring ``deliver`` for them after the commit.
    """
    if not events:
        return frozenset()
    made = prepare(settings, events, at)
    await rows.publish_events(tx, made.ids, events, made.bodies, made.addressed, at)
    return frozenset(one.destination for one in made.addressed)
