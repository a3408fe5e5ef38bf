"""Attachments as rows: fetched, uploaded, served."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub.store.database import Database, Transaction
from hub.text import clean

__all__ = [
    "FileRow",
    "Outcome",
    "Place",
    "claim",
    "due",
    "finish",
    "insert_upload",
    "load",
    "place_of",
    "put_off",
]

CLAIM = "interval '3 minutes'"
"""A fetch that has not ended by then has crashed; it may be tried again."""

_COLUMNS = (
    "a.id, a.message_id, a.account, a.kind, a.mime_type, a.filename, a.size_bytes, a.sha256, a.state, "
    "a.source, a.tries, EXTRACT(EPOCH FROM clock_timestamp() - a.created_at)::float8 AS age_s"
)


class FileRow(NamedTuple):
    """An attachment; *tries* tells whose claim it is, *age_s* is in seconds."""

    id: UUID
    message_id: UUID | None
    account: str | None
    kind: Any
    mime_type: str | None
    filename: str | None
    size_bytes: int | None
    sha256: str | None
    state: Any
    source: Mapping[str, Any]
    tries: int
    age_s: float


class Outcome(NamedTuple):
    """What became of a file for good."""

    state: str
    error: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    mime_type: str | None = None


class Place(NamedTuple):
    """The message that an attachment belongs to, and where that stands."""

    direction: str
    conversation_id: UUID
    queue: str


def _row(row: Any) -> FileRow:
    values = dict(row)
    values["source"] = msgspec.json.decode(row["source"])
    return FileRow(**values)


async def due(db: Database, limit: int = 100) -> list[UUID]:
    """Attachments that wait to be fetched, the longest waiting first."""
    rows = await db.fetch(
        "SELECT id FROM attachments WHERE state = 'pending' AND next_at <= clock_timestamp() "
        "ORDER BY next_at LIMIT $1",
        limit,
    )
    return [row["id"] for row in rows]


async def claim(db: Database, attachment_id: UUID) -> FileRow | None:
    """The attachment, to be fetched by the caller alone; None when it is not due."""
    rows = await db.fetch(
        f"UPDATE attachments a SET tries = tries + 1, next_at = clock_timestamp() + {CLAIM} "
        "WHERE id = $1 AND state = 'pending' AND next_at <= clock_timestamp() "
        f"RETURNING {_COLUMNS}",
        attachment_id,
    )
    return _row(rows[0]) if rows else None


async def load(db: Database, attachment_id: UUID) -> FileRow | None:
    """The attachment, or None."""
    rows = await db.fetch(f"SELECT {_COLUMNS} FROM attachments a WHERE a.id = $1", attachment_id)
    return _row(rows[0]) if rows else None


async def put_off(db: Database, row: FileRow, error: str, seconds: float) -> None:
    """Try again in so many seconds; nothing if the claim is another's by now."""
    await db.fetch(
        "UPDATE attachments SET error = $3, next_at = clock_timestamp() + make_interval(secs => $4) "
        "WHERE id = $1 AND tries = $2 AND state = 'pending'",
        row.id,
        row.tries,
        clean(error)[:1000],
        seconds,
    )


async def finish(tx: Transaction, row: FileRow, outcome: Outcome) -> bool:
    """Write what became of it; False when the claim is another's by now."""
    rows = await tx.fetch(
        "UPDATE attachments SET state = $3, error = $4, sha256 = $5, size_bytes = $6, "
        "mime_type = COALESCE($7, mime_type), next_at = NULL "
        "WHERE id = $1 AND tries = $2 AND state = 'pending' RETURNING id",
        row.id,
        row.tries,
        outcome.state,
        clean(outcome.error)[:1000] if outcome.error else None,
        outcome.sha256,
        outcome.size_bytes,
        outcome.mime_type,
    )
    return bool(rows)


async def place_of(reader: Database | Transaction, message_id: UUID | None) -> Place | None:
    """Where the attachment's message stands; None for an upload that belongs to none yet."""
    rows = await reader.fetch(
        "SELECT m.direction, m.conversation_id, c.queue FROM messages m "
        "JOIN conversations c ON c.id = m.conversation_id WHERE m.id = $1",
        message_id,
    )
    return Place(*rows[0]) if rows else None


async def insert_upload(
    db: Database,
    attachment_id: UUID,
    token_id: UUID | None,
    kind: str,
    filename: str | None,
    outcome: Outcome,
    at: datetime,
) -> None:
    """Add a file that was uploaded to be sent."""
    await db.fetch(
        "INSERT INTO attachments (id, token_id, kind, mime_type, filename, size_bytes, sha256, state, "
        "source, tries, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '{}', 0, $9)",
        attachment_id,
        token_id,
        kind,
        outcome.mime_type,
        clean(filename) if filename else None,
        outcome.size_bytes,
        outcome.sha256,
        outcome.state,
        at,
    )
