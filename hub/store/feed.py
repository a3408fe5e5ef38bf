"""Events, lanes and deliveries as rows; one statement for any number of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Transaction

__all__ = ["Addressed", "lane_columns", "places_behind", "publish_events", "raise_wanted"]


class _Event(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def account(self) -> str | None: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def conversation_id(self) -> UUID | None: ...
    @property
    def message_id(self) -> UUID | None: ...


class Addressed(NamedTuple):
    """An event that a destination takes, and the conversation whose order it keeps there."""

    destination: str
    conversation_id: UUID
    event_id: UUID


RAISE = """
INSERT INTO lanes AS l (kind, target, conversation_id, wanted, handled, epoch, lease_until, next_at)
SELECT $1, u.target, u.conversation, u.count, 0, 0, '-infinity', clock_timestamp()
FROM unnest($2::text[], $3::uuid[], $4::bigint[]) AS u (target, conversation, count)
ON CONFLICT (kind, target, conversation_id) DO UPDATE SET wanted = l.wanted + excluded.wanted
RETURNING id, target, conversation_id, wanted
"""
"""Adds work to lanes, making those that are missing: a new one queues behind those that wait already."""

PUBLISH = f"""
WITH published AS (
    INSERT INTO events (id, type, account, queue, conversation_id, message_id, body, created_at)
    SELECT u.id, u.type, u.account, u.queue, u.conversation, u.message, u.body, $5
    FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::uuid[], $11::uuid[], $12::bytea[])
         WITH ORDINALITY AS u (id, type, account, queue, conversation, message, body, ordinal)
    ORDER BY ordinal
), raised AS ({RAISE})
INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at)
SELECT u.id, r.id, r.wanted - u.behind, u.destination, u.event, 0, 0, false, $5
FROM unnest($13::uuid[], $14::text[], $15::uuid[], $16::uuid[], $17::bigint[])
     AS u (id, destination, conversation, event, behind)
JOIN raised r ON r.target = u.destination AND r.conversation_id = u.conversation
"""
"""*behind*: how many of these deliveries come after this one in its lane."""


async def publish_events(
    tx: Transaction,
    ids: Sequence[UUID],
    events: Sequence[_Event],
    bodies: Sequence[bytes],
    addressed: Sequence[Addressed],
    at: datetime,
) -> None:
    """Add *events* to the feed and their deliveries to the lanes, each in the order given."""
    counts = Counter((one.destination, one.conversation_id) for one in addressed)
    await tx.fetch(
        PUBLISH,
        *_wanted("deliver", counts),
        at,
        ids,
        [event.type for event in events],
        [event.account for event in events],
        [event.queue for event in events],
        [event.conversation_id for event in events],
        [event.message_id for event in events],
        bodies,
        [new_id() for _ in addressed],
        [one.destination for one in addressed],
        [one.conversation_id for one in addressed],
        [one.event_id for one in addressed],
        places_behind(addressed),
    )


def places_behind(addressed: Sequence[Addressed]) -> list[int]:
    """How many of *addressed* come after each in its lane."""
    left = Counter((one.destination, one.conversation_id) for one in addressed)
    behind = []
    for one in addressed:
        left[one.destination, one.conversation_id] -= 1
        behind.append(left[one.destination, one.conversation_id])
    return behind


async def raise_wanted(tx: Transaction, kind: str, counts: Mapping[tuple[str, UUID], int]) -> None:
    """Add work to lanes. *counts*: (target, conversation) → how much."""
    await tx.fetch(RAISE, *_wanted(kind, counts))


def _wanted(
    kind: str, counts: Mapping[tuple[str, UUID], int]
) -> tuple[str, list[str], list[UUID], list[int]]:
    keys = sorted(counts, key=lambda key: (key[0], key[1].bytes))  # the global order of locks
    return kind, [key[0] for key in keys], [key[1] for key in keys], [counts[key] for key in keys]


def lane_columns(
    addressed: Sequence[Addressed], replies: Sequence[tuple[str, UUID]]
) -> tuple[list[str], list[str], list[UUID], list[int]]:
    """Lanes of both kinds to raise, in the global order of locks: kinds, targets, conversations, counts.

    *replies* are (account, conversation) pairs.
    """
    deliver = _wanted(
        "deliver", Counter((one.destination, one.conversation_id) for one in addressed)
    )
    reply = _wanted("reply", Counter(replies))
    kinds = [deliver[0]] * len(deliver[1]) + [reply[0]] * len(reply[1])
    return kinds, deliver[1] + reply[1], deliver[2] + reply[2], deliver[3] + reply[3]
