"""Delivery lanes: claim many, read many, record many."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Database, Transaction
from hub.text import clean

__all__ = [
    "ClaimedLane",
    "Done",
    "Failure",
    "Head",
    "QueueRules",
    "append_again",
    "claim_lanes",
    "expired_lanes",
    "give_way",
    "note_failures",
    "record",
    "refusals",
    "release_lost",
]

LEASE = "interval '30 seconds'"


OVERDUE = (
    "d.created_at < clock_timestamp() - $2::float8 * interval '1 second' "
    "AND (e.type <> 'delivery.gap' OR d.n = {}.handled + 1)"
)


class Head(NamedTuple):
    """A delivery at the head of its lane, with its event."""

    id: UUID
    n: int
    event_id: UUID
    type: str
    body: bytes
    tries: int
    replayed: bool
    created_at: datetime
    first_tried_at: datetime | None
    message_id: UUID | None = None


class ClaimedLane(NamedTuple):
    """A lane that is ours while nobody raises its epoch, with the work at its head."""

    id: int
    destination: str
    conversation_id: UUID
    epoch: int
    heads: list[Head]


_IN = (
    "EXISTS (SELECT 1 FROM conversations c WHERE c.id = lanes.conversation_id "
    "AND c.queue = ANY({}::text[]))"
)

_CLAIM = f"""
WITH want AS (
    SELECT w.target, w.room FROM unnest($2::text[], $3::int[]) AS w (target, room)
), picked AS (
    SELECT l.id FROM want w CROSS JOIN LATERAL (
        SELECT id FROM lanes
        WHERE kind = 'deliver' AND target = w.target AND wanted > handled
          AND lease_until < clock_timestamp() AND next_at <= clock_timestamp() {{wanted}}
        ORDER BY {{first}} next_at LIMIT w.room FOR UPDATE SKIP LOCKED) l
), ours AS (
    UPDATE lanes SET holder = $1, epoch = epoch + 1, lease_until = clock_timestamp() + {LEASE}
    FROM picked WHERE lanes.id = picked.id
    RETURNING lanes.id, target, conversation_id, epoch, handled
)
SELECT o.id AS lane, o.target, o.conversation_id, o.epoch, d.id, d.n, d.event_id, e.type, e.body, d.tries,
       d.replayed, d.created_at, d.first_tried_at, e.message_id
FROM ours o
LEFT JOIN deliveries d ON d.lane_id = o.id AND d.n > o.handled AND d.n <= o.handled + $4
LEFT JOIN events e ON e.id = d.event_id
ORDER BY o.id, d.n
"""


CLAIM = _CLAIM.format(wanted="", first="")
CLAIM_BY_QUEUE = _CLAIM.format(wanted=f"AND NOT {_IN.format('$5')}", first=f"{_IN.format('$6')},")
"""Looks at each waiting lane's conversation; used only where a queue is paused or bulk."""


class QueueRules(NamedTuple):
    """Queues of which nothing is taken, and those that wait for all others."""

    paused: frozenset[str] = frozenset()
    bulk: frozenset[str] = frozenset()


NO_RULES = QueueRules()


async def claim_lanes(
    db: Database, holder: str, room: Mapping[str, int], each: int, rules: QueueRules = NO_RULES
) -> list[ClaimedLane]:
    """Take waiting lanes, up to *room* of each destination, with up to *each* of their deliveries."""
    values = (holder, list(room), list(room.values()), each)
    if rules == NO_RULES:
        return _lanes(await db.fetch(CLAIM, *values))
    rows = await db.fetch(CLAIM_BY_QUEUE, *values, sorted(rules.paused), sorted(rules.bulk))
    return _lanes(rows)


def _lanes(rows: Sequence[Any]) -> list[ClaimedLane]:
    lanes: dict[int, tuple[Any, list[Head]]] = {}
    for row in rows:
        heads = lanes.setdefault(row["lane"], (row, []))[1]
        if row["id"] is not None:
            heads.append(
                Head(
                    row["id"],
                    row["n"],
                    row["event_id"],
                    row["type"],
                    row["body"],
                    row["tries"],
                    row["replayed"],
                    row["created_at"],
                    row["first_tried_at"],
                    row["message_id"],
                )
            )
    return [
        ClaimedLane(row["lane"], row["target"], row["conversation_id"], row["epoch"], heads)
        for row, heads in lanes.values()
    ]


class Done(NamedTuple):
    """What became of a lane: handled up to *handled* (None: no change), and whether to give it back.

    *pause_s* keeps the lane asleep for that long after it is given back.
    """

    lane: int
    epoch: int
    handled: int | None
    deliveries: Sequence[UUID]
    release: bool
    pause_s: float = 0.0


RECORD = f"""
WITH r AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bool[], $5::float8[])
        AS u (lane, epoch, handled, release, pause)
), locked AS (
    SELECT l.id FROM lanes l JOIN r ON r.lane = l.id AND r.epoch = l.epoch
    ORDER BY l.target COLLATE "C", l.conversation_id FOR UPDATE OF l
), ours AS (
    UPDATE lanes l
    SET handled = GREATEST(l.handled, COALESCE(r.handled, l.handled)),
        lease_until = CASE WHEN r.release THEN '-infinity' ELSE clock_timestamp() + {LEASE} END,
        next_at = CASE WHEN r.release THEN clock_timestamp() + r.pause * interval '1 second'
                       ELSE l.next_at END
    FROM r, locked WHERE l.id = r.lane AND l.epoch = r.epoch AND locked.id = l.id
    RETURNING l.id, l.wanted, l.handled
), finished AS (
    UPDATE deliveries d SET state = 1, finished_at = clock_timestamp()
    FROM unnest($6::uuid[], $7::bigint[]) AS u (id, lane), ours
    WHERE d.id = u.id AND ours.id = u.lane
)
SELECT id, wanted, handled FROM ours
"""


async def record(db: Database, done: Sequence[Done]) -> dict[int, bool]:
    """Write down what became of lanes, and renew the leases that are kept.

    Returns the lanes that were still ours, and whether they have more work.
    """
    pairs = [(delivery, one.lane) for one in done for delivery in one.deliveries]
    rows = await db.fetch(
        RECORD,
        [one.lane for one in done],
        [one.epoch for one in done],
        [one.handled for one in done],
        [one.release for one in done],
        [one.pause_s for one in done],
        [delivery for delivery, _ in pairs],
        [lane for _, lane in pairs],
    )
    return {row["id"]: row["wanted"] > row["handled"] for row in rows}


async def release_lost(db: Database, holder: str, served: Sequence[int]) -> None:
    """Give back the lanes of *holder* but for those that it serves: the answer to their claim was lost.

    A lane taken as it was filled has the holder's name with a slash and a number.
    """
    await db.fetch(
        "UPDATE lanes SET lease_until = '-infinity' WHERE kind = 'deliver' AND wanted > handled "
        "AND (holder = $1 OR starts_with(holder, $1 || '/')) AND lease_until > clock_timestamp() "
        "AND id <> ALL($2::bigint[])",
        holder,
        list(served),
    )


class Failure(NamedTuple):
    """One failed try of a delivery."""

    delivery: UUID
    status: int | None
    error: str
    duration_ms: int
    answer: str | None


async def note_failures(db: Database, failures: Sequence[Failure]) -> None:
    """Keep the tries, and count them on their deliveries."""
    await db.fetch(
        """
        WITH f AS (
            SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::text[])
                AS u (delivery, status, error, duration_ms, answer)
        ), kept AS (
            INSERT INTO attempts (delivery_id, at, status, error, duration_ms, answer)
            SELECT delivery, clock_timestamp(), status, error, duration_ms, answer FROM f
        )
        UPDATE deliveries d
        SET tries = d.tries + 1, error = f.error,
            first_tried_at = COALESCE(d.first_tried_at, clock_timestamp())
        FROM f WHERE d.id = f.delivery
        """,
        [one.delivery for one in failures],
        [one.status for one in failures],
        [clean(one.error)[:500] for one in failures],
        [one.duration_ms for one in failures],
        [clean(one.answer)[:1000] if one.answer else None for one in failures],
    )


async def refusals(db: Database, delivery: UUID, faults: Sequence[int]) -> int:
    """How often *delivery* itself was refused: its failed tries without those that a destination which
    was not well has cost it (no answer, or one of the statuses *faults*)."""
    rows = await db.fetch(
        "SELECT d.tries - (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND ("
        "a.status IS NULL OR a.status < 400 OR a.status >= 500 OR a.status = ANY($2::int[]))) AS count "
        "FROM deliveries d WHERE d.id = $1",
        delivery,
        list(faults),
    )
    return rows[0]["count"] if rows else 0


async def give_way(
    tx: Transaction, lane: ClaimedLane, head: Head, reason: str, gap: tuple[UUID, bytes] | None
) -> bool:
    """Park *head* as a dead letter; the event *gap* (id, body) takes its place in the lane.

    Without a gap the lane goes past it: then *head* must be the lane's first. False: the lane is no
    longer ours, and nothing was written.
    """
    handled = head.n if gap is None else 0
    ours = await tx.fetch(
        "UPDATE lanes SET handled = GREATEST(handled, $3) WHERE id = $1 AND epoch = $2 RETURNING id",
        lane.id,
        lane.epoch,
        handled,
    )
    if not ours:
        return False
    await tx.fetch(  # below all others of the lane: a gap that is parked too has the number of its message
        "UPDATE deliveries SET state = 2, error = $2, finished_at = clock_timestamp(), n = (SELECT "
        "LEAST(min(d.n), 0) - 1 FROM deliveries d WHERE d.lane_id = $3) WHERE id = $1",
        head.id,
        clean(reason)[:500],
        lane.id,
    )
    if gap is not None:
        await tx.fetch(
            "INSERT INTO events (id, type, account, queue, conversation_id, message_id, body, created_at) "
            "SELECT $2, 'delivery.gap', account, queue, conversation_id, message_id, $3, "
            "clock_timestamp() FROM events WHERE id = $1",
            head.event_id,
            *gap,
        )
        await tx.fetch(
            "INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, "
            "created_at) VALUES ($1, $2, $3, $4, $5, 0, 0, false, clock_timestamp())",
            new_id(),
            lane.id,
            head.n,
            lane.destination,
            gap[0],
        )
    return True


async def expired_lanes(
    db: Database, holder: str, horizon_s: float, limit: int, each: int
) -> list[ClaimedLane]:
    """Take lanes in which something has waited longer than *horizon_s*, whatever becomes of their
    destination, with up to *each* of those deliveries.

    A ``delivery.gap`` is among them only at the head: behind what it announces it still says something.
    """
    rows = await db.fetch(
        f"""
        WITH picked AS (
            SELECT l.id FROM lanes l
            WHERE l.kind = 'deliver' AND l.wanted > l.handled AND l.lease_until < clock_timestamp()
              AND EXISTS (SELECT 1 FROM deliveries d JOIN events e ON e.id = d.event_id
                          WHERE d.lane_id = l.id AND d.n > l.handled AND {OVERDUE.format("l")})
            LIMIT $3 FOR UPDATE SKIP LOCKED
        ), ours AS (
            UPDATE lanes SET holder = $1, epoch = epoch + 1, lease_until = clock_timestamp() + {LEASE}
            FROM picked WHERE lanes.id = picked.id
            RETURNING lanes.id, target, conversation_id, epoch, handled
        )
        SELECT o.id AS lane, o.target, o.conversation_id, o.epoch, d.id, d.n, d.event_id, e.type, e.body,
               d.tries, d.replayed, d.created_at, d.first_tried_at, e.message_id
        FROM ours o CROSS JOIN LATERAL (
            SELECT d.* FROM deliveries d JOIN events e ON e.id = d.event_id
            WHERE d.lane_id = o.id AND d.n > o.handled AND {OVERDUE.format("o")}
            ORDER BY d.n LIMIT $4) d
        JOIN events e ON e.id = d.event_id
        ORDER BY o.id, d.n
        """,
        holder,
        horizon_s,
        limit,
        each,
    )
    return _lanes(rows)


async def append_again(tx: Transaction, ids: Sequence[UUID]) -> int:
    """Put dead letters at the end of their lanes, with the same event; how many."""
    await tx.fetch(
        "SELECT FROM lanes l WHERE id IN (SELECT lane_id FROM deliveries WHERE id = ANY($1::uuid[])) "
        'ORDER BY l.target COLLATE "C", l.conversation_id FOR UPDATE',
        list(ids),
    )
    dead = await tx.fetch(
        "SELECT id, lane_id, destination, event_id FROM deliveries "
        "WHERE id = ANY($1::uuid[]) AND state = 2 ORDER BY lane_id, id FOR UPDATE",
        list(ids),
    )
    if not dead:
        return 0
    await tx.fetch(
        "UPDATE deliveries SET state = 3 WHERE id = ANY($1::uuid[])", [row["id"] for row in dead]
    )
    await tx.fetch(
        """
        WITH d AS (
            SELECT u.id, u.lane, u.destination, u.event,
                   row_number() OVER (PARTITION BY u.lane ORDER BY u.ordinal) AS k
            FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[])
                 WITH ORDINALITY AS u (id, lane, destination, event, ordinal)
        ), raised AS (
            UPDATE lanes l SET wanted = l.wanted + c.count
            FROM (SELECT lane, count(*) AS count FROM d GROUP BY lane) c
            WHERE l.id = c.lane RETURNING l.id, l.wanted - c.count AS before
        )
        INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at)
        SELECT d.id, d.lane, r.before + d.k, d.destination, d.event, 0, 0, true, clock_timestamp()
        FROM d JOIN raised r ON r.id = d.lane
        """,
        [new_id() for _ in dead],
        [row["lane_id"] for row in dead],
        [row["destination"] for row in dead],
        [row["event_id"] for row in dead],
    )
    return len(dead)
