"""Tickets of connected helpdesks, and what was put into them.

A ticket has two writers at most: who holds the delivery lane of its conversation puts things in, who
holds the ticket's own lease reads it (:mod:`hub.store.heard`). Both are fenced by an epoch.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.destination import Ticket
from hub.ids import read_id
from hub.store.database import Database, Transaction
from hub.store.lanes import LEASE

__all__ = [
    "Begun",
    "begin_post",
    "case_row",
    "conversation_of",
    "current_ticket",
    "file_of_ticket",
    "finish_post",
    "forget_made",
    "forget_post",
    "insert_ticket",
    "is_anothers",
    "keep_lane",
    "latest_lines",
    "lock_ticket",
    "message_heard",
    "note_assignee",
    "note_state",
    "own_refs",
    "read_ticket",
    "renew_post",
    "replace_ticket",
    "stored_files",
    "ticket_of",
]


# --- tickets ----------------------------------------------------------------------------------------


def read_ticket(row: Any) -> Ticket:
    """A row of tickets as connectors know it."""
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
    return (rows[0]["case_number"], read_ticket(rows[0])) if rows else None


async def ticket_of(db: Database, destination: str, ref: str) -> Ticket | None:
    """The ticket with that id there."""
    rows = await db.fetch(
        "SELECT ref, facts, state, assignee FROM tickets WHERE destination = $1 AND ref = $2",
        destination,
        ref,
    )
    return read_ticket(rows[0]) if rows else None


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


async def replace_ticket(
    tx: Transaction, destination: str, conversation_id: UUID, ref: str, successor: str
) -> None:
    """The helpdesk has deleted the ticket *ref*: what agents said there and is not handled belongs to its
    *successor*, and what was put into it is nowhere."""
    await tx.fetch(
        "UPDATE desk_messages SET ticket = $3 WHERE destination = $1 AND ticket = $2 "
        "AND state IN ('waiting', 'refused')",
        destination,
        ref,
        successor,
    )
    await tx.fetch(
        "UPDATE desk_posts SET ticket = NULL "
        "WHERE destination = $1 AND conversation_id = $2 AND ticket = $3",
        destination,
        conversation_id,
        ref,
    )
    await tx.fetch("DELETE FROM tickets WHERE destination = $1 AND ref = $2", destination, ref)


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
    return (rows[0]["conversation_id"], read_ticket(rows[0])) if rows else None


async def keep_lane(db: Database, lane_id: int, epoch: int) -> bool:
    """Renew the lease of a delivery lane while a helpdesk is spoken to; False: it is another's."""
    rows = await db.fetch(
        f"UPDATE lanes SET lease_until = clock_timestamp() + {LEASE} "
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


async def renew_post(db: Database, destination: str, keys: Sequence[str], at: datetime) -> None:
    """Posts that were begun before are begun again."""
    await db.fetch(
        "UPDATE desk_posts SET at = $3 WHERE destination = $1 AND key = ANY($2::text[]) AND NOT done",
        destination,
        list(keys),
        at,
    )


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


async def forget_made(db: Database, destination: str, key: str) -> None:
    """The ticket that was made under *key* is no more: another may be made."""
    await db.fetch(
        "DELETE FROM desk_posts WHERE destination = $1 AND key = $2 AND done", destination, key
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
    """The latest messages, the newest first: id, direction, who, text, status, created_at.

    Many platforms name nobody in a message; then a customer has the contact's name.
    """
    return await db.fetch(
        "SELECT m.id, m.direction, m.body->>'text' AS text, m.status, m.created_at, "
        "coalesce(m.body->'sender'->>'name', "
        "CASE WHEN m.direction = 'inbound' AND NOT c.is_group THEN t.name END) AS who "
        "FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "LEFT JOIN contacts t ON t.id = c.contact_id "
        "WHERE m.conversation_id = $1 ORDER BY m.seq DESC LIMIT $2",
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
    return (rows[0]["said"], read_ticket(rows[0])) if rows else None
