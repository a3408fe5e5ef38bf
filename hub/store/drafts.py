"""Drafts on their way, as rows: the intent, the outcome, a person's word, and what time decides."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.store.database import Database, Transaction
from hub.store.ledger import Reader
from hub.text import clean

__all__ = [
    "Intent",
    "begin_draft",
    "cancel_waiting_drafts",
    "drafts_ready",
    "expired_held",
    "finish_draft",
    "force",
    "forget_prepared",
    "give_back",
    "insert_exchanges",
    "place_of",
    "remove_drafts",
    "requeue_drafts",
    "shown",
    "stale_reviews",
    "stale_unknown",
]


class Intent(NamedTuple):
    """Who is about to make a draft's call, from which allowance, as which of its calls."""

    draft_id: UUID
    epoch: int
    worker: str
    allowance_id: UUID | None
    turn: int | None


async def begin_draft(tx: Transaction, intent: Intent, at: datetime) -> bool:
    """Write that the call is about to be made; False when the draft does not wait any more."""
    rows = await tx.fetch(
        "UPDATE drafts SET state = 'sending', epoch = $2, worker = $3, allowance_id = $4, turn = $5, "
        "started_at = $6, finished_at = NULL, tries = tries + 1 "
        "WHERE id = $1 AND state = 'queued' RETURNING id",
        *intent,
        at,
    )
    return bool(rows)


async def finish_draft(
    tx: Transaction,
    draft_id: UUID,
    state: str,
    at: datetime,
    *,
    external_id: str | None = None,
    results: str = "{}",
    error: str | None = None,
) -> None:
    """Write what became of the call; a report that came meanwhile and says more is kept."""
    await tx.fetch(
        "UPDATE drafts SET state = CASE WHEN state IN ('sending', 'unknown', 'queued') THEN $2 "
        "ELSE state END, finished_at = $3, external_id = COALESCE($4, external_id), "
        "results = $5::jsonb, error = $6::jsonb WHERE id = $1",
        draft_id,
        state,
        at,
        external_id,
        results,
        error,
    )


async def give_back(
    tx: Transaction, draft_id: UUID, at: datetime, *, keep_allowance: bool, counts: bool, error: str
) -> bool:
    """Let a draft whose call did not go through wait again; *counts* says whether it was a try.

    False: it waits, or is settled, already.
    """
    rows = await tx.fetch(
        "UPDATE drafts SET state = 'queued', finished_at = $2, error = $5::jsonb, "
        "allowance_id = CASE WHEN $3 THEN allowance_id END, turn = CASE WHEN $3 THEN turn END, "
        "tries = CASE WHEN $4 THEN tries ELSE GREATEST(tries - 1, 0) END "
        "WHERE id = $1 AND state IN ('sending', 'unknown') RETURNING id",
        draft_id,
        at,
        keep_allowance,
        counts,
        error,
    )
    return bool(rows)


async def cancel_waiting_drafts(tx: Transaction, messages: Iterable[UUID], at: datetime) -> None:
    """Give up what has not gone out of *messages*, which are locked."""
    await tx.fetch(
        "UPDATE drafts SET state = 'cancelled', finished_at = $2 "
        "WHERE message_id = ANY($1::uuid[]) AND state = 'queued'",
        list(messages),
        at,
    )


async def remove_drafts(tx: Transaction, message_id: UUID) -> None:
    """Make room for drafts that are composed again; none of them has left."""
    await tx.fetch("DELETE FROM drafts WHERE message_id = $1 AND state = 'queued'", message_id)


async def drafts_ready(db: Database, account: str, fingerprint: str) -> list[Any]:
    """The newest results of an equal prepare of the account: results, finished_at."""
    return await db.fetch(
        "SELECT d.results, d.finished_at FROM drafts d JOIN messages m ON m.id = d.message_id "
        "WHERE d.call->>'fingerprint' = $2 AND d.role = 'prepare' AND d.state = 'sent' "
        "AND m.account = $1 ORDER BY d.finished_at DESC LIMIT 1",
        account,
        fingerprint,
    )


async def insert_exchanges(
    db: Database, subject_id: UUID, exchanges: Sequence[tuple[Any, ...]]
) -> None:
    """Keep redacted HTTP: (at, method, url, status, request, answer, error, duration in ms)."""
    await db.fetch(
        "INSERT INTO exchanges (subject_id, at, method, url, status, request, answer, error, duration_ms) "
        "SELECT $1, u.* FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::int[], $6::text[], "
        "$7::text[], $8::text[], $9::int[]) AS u",
        subject_id,
        *[
            [clean(value) if isinstance(value, str) else value for value in column]
            for column in zip(*exchanges, strict=True)
        ],
    )


# --- a person's word ------------------------------------------------------------------------------


async def forget_prepared(tx: Transaction, message_id: UUID, account: str) -> None:
    """Let the prepares of a locked message be made again, and let nobody use what they had brought."""
    await tx.fetch(
        "UPDATE drafts d SET call = d.call - 'fingerprint' FROM messages m "
        "WHERE m.id = d.message_id AND m.account = $2 AND d.role = 'prepare' AND d.state = 'sent' "
        "AND d.message_id <> $1 AND d.call->>'fingerprint' IN (SELECT o.call->>'fingerprint' "
        "FROM drafts o WHERE o.message_id = $1 AND o.role = 'prepare')",
        message_id,
        account,
    )
    await tx.fetch(
        "UPDATE drafts SET state = 'queued', results = '{}' "
        "WHERE message_id = $1 AND role = 'prepare' AND state = 'sent'",
        message_id,
    )


async def requeue_drafts(tx: Transaction, message_id: UUID) -> None:
    """Let what is unknown of a locked message be sent again, as if it had never been tried.

    What it had taken from an allowance stays taken: it may have gone out.
    """
    await tx.fetch(
        "UPDATE drafts SET state = 'queued', tries = 0, allowance_id = NULL, turn = NULL, error = NULL "
        "WHERE message_id = $1 AND state IN ('unknown', 'queued')",
        message_id,
    )


async def force(tx: Transaction, message_id: UUID) -> None:
    """Note that a person wants the reply tried now, whoever waits before it."""
    await tx.fetch(
        "UPDATE messages SET reply_context = reply_context || '{\"forced\": true}' "
        "WHERE id = $1 AND reply_context <> '{}'",
        message_id,
    )


async def place_of(reader: Reader, message_id: UUID) -> UUID | None:
    """The conversation of that outbound message; None when there is no such message."""
    rows = await reader.fetch(
        "SELECT conversation_id FROM messages WHERE id = $1 AND direction = 'outbound'", message_id
    )
    return rows[0]["conversation_id"] if rows else None


async def shown(reader: Reader, message_id: UUID) -> str | None:
    """The outbound message as the API shows it, or None."""
    rows = await reader.fetch(
        "SELECT body FROM messages WHERE id = $1 AND direction = 'outbound'", message_id
    )
    return rows[0]["body"] if rows else None


# --- sweeps ---------------------------------------------------------------------------------------


async def stale_unknown(tx: Transaction, since: datetime) -> list[Any]:
    """Messages unknown since before *since* of which parts wait, locked."""
    return await tx.fetch(
        "SELECT m.id, m.account, m.conversation_id FROM messages m WHERE m.direction = 'outbound' "
        "AND m.status = 'unknown' AND m.status_at <= $1 AND EXISTS (SELECT FROM drafts d "
        "WHERE d.message_id = m.id AND d.state = 'queued') "
        "ORDER BY m.id LIMIT 100 FOR UPDATE OF m SKIP LOCKED",
        since,
    )


async def stale_reviews(tx: Transaction, since: datetime) -> list[Any]:
    """Messages that a platform reviews since before *since*, locked; their drafts are unknown now."""
    rows = await tx.fetch(
        "SELECT m.id, m.account, m.conversation_id FROM messages m WHERE m.direction = 'outbound' "
        "AND m.status = 'held' AND m.status_at <= $1 AND EXISTS (SELECT FROM drafts d "
        "WHERE d.message_id = m.id AND d.state = 'held') "
        "ORDER BY m.id LIMIT 100 FOR UPDATE OF m SKIP LOCKED",
        since,
    )
    if rows:
        await tx.fetch(
            "UPDATE drafts SET state = 'unknown' WHERE message_id = ANY($1::uuid[]) AND state = 'held'",
            [row["id"] for row in rows],
        )
    return rows


async def expired_held(tx: Transaction, since: datetime, accounts: Sequence[str]) -> list[Any]:
    """Replies held for the customer since before *since*, or of an account that is gone, locked."""
    return await tx.fetch(
        "SELECT m.id, m.account, m.conversation_id, m.status_at <= $1 AS expired FROM messages m "
        "WHERE m.direction = 'outbound' AND m.status = 'held' "
        "AND (m.status_at <= $1 OR m.account <> ALL($2::text[])) "
        "AND NOT EXISTS (SELECT FROM drafts d WHERE d.message_id = m.id AND d.state = 'held') "
        "ORDER BY m.id LIMIT 100 FOR UPDATE OF m SKIP LOCKED",
        since,
        list(accounts),
    )
