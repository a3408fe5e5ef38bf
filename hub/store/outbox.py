"""Outbound messages, their drafts and their receipts as rows, many at a time.

Locks are taken in this order: conversations, external ids, messages, drafts, allowances, lanes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Transaction
from hub.store.ledger import Reader

__all__ = [
    "DraftChange",
    "NewDraft",
    "NewOutbound",
    "StatusChange",
    "change_drafts",
    "change_messages",
    "drafts_of",
    "early_receipts",
    "insert_drafts",
    "insert_outbound",
    "insert_receipts",
    "lock_external_ids",
    "lock_held",
    "lock_messages",
    "next_seqs",
    "outbound_of",
    "remember_own_ids",
    "settle_receipts",
    "wake",
]


class NewOutbound(NamedTuple):
    """An outbound message to be; *body* and *context* are JSON."""

    id: UUID
    conversation_id: UUID
    seq: int
    account: str
    channel: str
    kind: str
    dedupe_key: str
    body: str
    context: str
    status: str
    error: str | None


class NewDraft(NamedTuple):
    """A draft to be; *call* is the draft as JSON."""

    message_id: UUID
    position: int
    role: str
    call: str


class DraftChange(NamedTuple):
    """What becomes of a draft: None leaves its external id and its error as they are."""

    id: UUID
    state: str
    external_id: str | None
    error: str | None


class StatusChange(NamedTuple):
    """What becomes of a message; *patch* (JSON) goes into its body, *error* None means none."""

    id: UUID
    status: str
    external_id: str | None
    error: str | None
    patch: str


# --- making ---------------------------------------------------------------------------------------


async def next_seqs(
    tx: Transaction, counts: Mapping[UUID, int], at: datetime
) -> Mapping[UUID, int]:
    """Count *counts* messages into their conversations, which the caller has locked or locks here.

    Returns each conversation's last number before them.
    """
    ids = sorted(counts, key=lambda one: one.bytes)
    rows = await tx.fetch(
        "UPDATE conversations c SET last_seq = c.last_seq + u.count, updated_at = $3 "
        "FROM unnest($1::uuid[], $2::bigint[]) AS u (id, count) WHERE c.id = u.id "
        "RETURNING c.id, c.last_seq - u.count AS before",
        ids,
        [counts[one] for one in ids],
        at,
    )
    return {row["id"]: row["before"] for row in rows}


async def insert_outbound(tx: Transaction, messages: Sequence[NewOutbound], at: datetime) -> None:
    """Insert outbound messages."""
    await tx.fetch(
        "INSERT INTO messages (id, conversation_id, seq, account, channel, direction, kind, dedupe_key, "
        "body, reply_context, status, error, status_at, created_at) "
        "SELECT u.id, u.conversation, u.seq, u.account, u.channel, 'outbound', u.kind, u.dedupe_key, "
        "u.body::jsonb, u.context::jsonb, u.status, u.error::jsonb, $12, $12 "
        "FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], "
        "$7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) AS u (id, conversation, seq, "
        "account, channel, kind, dedupe_key, body, context, status, error)",
        *[list(column) for column in zip(*messages, strict=True)],
        at,
    )


async def insert_drafts(tx: Transaction, drafts: Sequence[NewDraft]) -> None:
    """Insert drafts, all of them queued."""
    if not drafts:
        return
    await tx.fetch(
        "INSERT INTO drafts (id, message_id, position, role, call, state, tries, results) "
        "SELECT u.id, u.message, u.position, u.role, u.call::jsonb, 'queued', 0, '{}' "
        "FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[]) "
        "AS u (id, message, position, role, call)",
        [new_id() for _ in drafts],
        *[list(column) for column in zip(*drafts, strict=True)],
    )


# --- changing -------------------------------------------------------------------------------------

_MESSAGE = (
    "SELECT m.id, m.conversation_id, m.seq, m.account, m.channel, m.status, m.status_at, m.external_id, "
    "m.error, m.reply_context, m.created_at, c.queue FROM messages m "
    "JOIN conversations c ON c.id = m.conversation_id "
)


async def lock_messages(tx: Transaction, ids: Iterable[UUID]) -> list[Any]:
    """Those outbound messages, locked, with the queue of their conversation."""
    return await tx.fetch(
        _MESSAGE + "WHERE m.id = ANY($1::uuid[]) AND m.direction = 'outbound' "
        "ORDER BY m.id FOR UPDATE OF m",
        list(ids),
    )


async def lock_held(tx: Transaction, conversations: Iterable[UUID]) -> list[Any]:
    """The replies of *conversations* that wait for the customer, locked.

    Those that the platform itself holds back are not among them: a draft of theirs is out.
    """
    return await tx.fetch(
        _MESSAGE + "WHERE m.direction = 'outbound' AND m.status = 'held' "
        "AND m.conversation_id = ANY($1::uuid[]) "
        "AND NOT EXISTS (SELECT FROM drafts d WHERE d.message_id = m.id AND d.state = 'held') "
        "ORDER BY m.id FOR UPDATE OF m",
        list(conversations),
    )


async def drafts_of(reader: Reader, messages: Iterable[UUID]) -> list[Any]:
    """The drafts of *messages*, in order."""
    return await reader.fetch(
        "SELECT id, message_id, position, role, call, state, epoch, tries, external_id, results, "
        "allowance_id, error, started_at, finished_at FROM drafts WHERE message_id = ANY($1::uuid[]) "
        "ORDER BY message_id, position",
        list(messages),
    )


async def change_drafts(tx: Transaction, changes: Sequence[DraftChange], at: datetime) -> None:
    """Write the new states of drafts whose messages are locked."""
    if not changes:
        return
    await tx.fetch(
        "UPDATE drafts d SET state = u.state, external_id = COALESCE(u.external_id, d.external_id), "
        "error = COALESCE(u.error::jsonb, d.error), finished_at = $5 "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS u (id, state, external_id, error) "
        "WHERE d.id = u.id",
        *[list(column) for column in zip(*changes, strict=True)],
        at,
    )


async def change_messages(
    tx: Transaction, changes: Sequence[StatusChange], at: datetime
) -> list[Any]:
    """Write the new statuses of locked messages; returns what an event of each tells."""
    if not changes:
        return []
    return await tx.fetch(
        "UPDATE messages m SET status = u.status, status_at = $6, error = u.error::jsonb, "
        "external_id = COALESCE(u.external_id, m.external_id), body = m.body || u.patch::jsonb "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) "
        "AS u (id, status, external_id, error, patch), conversations c "
        "WHERE m.id = u.id AND c.id = m.conversation_id "
        "RETURNING m.id, m.account, m.conversation_id, m.seq, m.status, m.body, c.queue",
        *[list(column) for column in zip(*changes, strict=True)],
        at,
    )


async def remember_own_ids(
    tx: Transaction, account: str, conversation_id: UUID, message_id: UUID, ids: Iterable[str]
) -> None:
    """Remember the platform's ids of what we sent, so that answers and reports find it."""
    await tx.fetch(
        "INSERT INTO message_ids (account, external_id, conversation_id, message_id) "
        "SELECT $1, u.id, $3, $4 FROM unnest($2::text[]) AS u (id) ON CONFLICT DO NOTHING",
        account,
        sorted(set(ids)),
        conversation_id,
        message_id,
    )


# --- receipts -------------------------------------------------------------------------------------


async def lock_external_ids(tx: Transaction, ids: Iterable[tuple[str, str]]) -> None:
    """Let nobody else write or look for these (account, external id) pairs until the commit.

    A report and the answer to the call that it reports on may be written at the same moment; each
    would miss the other. The numbers are a hash: a clash only waits.
    """
    keys = sorted({_lock_key(account, external_id) for account, external_id in ids})
    if keys:
        await tx.fetch("SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k", keys)


def _lock_key(account: str, external_id: str) -> int:
    digest = hashlib.sha256(f"receipt\0{account}\0{external_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def insert_receipts(
    tx: Transaction, receipts: Sequence[tuple[str, str, str | None, str]], at: datetime
) -> list[int | None]:
    """Insert receipts: (account, dedupe key, external id, body). The row's id of each, None if known."""
    rows = await tx.fetch(
        "INSERT INTO receipts (account, dedupe_key, external_id, body, created_at) "
        "SELECT u.account, u.dedupe_key, u.external_id, u.body::jsonb, $5 "
        "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) "
        "AS u (account, dedupe_key, external_id, body) "
        "ON CONFLICT (account, dedupe_key) DO NOTHING RETURNING id, account, dedupe_key",
        *[list(column) for column in zip(*receipts, strict=True)],
        at,
    )
    made = {(row["account"], row["dedupe_key"]): row["id"] for row in rows}
    return [made.pop((account, key), None) for account, key, _, _ in receipts]


async def outbound_of(
    reader: Reader, external_ids: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], UUID]:
    """Which outbound message each (account, external id) pair belongs to."""
    if not external_ids:
        return {}
    rows = await reader.fetch(
        "SELECT u.account, u.external_id, m.id FROM unnest($1::text[], $2::text[]) "
        "AS u (account, external_id) "
        "JOIN message_ids i ON i.account = u.account AND i.external_id = u.external_id "
        "JOIN messages m ON m.id = i.message_id AND m.direction = 'outbound' "
        "UNION SELECT u.account, u.external_id, m.id FROM unnest($1::text[], $2::text[]) "
        "AS u (account, external_id) JOIN messages m ON m.account = u.account "
        "AND m.external_id = u.external_id AND m.direction = 'outbound'",
        [account for account, _ in external_ids],
        [external_id for _, external_id in external_ids],
    )
    return {(row["account"], row["external_id"]): row["id"] for row in rows}


async def early_receipts(tx: Transaction, account: str, external_ids: Iterable[str]) -> list[Any]:
    """The receipts that came before their message was known by these ids, oldest first."""
    return await tx.fetch(
        "SELECT id, body FROM receipts WHERE account = $1 AND external_id = ANY($2::text[]) "
        "AND message_id IS NULL ORDER BY id",
        account,
        sorted(set(external_ids)),
    )


async def settle_receipts(tx: Transaction, settled: Sequence[tuple[int, UUID]]) -> None:
    """Note which message each receipt turned out to be about: (receipt, message)."""
    if not settled:
        return
    await tx.fetch(
        "UPDATE receipts r SET message_id = u.message FROM unnest($1::bigint[], $2::uuid[]) "
        "AS u (id, message) WHERE r.id = u.id",
        [receipt for receipt, _ in settled],
        [message for _, message in settled],
    )


async def wake(tx: Transaction, lanes: Iterable[tuple[str, UUID]]) -> None:
    """Let the reply lanes of these (account, conversation) pairs run now, whatever they wait for.

    The caller has raised their ``wanted`` in this transaction, and so holds their locks.
    """
    pairs = list(lanes)
    await tx.fetch(
        "UPDATE lanes l SET next_at = '-infinity' FROM unnest($1::text[], $2::uuid[]) "
        "AS u (account, conversation) WHERE l.kind = 'reply' AND l.target = u.account "
        "AND l.conversation_id = u.conversation",
        [account for account, _ in pairs],
        [conversation for _, conversation in pairs],
    )
