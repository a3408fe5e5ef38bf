"""Tickets of connected helpdesks, what was put into them, and the agents' messages that were seen.

A ticket has two writers at most: who holds the delivery lane of its conversation puts things in, who
holds the ticket's own lease reads it. Both are fenced by an epoch.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.destination import Heard, HeardFile, Ticket
from hub.ids import read_id
from hub.store.database import Database, Transaction
from hub.text import clean

__all__ = [
    "Begun",
    "Claimed",
    "Waiting",
    "ask_again",
    "begin_post",
    "case_row",
    "claim_due",
    "conversation_of",
    "current_ticket",
    "enter",
    "fence",
    "file_of_ticket",
    "finish_post",
    "forget_hints",
    "forget_post",
    "insert_ticket",
    "is_anothers",
    "keep_lane",
    "known_tickets",
    "latest_lines",
    "lock_ticket",
    "message_heard",
    "note_assignee",
    "note_seen",
    "note_state",
    "own_refs",
    "release",
    "settle",
    "stored_files",
    "ticket_of",
    "waiting",
]

LEASE = "interval '60 seconds'"


# --- tickets ----------------------------------------------------------------------------------------


def _ticket(row: Any) -> Ticket:
    return Ticket(
        ref=row["ref"],
        facts=msgspec.json.decode(row["facts"]),
        state=row["state"],
        assignee=row["assignee"],
    )


async def case_row(db: Database, conversation_id: UUID) -> Any | None:
    """What a ticket's connector is told about the conversation."""
    rows = await db.fetch(
        "SELECT c.id, c.account, c.channel, c.address_scheme, c.address_scope, c.address_value, "
        "c.is_group, c.queue, c.state, c.case_number, c.subject, c.assignee, t.name AS contact_name "
        "FROM conversations c LEFT JOIN contacts t ON t.id = c.contact_id WHERE c.id = $1",
        conversation_id,
    )
    return rows[0] if rows else None


async def current_ticket(
    db: Database, destination: str, conversation_id: UUID
) -> tuple[int, Ticket] | None:
    """The conversation's latest ticket at *destination*, with its case number."""
    rows = await db.fetch(
        "SELECT case_number, ref, facts, state, assignee FROM tickets "
        "WHERE destination = $1 AND conversation_id = $2 ORDER BY case_number DESC LIMIT 1",
        destination,
        conversation_id,
    )
    return (rows[0]["case_number"], _ticket(rows[0])) if rows else None


async def ticket_of(db: Database, destination: str, ref: str) -> Ticket | None:
    """The ticket with that id there."""
    rows = await db.fetch(
        "SELECT ref, facts, state, assignee FROM tickets WHERE destination = $1 AND ref = $2",
        destination,
        ref,
    )
    return _ticket(rows[0]) if rows else None


async def insert_ticket(
    tx: Transaction,
    destination: str,
    conversation_id: UUID,
    case_number: int,
    ticket: Ticket,
    poll_s: float,
    at: datetime,
) -> None:
    """Keep a ticket that was made; it is looked at from now on."""
    await tx.fetch(
        "INSERT INTO tickets (destination, conversation_id, case_number, ref, facts, state, active_at, "
        "look_at, created_at) VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, "
        "clock_timestamp() + $8::float8 * interval '1 second', $7) ON CONFLICT DO NOTHING",
        destination,
        conversation_id,
        case_number,
        ticket.ref,
        msgspec.json.encode(ticket.facts).decode(),
        ticket.state,
        at,
        poll_s,
    )


async def note_state(tx: Transaction | Database, destination: str, ref: str, state: str) -> None:
    """The ticket has that state now, and both sides know it."""
    await tx.fetch(
        "UPDATE tickets SET state = $3 WHERE destination = $1 AND ref = $2", destination, ref, state
    )


async def note_assignee(
    tx: Transaction | Database, destination: str, ref: str, assignee: str | None
) -> None:
    """The ticket is that agent's now, and both sides know it."""
    await tx.fetch(
        "UPDATE tickets SET assignee = $3 WHERE destination = $1 AND ref = $2",
        destination,
        ref,
        assignee,
    )


async def is_anothers(db: Database, destination: str, conversation_id: UUID, assignee: str) -> bool:
    """Whether another helpdesk has named the conversation's assignee: its ids are its own."""
    rows = await db.fetch(
        "SELECT 1 FROM tickets WHERE conversation_id = $2 AND destination <> $1 AND assignee = $3 LIMIT 1",
        destination,
        conversation_id,
        assignee,
    )
    return bool(rows)


async def lock_ticket(tx: Transaction, destination: str, ref: str) -> tuple[UUID, Ticket] | None:
    """The ticket with that id and its conversation, locked; None: it is none of ours."""
    rows = await tx.fetch(
        "SELECT conversation_id, ref, facts, state, assignee FROM tickets "
        "WHERE destination = $1 AND ref = $2 FOR UPDATE",
        destination,
        ref,
    )
    return (rows[0]["conversation_id"], _ticket(rows[0])) if rows else None


async def keep_lane(db: Database, lane_id: int, epoch: int) -> bool:
    """Renew the lease of a delivery lane while a helpdesk is spoken to; False: it is another's."""
    rows = await db.fetch(
        "UPDATE lanes SET lease_until = clock_timestamp() + interval '30 seconds' "
        "WHERE id = $1 AND epoch = $2 RETURNING id",
        lane_id,
        epoch,
    )
    return bool(rows)


# --- what was put in --------------------------------------------------------------------------------


class Begun(NamedTuple):
    """A post that was begun before: whether it is *done*, how long ago it was begun, and *where*: in the
    ticket of that id, or by making the ticket of that case."""

    done: bool
    age_s: float
    where: str | None = None


async def begin_post(
    db: Database,
    destination: str,
    keys: Sequence[str],
    conversation_id: UUID,
    at: datetime,
    where: str | None = None,
) -> dict[str, Begun]:
    """Write down the intent to post, and *where*; those of *keys* that were there before."""
    rows = await db.fetch(
        "WITH made AS (INSERT INTO desk_posts (destination, key, conversation_id, at, ticket) "
        "SELECT $1, k, $3, $4, $5 FROM unnest($2::text[]) AS k ON CONFLICT DO NOTHING RETURNING key) "
        "SELECT key, done, extract(epoch FROM $4 - at)::float8 AS age, ticket FROM desk_posts "
        "WHERE destination = $1 AND key = ANY($2) AND key NOT IN (SELECT key FROM made)",
        destination,
        list(keys),
        conversation_id,
        at,
        where,
    )
    return {row["key"]: Begun(row["done"], row["age"], row["ticket"]) for row in rows}


async def finish_post(
    tx: Transaction, destination: str, keys: Sequence[str], ticket: str, ref: str, at: datetime
) -> None:
    """The helpdesk has it, under *ref*; the ticket is alive."""
    await tx.fetch(
        "UPDATE desk_posts SET done = true, ticket = $3, ref = $4, at = $5 "
        "WHERE destination = $1 AND key = ANY($2::text[])",
        destination,
        list(keys),
        ticket,
        ref,
        at,
    )
    await tx.fetch(
        "UPDATE tickets SET active_at = $3 WHERE destination = $1 AND ref = $2",
        destination,
        ticket,
        at,
    )


async def forget_post(db: Database, destination: str, keys: Sequence[str]) -> None:
    """It is certain that the helpdesk does not have it."""
    await db.fetch(
        "DELETE FROM desk_posts WHERE destination = $1 AND key = ANY($2::text[]) AND NOT done",
        destination,
        list(keys),
    )


async def own_refs(db: Database, destination: str, refs: Sequence[str]) -> set[str]:
    """Those of *refs* that the hub itself has posted."""
    rows = await db.fetch(
        "SELECT ref FROM desk_posts WHERE destination = $1 AND ref = ANY($2::text[])",
        destination,
        list(refs),
    )
    return {row["ref"] for row in rows}


async def stored_files(db: Database, message_id: UUID) -> list[Any]:
    """The files of a message that are on disk: id, kind, mime_type, filename, sha256."""
    return await db.fetch(
        "SELECT id, kind, mime_type, filename, sha256 FROM attachments "
        "WHERE message_id = $1 AND state = 'stored' AND sha256 IS NOT NULL ORDER BY id",
        message_id,
    )


async def conversation_of(db: Database, destination: str, ref: str) -> UUID | None:
    """The conversation of a ticket; None: it is none of ours."""
    rows = await db.fetch(
        "SELECT conversation_id FROM tickets WHERE destination = $1 AND ref = $2", destination, ref
    )
    return rows[0]["conversation_id"] if rows else None


async def latest_lines(db: Database, conversation_id: UUID, limit: int) -> list[Any]:
    """The latest messages, the newest first: id, direction, who, text, status, created_at."""
    return await db.fetch(
        "SELECT id, direction, body->'sender'->>'name' AS who, body->>'text' AS text, status, created_at "
        "FROM messages WHERE conversation_id = $1 ORDER BY seq DESC LIMIT $2",
        conversation_id,
        limit,
    )


async def file_of_ticket(db: Database, destination: str, ref: str, key: str) -> Any | None:
    """A stored file of the ticket's conversation: filename, mime_type, sha256."""
    own = read_id("att", key)
    if own is None:
        return None
    rows = await db.fetch(
        "SELECT a.filename, a.mime_type, a.sha256 FROM attachments a "
        "JOIN messages m ON m.id = a.message_id JOIN tickets t ON t.conversation_id = m.conversation_id "
        "WHERE a.id = $3 AND a.state = 'stored' AND a.sha256 IS NOT NULL "
        "AND t.destination = $1 AND t.ref = $2 LIMIT 1",
        destination,
        ref,
        own,
    )
    return rows[0] if rows else None


async def message_heard(
    db: Database, destination: str, message_id: UUID
) -> tuple[str, Ticket] | None:
    """The agent's message at *destination* that became this reply: its id, and the ticket in which it
    was said, which need not be the latest; None: it is not from there."""
    rows = await db.fetch(
        "SELECT m.ref AS said, t.ref, t.facts, t.state, t.assignee FROM desk_messages m "
        "JOIN tickets t ON t.destination = m.destination AND t.ref = m.ticket "
        "WHERE m.destination = $1 AND m.message_id = $2",
        destination,
        message_id,
    )
    return (rows[0]["said"], _ticket(rows[0])) if rows else None


# --- what was seen ----------------------------------------------------------------------------------


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
    """Take tickets that are to be looked at now, up to *room* of each destination."""
    rows = await db.fetch(
        f"""
        WITH picked AS (
            SELECT t.id FROM unnest($2::text[], $3::int[]) AS w (destination, room)
            CROSS JOIN LATERAL (
                SELECT id FROM tickets WHERE destination = w.destination
                AND look_at <= clock_timestamp() AND lease_until < clock_timestamp()
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
            _ticket(row),
        )
        for row in rows
    ]


async def release(db: Database, claimed: Claimed, pause_s: float, error: str | None) -> None:
    """Give the ticket back; it is looked at again in *pause_s*, at once when it was asked for meanwhile."""
    await db.fetch(
        "UPDATE tickets SET lease_until = '-infinity', error = $5, look_at = CASE WHEN asked > $3 "
        "THEN clock_timestamp() ELSE clock_timestamp() + $4::float8 * interval '1 second' END "
        "WHERE id = $1 AND epoch = $2",
        claimed.id,
        claimed.epoch,
        claimed.asked,
        pause_s,
        clean(error)[:500] if error else None,
    )


async def fence(tx: Transaction, claimed: Claimed) -> bool:
    """Lock the ticket and prolong its lease; False: it is another's, and nothing may be written."""
    rows = await tx.fetch(
        f"UPDATE tickets SET lease_until = clock_timestamp() + {LEASE} "
        "WHERE id = $1 AND epoch = $2 RETURNING id",
        claimed.id,
        claimed.epoch,
    )
    return bool(rows)


async def ask_again(db: Database, destination: str, ref: str) -> bool:
    """Have the ticket looked at now; False: it is none of ours."""
    rows = await db.fetch(
        "UPDATE tickets SET asked = asked + 1, look_at = clock_timestamp(), active_at = clock_timestamp() "
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


async def waiting(db: Database, destination: str, ticket: str) -> list[Waiting]:
    """What of the ticket is to be handled, in its order; a hint is nothing that may be sent."""
    rows = await db.fetch(
        "SELECT id, state, reason, body FROM desk_messages WHERE destination = $1 AND ticket = $2 "
        "AND state IN ('waiting', 'refused') ORDER BY position, id",
        destination,
        ticket,
    )
    return [
        Waiting(
            row["id"], row["state"], row["reason"], msgspec.json.decode(row["body"], type=Heard)
        )
        for row in rows
    ]


async def forget_hints(db: Database, destination: str, ticket: str, before: datetime) -> None:
    """What callbacks told before that time and the helpdesk does not know is never sent."""
    await db.fetch(
        "UPDATE desk_messages SET state = 'left', reason = 'the helpdesk knows nothing of it', "
        "handled_at = clock_timestamp() "
        "WHERE destination = $1 AND ticket = $2 AND state = 'hint' AND seen_at < $3",
        destination,
        ticket,
        before,
    )


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
