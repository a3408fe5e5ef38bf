"""Events, lanes and deliveries as rows; one statement for any number of them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Transaction
from hub.store.lanes import LEASE, ClaimedLane, Head

__all__ = ["Addressed", "Key", "lane_columns", "places_behind", "publish_events", "raise_wanted"]

Key = tuple[str, UUID]
"""Which lane: its target, and its conversation."""


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

    @property
    def lane(self) -> Key:
        """Which lane it comes into."""
        return self.destination, self.conversation_id


_IDLE = (
    "excluded.epoch = 1 AND l.wanted = l.handled AND l.lease_until < statement_timestamp() "
    "AND l.next_at <= statement_timestamp()"
)

RAISE = f"""
INSERT INTO lanes AS l (kind, target, conversation_id, wanted, handled, epoch, lease_until, holder, next_at)
SELECT $1, u.target, u.conversation, u.count, 0, u.take::int,
       CASE WHEN u.take THEN clock_timestamp() + {LEASE} ELSE '-infinity' END,
       CASE WHEN u.take THEN $6 END, clock_timestamp()
FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::bool[]) AS u (target, conversation, count, take)
ON CONFLICT (kind, target, conversation_id) DO UPDATE SET
    wanted = l.wanted + excluded.wanted,
    epoch = CASE WHEN {_IDLE} THEN l.epoch + 1 ELSE l.epoch END,
    holder = CASE WHEN {_IDLE} THEN excluded.holder ELSE l.holder END,
    lease_until = CASE WHEN {_IDLE} THEN excluded.lease_until ELSE l.lease_until END
RETURNING id, target, conversation_id, wanted, epoch, holder
"""
"""Adds work to lanes, making those that are missing: a new one queues behind those that wait already.

One that is to be taken ($5), and in which nothing waits, is $6's as if it had claimed it.
"""

PUBLISH = f"""
WITH published AS (
    INSERT INTO events (id, type, account, queue, conversation_id, message_id, body, created_at)
    SELECT u.id, u.type, u.account, u.queue, u.conversation, u.message, u.body, $7
    FROM unnest($8::uuid[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::uuid[], $14::bytea[])
         WITH ORDINALITY AS u (id, type, account, queue, conversation, message, body, ordinal)
    ORDER BY ordinal
), raised AS ({RAISE}), queued AS (
    INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at)
    SELECT u.id, r.id, r.wanted - u.behind, u.destination, u.event, 0, 0, false, $7
    FROM unnest($15::uuid[], $16::text[], $17::uuid[], $18::uuid[], $19::bigint[])
         AS u (id, destination, conversation, event, behind)
    JOIN raised r ON r.target = u.destination AND r.conversation_id = u.conversation
)
SELECT id, target, conversation_id, wanted, epoch FROM raised WHERE holder = $6
"""
"""*behind*: how many of these deliveries come after this one in its lane."""


async def publish_events(
    tx: Transaction,
    ids: Sequence[UUID],
    events: Sequence[_Event],
    bodies: Sequence[bytes],
    addressed: Sequence[Addressed],
    at: datetime,
    take: Collection[Key] = (),
    holder: str | None = None,
) -> list[ClaimedLane]:
    """Add *events* to the feed and their deliveries to the lanes, each in the order given.

    Returns those of the lanes to *take* in which nothing waited, with this work; they are *holder*'s, a
    name that no other transaction uses.
    """
    deliveries = [new_id() for _ in addressed]
    behind = places_behind(addressed)
    rows = await tx.fetch(
        PUBLISH,
        *_wanted("deliver", Counter(one.lane for one in addressed), take),
        holder,
        at,
        ids,
        [event.type for event in events],
        [event.account for event in events],
        [event.queue for event in events],
        [event.conversation_id for event in events],
        [event.message_id for event in events],
        bodies,
        deliveries,
        [one.destination for one in addressed],
        [one.conversation_id for one in addressed],
        [one.event_id for one in addressed],
        behind,
    )
    if not rows:
        return []
    taken = {
        (row["target"], row["conversation_id"]): ClaimedLane(
            row["id"], row["target"], row["conversation_id"], row["epoch"], []
        )
        for row in rows
    }
    wanted = {(row["target"], row["conversation_id"]): row["wanted"] for row in rows}
    told = {own: (event, body) for own, event, body in zip(ids, events, bodies, strict=True)}
    for own, one, after in zip(deliveries, addressed, behind, strict=True):
        if lane := taken.get(one.lane):
            event, body = told[one.event_id]
            n = wanted[one.lane] - after
            lane.heads.append(
                Head(own, n, one.event_id, event.type, body, 0, False, at, None, event.message_id)
            )
    return list(taken.values())


def places_behind(addressed: Sequence[Addressed]) -> list[int]:
    """How many of *addressed* come after each in its lane."""
    left = Counter(one.lane for one in addressed)
    behind = []
    for one in addressed:
        left[one.lane] -= 1
        behind.append(left[one.lane])
    return behind


async def raise_wanted(tx: Transaction, kind: str, counts: Mapping[Key, int]) -> None:
    """Add work to lanes. *counts*: (target, conversation) → how much."""
    await tx.fetch(RAISE, *_wanted(kind, counts), None)


def _wanted(
    kind: str, counts: Mapping[Key, int], take: Collection[Key] = ()
) -> tuple[str, list[str], list[UUID], list[int], list[bool]]:
    keys = sorted(counts, key=lambda key: (key[0], key[1].bytes))  # the global order of locks
    return (
        kind,
        [key[0] for key in keys],
        [key[1] for key in keys],
        [counts[key] for key in keys],
        [key in take for key in keys],
    )


def lane_columns(
    addressed: Sequence[Addressed], replies: Sequence[tuple[str, UUID]]
) -> tuple[list[str], list[str], list[UUID], list[int]]:
    """Lanes of both kinds to raise, in the global order of locks: kinds, targets, conversations, counts.

    *replies* are (account, conversation) pairs.
    """
    deliver = _wanted("deliver", Counter(one.lane for one in addressed))
    reply = _wanted("reply", Counter(replies))
    kinds = [deliver[0]] * len(deliver[1]) + [reply[0]] * len(reply[1])
    return kinds, deliver[1] + reply[1], deliver[2] + reply[2], deliver[3] + reply[3]
