"""What was seen in the tickets of connected helpdesks, and which of them are to be looked at.

Callbacks and the poller enter into one table; who holds a ticket's lease brings what waits there to an
end, fenced by the ticket's epoch.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import LiteralString, NamedTuple
from uuid import UUID

import msgspec

from hub.destination import Heard, HeardFile, Ticket
from hub.store.database import Database, Transaction
from hub.store.tickets import read_ticket
from hub.text import clean

__all__ = [
    "Claimed",
    "Waiting",
    "ask_again",
    "claim_due",
    "claim_waiting",
    "enter",
    "fence",
    "forget_hints",
    "known_tickets",
    "note_seen",
    "release",
    "settle",
    "waiting",
]

LEASE = "interval '60 seconds'"


class Claimed(NamedTuple):
    """A ticket that is ours to look at; *idle_s* is how long nothing has happened in it."""

    id: int
    destination: str
    conversation_id: UUID
    epoch: int
    asked: int
    seen: int | None
    idle_s: float
    ticket: Ticket


async def claim_due(db: Database, holder: str, room: Mapping[str, int]) -> list[Claimed]:
    """Take tickets that are to be looked at now, up to *room* of each destination; first those of which a
    callback told."""
    return await _claim(db, holder, room, "true")


async def claim_waiting(db: Database, holder: str, room: Mapping[str, int]) -> list[Claimed]:
    """Take only those in which a reply waits that a signed callback brought."""
    waiting = (
        "SELECT ticket FROM desk_messages WHERE destination = w.destination AND state = 'waiting'"
    )
    return await _claim(db, holder, room, f"ref = ANY(ARRAY({waiting}))")


async def _claim(
    db: Database, holder: str, room: Mapping[str, int], which: LiteralString
) -> list[Claimed]:
    if not room:
        return []
    rows = await db.fetch(
        f"""
        WITH picked AS (
            SELECT t.id FROM unnest($2::text[], $3::int[]) AS w (destination, room)
            CROSS JOIN LATERAL (
                SELECT id FROM tickets WHERE destination = w.destination
                AND look_at <= clock_timestamp() AND lease_until < clock_timestamp() AND {which}
                ORDER BY look_at LIMIT w.room FOR UPDATE SKIP LOCKED) t
        )
        UPDATE tickets SET holder = $1, epoch = epoch + 1, lease_until = clock_timestamp() + {LEASE}
        FROM picked WHERE tickets.id = picked.id
        RETURNING tickets.id, destination, conversation_id, epoch, asked, seen, ref, facts, state,
            assignee, extract(epoch FROM clock_timestamp() - active_at)::float8 AS idle
        """,
        holder,
        list(room),
        list(room.values()),
    )
    return [
        Claimed(
            row["id"],
            row["destination"],
            row["conversation_id"],
            row["epoch"],
            row["asked"],
            row["seen"],
            row["idle"],
            read_ticket(row),
        )
        for row in rows
    ]


async def release(db: Database, claimed: Claimed, pause_s: float, error: str | None) -> None:
    """Give the ticket back; it is looked at again in *pause_s*, at once when it was asked for meanwhile."""
    await db.fetch(
        "UPDATE tickets SET lease_until = '-infinity', error = $5, look_at = CASE WHEN asked > $3 "
        "THEN '-infinity' ELSE clock_timestamp() + $4::float8 * interval '1 second' END "
        "WHERE id = $1 AND epoch = $2",
        claimed.id,
        claimed.epoch,
        claimed.asked,
        pause_s,
        clean(error)[:500] if error else None,
    )


async def fence(tx: Transaction | Database, claimed: Claimed) -> bool:
    """Lock the ticket and prolong its lease; False: it is another's, and nothing may be written."""
    rows = await tx.fetch(
        f"UPDATE tickets SET lease_until = clock_timestamp() + {LEASE} "
        "WHERE id = $1 AND epoch = $2 RETURNING id",
        claimed.id,
        claimed.epoch,
    )
    return bool(rows)


async def ask_again(db: Database, destination: str, ref: str) -> bool:
    """Have the ticket looked at now, before others; False: it is none of ours."""
    rows = await db.fetch(
        "UPDATE tickets SET asked = asked + 1, look_at = '-infinity', active_at = clock_timestamp() "
        "WHERE destination = $1 AND ref = $2 RETURNING id",
        destination,
        ref,
    )
    return bool(rows)


async def known_tickets(db: Database, destination: str) -> int:
    """How many tickets the hub has at *destination*."""
    rows = await db.fetch("SELECT count(*) AS n FROM tickets WHERE destination = $1", destination)
    return int(rows[0]["n"])


async def enter(
    db: Database | Transaction,
    destination: str,
    ticket: str,
    items: Sequence[Heard],
    states: Sequence[str],
    at: datetime,
) -> None:
    """Add what was seen, each entry once; a hint that is confirmed now waits to be handled.

    *states*: ``hint``, ``waiting``, or ``left`` for what is never sent.
    """
    await db.fetch(
        "INSERT INTO desk_messages AS m (destination, ref, ticket, position, body, state, reason, seen_at) "
        "SELECT $1, u.ref, $2, u.position, u.body::jsonb, u.state, u.reason, $8 "
        "FROM unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[]) "
        "AS u (ref, position, body, state, reason) "
        "ON CONFLICT (destination, ref) DO UPDATE SET ticket = excluded.ticket, "
        "position = excluded.position, body = excluded.body, state = excluded.state, "
        "reason = excluded.reason WHERE m.state = 'hint' AND excluded.state <> 'hint'",
        destination,
        ticket,
        [one.ref for one in items],
        [one.order for one in items],
        [_body(one) for one in items],
        list(states),
        [clean(one.reason)[:500] if one.reason else None for one in items],
        at,
    )


def _body(one: Heard) -> str:
    """*one* as JSON without what PostgreSQL refuses in it."""
    kept = {
        name: clean(value) if isinstance(value := getattr(one, name), str) else value
        for name in Heard.__struct_fields__
    }
    files = [
        HeardFile(
            url=clean(file.url),
            filename=clean(file.filename),
            mime_type=clean(file.mime_type) if file.mime_type else None,
        )
        for file in one.files
    ]
    return msgspec.json.encode({**kept, "files": files}).decode()


class Waiting(NamedTuple):
    """An agent's message that is to be handled; *state* ``refused``: its agent is to be told *reason*."""

    id: int
    state: str
    reason: str | None
    heard: Heard
    seen_at: datetime


async def waiting(db: Database, destination: str, ticket: str) -> list[Waiting]:
    """What of the ticket is to be handled, in its order; a hint is nothing that may be sent."""
    rows = await db.fetch(
        "SELECT id, state, reason, body, seen_at FROM desk_messages WHERE destination = $1 AND ticket = $2 "
        "AND state IN ('waiting', 'refused') ORDER BY position, id",
        destination,
        ticket,
    )
    return [
        Waiting(
            row["id"],
            row["state"],
            row["reason"],
            msgspec.json.decode(row["body"], type=Heard),
            row["seen_at"],
        )
        for row in rows
    ]


async def forget_hints(db: Database, destination: str, ticket: str, before: datetime) -> bool:
    """Forget what callbacks told before that time and the helpdesk knows nothing of; whether it may still
    come to know of others."""
    rows = await db.fetch(
        "WITH gone AS (DELETE FROM desk_messages "
        "WHERE destination = $1 AND ticket = $2 AND state = 'hint' AND seen_at < $3) "
        "SELECT 1 FROM desk_messages "
        "WHERE destination = $1 AND ticket = $2 AND state = 'hint' AND seen_at >= $3 LIMIT 1",
        destination,
        ticket,
        before,
    )
    return bool(rows)


async def settle(
    tx: Transaction | Database,
    waiting_id: int,
    before: str,
    state: str,
    *,
    reason: str | None = None,
    message_id: UUID | None = None,
) -> bool:
    """Say what became of an agent's message that was in the state *before*; False: another has."""
    rows = await tx.fetch(
        "UPDATE desk_messages SET state = $3, reason = $4, message_id = COALESCE($5, message_id), "
        "handled_at = clock_timestamp() WHERE id = $1 AND state = $2 RETURNING id",
        waiting_id,
        before,
        state,
        clean(reason)[:500] if reason else None,
        message_id,
    )
    return bool(rows)


async def note_seen(
    tx: Transaction | Database,
    claimed: Claimed,
    seen: int | None,
    state: str | None,
    assignee: str | None,
) -> None:
    """How far the ticket was read, and how it stands there; an assignment that the hub made meanwhile
    stays."""
    await tx.fetch(
        "UPDATE tickets SET seen = GREATEST(seen, $3), state = COALESCE($4, state), "
        "assignee = CASE WHEN assignee IS NOT DISTINCT FROM $6 THEN $5 ELSE assignee END "
        "WHERE id = $1 AND epoch = $2",
        claimed.id,
        claimed.epoch,
        seen,
        state,
        assignee,
        claimed.ticket.assignee,
    )
