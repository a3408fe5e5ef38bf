"""Everything that happened to one message, as rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from hub.store.database import Database

__all__ = ["TraceRows", "find_message", "trace_rows"]


class TraceRows(NamedTuple):
    """What is kept of one message."""

    message: Any
    inbox: Sequence[Any]
    attachments: Sequence[Any]
    drafts: Sequence[Any]
    receipts: Sequence[Any]
    events: Sequence[Any]
    deliveries: Sequence[Any]
    attempts: Sequence[Any]
    exchanges: Sequence[Any]


async def find_message(db: Database, key: UUID | None, text: str) -> UUID | None:
    """The message behind an id of a message, event or delivery, or behind a platform's own id."""
    rows = await db.fetch(
        "SELECT m.id FROM messages m WHERE m.id = $1 "
        "UNION ALL SELECT e.message_id FROM events e WHERE e.id = $1 AND e.message_id IS NOT NULL "
        "UNION ALL SELECT e.message_id FROM deliveries d JOIN events e ON e.id = d.event_id "
        "WHERE d.id = $1 AND e.message_id IS NOT NULL "
        "UNION ALL SELECT i.message_id FROM message_ids i WHERE i.external_id = $2 "
        "AND i.message_id IS NOT NULL LIMIT 1",
        key,
        text,
    )
    return rows[0]["id"] if rows else None


async def trace_rows(
    db: Database, queues: Sequence[str] | None, message_id: UUID
) -> TraceRows | None:
    """What is kept of the message; None when it is not there for the caller."""
    found = await db.fetch(
        "SELECT m.id, m.conversation_id, m.seq, m.account, m.channel, m.direction, m.kind, m.external_id, "
        "m.body, m.status, m.status_at, m.error, m.inbox_id, m.created_at, c.queue FROM messages m "
        "JOIN conversations c ON c.id = m.conversation_id "
        "WHERE m.id = $2 AND ($1::text[] IS NULL OR c.queue = ANY($1))",
        queues,
        message_id,
    )
    if not found:
        return None
    message = found[0]
    drafts = await db.fetch(
        "SELECT id, position, role, call, state, worker, tries, started_at, finished_at, external_id, "
        "error FROM drafts WHERE message_id = $1 ORDER BY position",
        message_id,
    )
    events = await db.fetch(
        "SELECT id, type, created_at FROM events WHERE message_id = $1 "
        "AND conversation_id = $2 ORDER BY id",
        message_id,
        message["conversation_id"],
    )
    deliveries = await db.fetch(
        "SELECT id, event_id, lane_id, n, destination, state, tries, replayed, error, created_at, "
        "first_tried_at, finished_at FROM deliveries WHERE event_id = ANY($1::uuid[]) ORDER BY id",
        [row["id"] for row in events],
    )
    return TraceRows(
        message,
        await _inbox(db, message["inbox_id"]),
        await db.fetch(
            "SELECT id, kind, state, size_bytes, error, created_at FROM attachments "
            "WHERE message_id = $1 ORDER BY id",
            message_id,
        ),
        drafts,
        await db.fetch(
            "SELECT external_id, body, created_at FROM receipts WHERE message_id = $1 ORDER BY id",
            message_id,
        ),
        events,
        deliveries,
        await db.fetch(
            "SELECT delivery_id, at, status, error, duration_ms, answer FROM attempts "
            "WHERE delivery_id = ANY($1::uuid[]) ORDER BY id",
            [row["id"] for row in deliveries],
        ),
        await db.fetch(
            "SELECT subject_id, at, method, url, status, request, answer, error, duration_ms "
            "FROM exchanges WHERE subject_id = ANY($1::uuid[]) ORDER BY id",
            [message_id, *(row["id"] for row in drafts), *(row["id"] for row in deliveries)],
        ),
    )


async def _inbox(db: Database, inbox_id: int | None) -> Sequence[Any]:
    if inbox_id is None:
        return ()
    return await db.fetch(
        "SELECT id, dedupe_key, headers, octet_length(body) AS size, "
        "substring(body FROM 1 FOR 8000) AS start, proof, received_at, state, error, partition "
        "FROM inbox WHERE id = $1",
        inbox_id,
    )
