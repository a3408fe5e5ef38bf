"""Publishing events: the feed, and a delivery for each destination that takes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from hub.ids import new_id
from hub.settings import Settings
from hub.store import Transaction
from hub.store import feed as rows
from hub.store.lanes import ClaimedLane

__all__ = ["NewEvent", "Offer", "Prepared", "prepare", "publish", "with_order"]


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


class Offer(Protocol):
    """A deliverer of this process that takes what is published at once, with no claim between."""

    @property
    def holder(self) -> str: ...
    def anew(self) -> None:
        """The transaction begins, perhaps once more; nothing of an undone try counts."""
        ...

    def wants(self, destination: str, queue: str | None) -> bool:
        """Whether it has room for one more lane of *destination*; True keeps that room."""
        ...

    def hand(self, lanes: Sequence[ClaimedLane]) -> None:
        """What it has got, once the transaction is committed."""
        ...


async def publish(
    tx: Transaction,
    settings: Settings,
    events: Sequence[NewEvent],
    at: datetime,
    offer: Offer | None = None,
) -> frozenset[str]:
    """Store *events* in the feed and queue them for their destinations, in the order given.

    Returns the destinations that now have work which *offer* did not take; ring ``deliver`` for them
    after the commit.
    """
    if not events:
        return frozenset()
    made = prepare(settings, events, at)
    queues = {own: event.queue for own, event in zip(made.ids, events, strict=True)}
    lanes = {one.lane: queues[one.event_id] for one in made.addressed}
    take = {key for key, queue in lanes.items() if offer and offer.wants(key[0], queue)}
    holder = offer.holder if offer else None
    taken = await rows.publish_events(
        tx, made.ids, events, made.bodies, made.addressed, at, take, holder
    )
    if offer:
        offer.hand(taken)
    left = lanes.keys() - {(lane.destination, lane.conversation_id) for lane in taken}
    return frozenset(destination for destination, _ in left)
