"""Many replies at once: what taking them in reads, and the one statement that writes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Transaction
from hub.store.feed import Addressed, lane_columns, places_behind
from hub.store.idempotency import Kept
from hub.store.outbox import NewDraft

__all__ = ["Asking", "NewReply", "facts_of", "lock_free", "store"]


class Asking(NamedTuple):
    """A reply to that conversation is asked for; *lock* is its key's (:func:`idempotency.lock_of`)."""

    conversation_id: UUID
    token_id: UUID | None = None
    key: str | None = None
    lock: int | None = None


async def lock_free(tx: Transaction, asking: Sequence[Asking]) -> list[Any]:
    """Lock those conversations that nobody else has locked; never waits. One may be named several times.

    Returns the conversation's row for each, with ``lock``, ``ours`` (nobody else works under its key) and
    ``used`` (the key is known; one used at this very moment may be missed, and :func:`store` tells).
    """
    return await tx.fetch(
        "SELECT c.*, u.lock, u.lock IS NULL OR pg_try_advisory_xact_lock(u.lock) AS ours, "
        "EXISTS (SELECT FROM idempotency_keys k WHERE k.token_id = u.token AND k.key = u.key) AS used "
        "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) AS u (id, token, key, lock) "
        "JOIN conversations c ON c.id = u.id ORDER BY c.id FOR UPDATE OF c SKIP LOCKED",
        *[list(column) for column in zip(*asking, strict=True)],
    )


async def facts_of(tx: Transaction, conversations: Sequence[UUID]) -> list[Any]:
    """Of each of the locked *conversations*: ``withdrawn_at``, and ``held``: whether a reply waits in it."""
    return await tx.fetch(
        "SELECT c.id, w.at AS withdrawn_at, EXISTS (SELECT FROM messages m "
        "WHERE m.conversation_id = c.id AND m.direction = 'outbound' AND m.status = 'held') AS held "
        "FROM conversations c LEFT JOIN consents w ON w.account = c.account AND w.state = 'withdrawn' "
        "AND w.scheme = c.address_scheme AND w.scope = c.address_scope AND w.value = c.address_value "
        "WHERE c.id = ANY($1::uuid[])",
        conversations,
    )


class NewReply(NamedTuple):
    """A queued reply to be: *body* and *context* are JSON, *event_body* is what its event tells."""

    id: UUID
    conversation_id: UUID
    seq: int
    kind: str
    body: str
    context: str
    event_id: UUID
    event_body: bytes


STORE = """
WITH m AS (
    SELECT u.*, c.account, c.channel, c.queue
    FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::uuid[],
                $9::bytea[])
         WITH ORDINALITY AS u (id, conversation, seq, kind, body, context, event, event_body, ordinal)
    JOIN conversations c ON c.id = u.conversation
), counted AS (
    UPDATE conversations c SET last_seq = n.seq, updated_at = $1
    FROM (SELECT conversation, max(seq) AS seq FROM m GROUP BY conversation) n WHERE c.id = n.conversation
), said AS (
    INSERT INTO messages (id, conversation_id, seq, account, channel, direction, kind, dedupe_key, body,
                          reply_context, status, status_at, created_at)
    SELECT id, conversation, seq, account, channel, 'outbound', kind, id::text, body::jsonb, context::jsonb,
           'queued', $1, $1 FROM m
), calls AS (
    INSERT INTO drafts (id, message_id, position, role, call, state, tries, results)
    SELECT u.id, u.message, u.position, u.role, u.call::jsonb, 'queued', 0, '{}'
    FROM unnest($10::uuid[], $11::uuid[], $12::smallint[], $13::text[], $14::text[])
         AS u (id, message, position, role, call)
), published AS (
    INSERT INTO events (id, type, account, queue, conversation_id, message_id, body, created_at)
    SELECT event, 'message.status', account, queue, conversation, id, event_body, $1 FROM m ORDER BY ordinal
), raised AS (
    INSERT INTO lanes AS l (kind, target, conversation_id, wanted, handled, epoch, lease_until, next_at)
    SELECT u.kind, u.target, u.conversation, u.count, 0, 0, '-infinity', clock_timestamp()
    FROM unnest($15::text[], $16::text[], $17::uuid[], $18::bigint[]) AS u (kind, target, conversation, count)
    ON CONFLICT (kind, target, conversation_id) DO UPDATE SET wanted = l.wanted + excluded.wanted
    RETURNING id, kind, target, conversation_id, wanted
), delivered AS (
    INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at)
    SELECT u.id, r.id, r.wanted - u.behind, u.destination, u.event, 0, 0, false, $1
    FROM unnest($19::uuid[], $20::text[], $21::uuid[], $22::uuid[], $23::bigint[])
         AS u (id, destination, conversation, event, behind)
    JOIN raised r ON r.kind = 'deliver' AND r.target = u.destination AND r.conversation_id = u.conversation
), kept AS (
    INSERT INTO idempotency_keys (token_id, key, request_sha256, status, answer, created_at)
    SELECT u.token, u.key, u.sha256, 202, u.answer, $1
    FROM unnest($24::uuid[], $25::text[], $26::text[], $27::bytea[]) AS u (token, key, sha256, answer)
    ON CONFLICT (token_id, key) DO NOTHING RETURNING id
)
SELECT count(*) AS kept FROM kept
"""


async def store(
    tx: Transaction,
    replies: Sequence[NewReply],
    drafts: Sequence[NewDraft],
    lanes: Sequence[tuple[str, UUID]],
    addressed: Sequence[Addressed],
    kept: Sequence[Kept],
    at: datetime,
) -> bool:
    """Write *replies* to conversations that this transaction has locked, and all that belongs to them.

    *lanes* are the (account, conversation) pairs that have one thing more to say, *addressed* the events of
    the replies for their destinations. False: a key is known already, and all is to be undone.
    """
    rows = await tx.fetch(
        STORE,
        at,
        *_columns(replies, 8),
        [new_id() for _ in drafts],
        *_columns(drafts, 4),
        *lane_columns(addressed, lanes),
        [new_id() for _ in addressed],
        *_columns(addressed, 3),
        places_behind(addressed),
        *_columns(kept, 4),
    )
    return bool(rows[0]["kept"] == len(kept))


def _columns(rows: Sequence[Any], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * count
