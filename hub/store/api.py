"""What the API reads and the little that it writes; every look-up carries its scope.

*queues* everywhere: the queues that the caller may see; None for all. What is not the caller's is not
found, as if it were not there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.store.database import Database, Transaction

__all__ = [
    "ConversationFilter",
    "DeliveryFilter",
    "attachment",
    "attachments_of",
    "change_conversation",
    "conversation",
    "conversations",
    "deliveries",
    "feed_head",
    "feed_oldest",
    "feed_page",
    "lock_conversation",
    "message",
    "messages",
    "outbound_queue",
    "try_commit",
]

Queues = Sequence[str] | None


async def try_commit(db: Database) -> None:
    """Make a commit that has to reach the disk, and leaves no row.

    Raises:
        OSError: the database takes no writes; besides what ``AWAY`` lists.
    """
    rows = await db.fetch(
        "SELECT current_setting('transaction_read_only') AS read_only, "
        "pg_logical_emit_message(true, 'hub.ready', '')"
    )
    if rows[0]["read_only"] == "on":
        raise OSError("the database is read-only")


# --- conversations ----------------------------------------------------------------------------------

_CONVERSATION = (
    "SELECT c.id, c.account, c.channel, c.thread_key, c.contact_id, c.address_scheme, c.address_scope, "
    "c.address_value, c.is_group, c.queue, c.state, c.case_number, c.last_seq, c.subject, c.tags, "
    "c.assignee, c.last_inbound_at, c.created_at, c.updated_at, t.name AS contact_name "
    "FROM conversations c LEFT JOIN contacts t ON t.id = c.contact_id "
)


class ConversationFilter(NamedTuple):
    """Which conversations are wanted; None: any. *before* is where the last page ended."""

    state: str | None = None
    queue: str | None = None
    account: str | None = None
    tag: str | None = None
    before: tuple[datetime, UUID] | None = None
    contact: UUID | None = None


async def conversations(
    db: Database, queues: Queues, wanted: ConversationFilter, limit: int
) -> list[Any]:
    """Conversations, the one that changed last first."""
    at, last = wanted.before or (None, None)
    return await db.fetch(
        _CONVERSATION + "WHERE ($1::text[] IS NULL OR c.queue = ANY($1)) "
        "AND ($2::text IS NULL OR c.state = $2) AND ($3::text IS NULL OR c.queue = $3) "
        "AND ($4::text IS NULL OR c.account = $4) "
        "AND ($5::text IS NULL OR c.tags @> to_jsonb(ARRAY[$5])) "
        "AND ($6::timestamptz IS NULL OR (c.updated_at, c.id) < ($6, $7::uuid)) "
        "AND ($9::uuid IS NULL OR c.contact_id = $9) "
        "ORDER BY c.updated_at DESC, c.id DESC LIMIT $8",
        queues,
        wanted.state,
        wanted.queue,
        wanted.account,
        wanted.tag,
        at,
        last,
        limit,
        wanted.contact,
    )


async def conversation(
    reader: Database | Transaction, queues: Queues, conversation_id: UUID
) -> Any | None:
    """One conversation."""
    rows = await reader.fetch(
        _CONVERSATION + "WHERE c.id = $2 AND ($1::text[] IS NULL OR c.queue = ANY($1))",
        queues,
        conversation_id,
    )
    return rows[0] if rows else None


async def lock_conversation(tx: Transaction, queues: Queues, conversation_id: UUID) -> Any | None:
    """One conversation, locked."""
    rows = await tx.fetch(
        _CONVERSATION
        + "WHERE c.id = $2 AND ($1::text[] IS NULL OR c.queue = ANY($1)) FOR UPDATE OF c",
        queues,
        conversation_id,
    )
    return rows[0] if rows else None


async def change_conversation(
    tx: Transaction,
    conversation_id: UUID,
    queue: str,
    state: str,
    tags: Sequence[str],
    assignee: str | None,
    at: datetime,
) -> None:
    """Write what a person changed in a locked conversation."""
    await tx.fetch(
        "UPDATE conversations SET queue = $2, state = $3, tags = $4::jsonb, assignee = $5, "
        "updated_at = $6 WHERE id = $1",
        conversation_id,
        queue,
        state,
        msgspec.json.encode(list(tags)).decode(),
        assignee,
        at,
    )


# --- messages ---------------------------------------------------------------------------------------

_MESSAGE = (
    "SELECT m.id, m.conversation_id, m.seq, m.direction, m.body, m.status, m.status_at, m.error, "
    "m.account, m.channel, c.queue FROM messages m JOIN conversations c ON c.id = m.conversation_id "
)


async def messages(
    db: Database,
    queues: Queues,
    conversation_id: UUID,
    *,
    after: int | None,
    before: int | None,
    newest_first: bool,
    limit: int,
) -> list[Any]:
    """Messages of a conversation by number, between *after* and *before* (both outside)."""
    return await db.fetch(
        _MESSAGE + "WHERE m.conversation_id = $2 AND ($1::text[] IS NULL OR c.queue = ANY($1)) "
        "AND ($3::bigint IS NULL OR m.seq > $3) AND ($4::bigint IS NULL OR m.seq < $4) "
        f"ORDER BY m.seq {'DESC' if newest_first else 'ASC'} LIMIT $5",
        queues,
        conversation_id,
        after,
        before,
        limit,
    )


async def replies(
    db: Database, queues: Queues, status: str, account: str | None, before: UUID | None, limit: int
) -> list[Any]:
    """Outbound messages in that *status*, the newest first."""
    return await db.fetch(
        _MESSAGE + "WHERE m.direction = 'outbound' AND m.status = $2 "
        "AND ($1::text[] IS NULL OR c.queue = ANY($1)) AND ($3::text IS NULL OR m.account = $3) "
        "AND ($4::uuid IS NULL OR m.id < $4) ORDER BY m.id DESC LIMIT $5",
        queues,
        status,
        account,
        before,
        limit,
    )


async def message(db: Database, queues: Queues, message_id: UUID) -> Any | None:
    """One message."""
    rows = await db.fetch(
        _MESSAGE + "WHERE m.id = $2 AND ($1::text[] IS NULL OR c.queue = ANY($1))",
        queues,
        message_id,
    )
    return rows[0] if rows else None


async def outbound_queue(db: Database, queues: Queues, message_id: UUID) -> str | None:
    """The queue of an outbound message; None when there is no such message for the caller."""
    rows = await db.fetch(
        "SELECT c.queue FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.id = $2 AND m.direction = 'outbound' AND ($1::text[] IS NULL OR c.queue = ANY($1))",
        queues,
        message_id,
    )
    return rows[0]["queue"] if rows else None


# --- attachments ------------------------------------------------------------------------------------

_ATTACHMENT = (
    "SELECT a.id, a.message_id, a.kind, a.mime_type, a.filename, a.size_bytes, a.sha256, a.state, "
    "a.error, a.created_at FROM attachments a "
)


async def attachments_of(db: Database, message_ids: Sequence[UUID]) -> list[Any]:
    """The attachments of messages that the caller has found in its scope."""
    if not message_ids:
        return []
    return await db.fetch(
        _ATTACHMENT + "WHERE a.message_id = ANY($1::uuid[]) ORDER BY a.id", list(message_ids)
    )


async def attachment(
    db: Database, queues: Queues, token_id: UUID | None, attachment_id: UUID
) -> Any | None:
    """One attachment: of a message in scope, or one that the token *token_id* uploaded itself."""
    rows = await db.fetch(
        _ATTACHMENT + "LEFT JOIN messages m ON m.id = a.message_id "
        "LEFT JOIN conversations c ON c.id = m.conversation_id WHERE a.id = $3 AND "
        "($1::text[] IS NULL OR c.queue = ANY($1) OR (a.message_id IS NULL AND a.token_id = $2))",
        queues,
        token_id,
        attachment_id,
    )
    return rows[0] if rows else None


# --- the feed ---------------------------------------------------------------------------------------

SCAN = 2000


async def feed_page(
    db: Database, queues: Queues, types: Sequence[str] | None, after: tuple[int, int], limit: int
) -> list[Any]:
    """Events after (transaction id, position), up to *limit* visible ones among the next 2,000.

    Only transactions older than every one that still runs are read, so nothing can appear before a
    cursor later. Rows that are not the caller's come without a body: they move the cursor only.
    """
    return await db.fetch(
        "SELECT page.xid::text AS xid, position, id, created_at, visible, body FROM ("
        "SELECT e.xid, e.position, e.id, e.created_at, v.visible, "
        "CASE WHEN v.visible THEN e.body END AS body, "
        "count(*) FILTER (WHERE v.visible) OVER (ORDER BY e.xid, e.position) AS n "
        "FROM (SELECT * FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) "
        "AND (xid, position) > ($3::text::xid8, $4::bigint) ORDER BY xid, position LIMIT $6) e, "
        "LATERAL (SELECT (e.queue IS NULL OR $1::text[] IS NULL OR e.queue = ANY($1)) "
        "AND ($2::text[] IS NULL OR e.type = ANY($2)) AS visible) v) page "
        "WHERE n <= $5 ORDER BY page.xid, page.position",
        queues,
        types,
        str(after[0]),
        after[1],
        limit,
        limit if queues is None and types is None else max(SCAN, limit),
    )


async def feed_head(db: Database) -> tuple[int, int]:
    """Where the readable part of the feed ends now."""
    rows = await db.fetch(
        "SELECT e.xid::text AS xid, e.position FROM events e WHERE "
        "e.xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid DESC, e.position DESC LIMIT 1"
    )
    return (int(rows[0]["xid"]), rows[0]["position"]) if rows else (0, 0)


async def feed_oldest(db: Database, since: UUID) -> tuple[int, int]:
    """The place just before the first events whose ids are not below *since* (ids sort by time).

    Transactions that ran at the same moment stand in the feed in another order than their ids; where
    nothing is older, it is before all.
    """
    rows = await db.fetch(
        "SELECT f.xid::text AS xid, f.position FROM ("
        "(SELECT xid, position FROM events WHERE id >= $1 ORDER BY id LIMIT 1000) UNION ALL "
        "(SELECT xid, position FROM events WHERE NOT EXISTS (SELECT 1 FROM events WHERE id < $1) "
        "ORDER BY xid, position LIMIT 1)) f ORDER BY f.xid, f.position LIMIT 1",
        since,
    )
    return (int(rows[0]["xid"]), rows[0]["position"] - 1) if rows else await feed_head(db)


# --- deliveries -------------------------------------------------------------------------------------


class DeliveryFilter(NamedTuple):
    """Which deliveries are wanted; None: any. *before* is where the last page ended."""

    state: int | None = None
    destination: str | None = None
    account: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[UUID] | None = None
    before: UUID | None = None
    oldest_first: bool = False


async def deliveries(db: Database, queues: Queues, wanted: DeliveryFilter, limit: int) -> list[Any]:
    """Deliveries with their events' facts, the newest first unless asked otherwise."""
    values: list[Any] = [queues]
    terms = ["($1::text[] IS NULL OR e.queue IS NULL OR e.queue = ANY($1))"]
    if wanted.state is not None:  # as a constant: only so the index of unfinished rows is used
        terms.append(f"d.state = {int(wanted.state)}")
    for term, value in (
        ("d.destination = ${}", wanted.destination),
        ("e.account = ${}", wanted.account),
        ("e.type = ${}", wanted.type),
        ("d.created_at >= ${}", wanted.since),
        ("d.created_at < ${}", wanted.until),
        ("d.id = ANY(${}::uuid[])", None if wanted.ids is None else list(wanted.ids)),
        ("d.id < ${}", wanted.before),
    ):
        if value is not None:
            values.append(value)
            terms.append(term.format(len(values)))
    values.append(limit)
    return await db.fetch(
        "SELECT d.id, d.lane_id, d.n, d.destination, d.event_id, d.state, d.tries, d.replayed, d.error, "
        "d.created_at, d.first_tried_at, d.finished_at, e.type, e.account, e.queue, e.conversation_id, "
        "e.message_id FROM deliveries d JOIN events e ON e.id = d.event_id "
        f"WHERE {' AND '.join(terms)} ORDER BY d.id {'ASC' if wanted.oldest_first else 'DESC'} "
        f"LIMIT ${len(values)}",
        *values,
    )
