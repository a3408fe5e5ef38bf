"""The lanes of replies and what waits in them.

A holder's every write ends with :func:`fence`, which fails once somebody else has the lane; the lane's
row is locked last, after conversations, messages, drafts and allowances.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.model import Address
from hub.store.database import Database, Transaction
from hub.store.ledger import Reader

__all__ = [
    "Fenced",
    "ReplyLane",
    "Way",
    "announced",
    "attachments_of",
    "claim_attachments",
    "claim_one",
    "claim_replies",
    "conversation",
    "conversation_of_event",
    "conversations_of_contact",
    "earlier_held",
    "earlier_queued",
    "fence",
    "insert_attachment_urls",
    "lock_conversation",
    "message_of",
    "own_attachments",
    "release",
    "renew",
    "said_in_answer",
    "said_lately",
    "waiting_messages",
    "way_to",
]


class Fenced(Exception):
    """Another process holds the lane by now; whatever was to be written is thrown away."""


class ReplyLane(NamedTuple):
    """A lane that is ours while nobody raises its epoch.

    *wanted* is what the lane wanted when it was claimed: all messages that it counts are visible to
    any later read.
    """

    id: int
    account: str
    conversation_id: UUID
    epoch: int
    wanted: int


# --- lanes ----------------------------------------------------------------------------------------

_OURS = (
    "UPDATE lanes SET holder = $1, epoch = epoch + 1, next_at = clock_timestamp(), "
    "lease_until = clock_timestamp() + $2::float8 * interval '1 second' "
)
_RETURNING = "RETURNING lanes.id, lanes.target, lanes.conversation_id, lanes.epoch, lanes.wanted"


def _lane(row: Any) -> ReplyLane:
    return ReplyLane(row["id"], row["target"], row["conversation_id"], row["epoch"], row["wanted"])


async def claim_replies(
    db: Database,
    holder: str,
    lease_s: float,
    *,
    room: int,
    each_account: int,
    busy: Mapping[str, int],
) -> list[ReplyLane]:
    """Take up to *room* waiting lanes, leaving each account at most *each_account* with *busy* ones.

    Those of an account that was stopped wait.
    """
    rows = await db.fetch(
        "WITH want AS (SELECT t.target, GREATEST($4 - COALESCE(b.busy, 0), 0) AS room FROM ("
        "SELECT DISTINCT target FROM lanes WHERE kind = 'reply' AND wanted > handled "
        "AND next_at <= clock_timestamp()) t "
        "LEFT JOIN unnest($5::text[], $6::int[]) AS b (target, busy) ON b.target = t.target "
        "WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.name = t.target AND a.state = 'stopped')"
        "), picked AS (SELECT l.id FROM want w CROSS JOIN LATERAL ("
        "SELECT id FROM lanes WHERE kind = 'reply' AND target = w.target AND wanted > handled "
        "AND lease_until < clock_timestamp() AND next_at <= clock_timestamp() "
        "ORDER BY next_at LIMIT w.room FOR UPDATE SKIP LOCKED) l LIMIT $3) "
        + _OURS
        + "FROM picked WHERE lanes.id = picked.id "
        + _RETURNING,
        holder,
        lease_s,
        room,
        each_account,
        list(busy),
        list(busy.values()),
    )
    return [_lane(row) for row in rows]


async def claim_one(
    db: Database, holder: str, lease_s: float, account: str, conversation_id: UUID
) -> ReplyLane | None:
    """Take the lane of one conversation, making it when there is none; None: somebody holds it."""
    await db.fetch(
        "INSERT INTO lanes (kind, target, conversation_id, wanted, handled, epoch, lease_until, next_at) "
        "VALUES ('reply', $1, $2, 0, 0, 0, '-infinity', '-infinity') ON CONFLICT DO NOTHING",
        account,
        conversation_id,
    )
    rows = await db.fetch(
        _OURS + "WHERE kind = 'reply' AND target = $3 AND conversation_id = $4 "
        "AND lease_until < clock_timestamp() " + _RETURNING,
        holder,
        lease_s,
        account,
        conversation_id,
    )
    return _lane(rows[0]) if rows else None


async def renew(db: Database, lanes: Sequence[ReplyLane], lease_s: float) -> set[int]:
    """Prolong the leases of *lanes*; the ids of those that are still ours."""
    rows = await db.fetch(
        "WITH ours AS (SELECT l.id FROM lanes l JOIN unnest($1::bigint[], $2::bigint[]) AS u (id, epoch) "
        'ON u.id = l.id AND u.epoch = l.epoch ORDER BY l.target COLLATE "C", l.conversation_id '
        "FOR UPDATE OF l) "
        "UPDATE lanes SET lease_until = clock_timestamp() + $3::float8 * interval '1 second' "
        "FROM ours WHERE lanes.id = ours.id RETURNING lanes.id",
        [lane.id for lane in lanes],
        [lane.epoch for lane in lanes],
        lease_s,
    )
    return {row["id"] for row in rows}


async def fence(tx: Transaction, lane: ReplyLane, lease_s: float) -> None:
    """Make this transaction fail unless *lane* is still ours at its commit; prolongs the lease.

    Raises:
        Fenced: another process has claimed it.
    """
    rows = await tx.fetch(
        "UPDATE lanes SET lease_until = clock_timestamp() + $3::float8 * interval '1 second' "
        "WHERE id = $1 AND epoch = $2 RETURNING id",
        lane.id,
        lane.epoch,
        lease_s,
    )
    if not rows:
        raise Fenced


async def release(db: Database, lane: ReplyLane, *, drained: bool, pause_s: float) -> bool:
    """Give *lane* back, asleep for *pause_s*; whether more was added than we had seen.

    *drained* says that all that its ``wanted`` counted when we claimed it is handled. Work that was
    added since shows in this very row, and so does somebody who woke the lane: no wake-up is lost.
    """
    rows = await db.fetch(
        "UPDATE lanes SET lease_until = '-infinity', holder = NULL, "
        "handled = CASE WHEN $3 THEN GREATEST(handled, $4) ELSE handled END, "
        "next_at = CASE WHEN next_at = '-infinity' OR wanted > $4 AND $3 THEN '-infinity' "
        "ELSE clock_timestamp() + $5::float8 * interval '1 second' END "
        "WHERE id = $1 AND epoch = $2 RETURNING wanted > handled AS more",
        lane.id,
        lane.epoch,
        drained,
        lane.wanted,
        pause_s,
    )
    return bool(rows and rows[0]["more"])


# --- what waits -----------------------------------------------------------------------------------

_WAITING = (
    "SELECT m.id, m.conversation_id, m.seq, m.account, m.status, m.status_at, m.external_id, m.created_at, "
    "m.reply_context, m.body->'sender'->>'role' = 'system' AS urgent "
)


async def waiting_messages(
    db: Database, conversations: Sequence[UUID], unknown_since: datetime, each: int
) -> list[Any]:
    """Up to *each* messages of *conversations* for which their lane has to do something, in order.

    An ``unknown`` one keeps its lane waiting as long as it is younger than *unknown_since*.
    """
    return await db.fetch(
        _WAITING + "FROM unnest($1::uuid[]) AS u (id) CROSS JOIN LATERAL ("
        "SELECT * FROM messages WHERE conversation_id = u.id AND direction = 'outbound' "
        "AND status IN ('queued', 'sending', 'held', 'unknown') "
        "AND (status IN ('queued', 'sending') OR status = 'unknown' AND status_at > $2) "
        "ORDER BY seq LIMIT $3) m ORDER BY m.conversation_id, m.seq",
        list(conversations),
        unknown_since,
        each,
    )


async def earlier_held(reader: Reader, conversation_id: UUID, seq: int) -> bool:
    """Whether a reply before number *seq* waits for the customer of that conversation."""
    rows = await reader.fetch(
        "SELECT FROM messages m WHERE m.conversation_id = $1 AND m.direction = 'outbound' "
        "AND m.status = 'held' AND m.seq < $2 AND NOT EXISTS (SELECT FROM drafts d "
        "WHERE d.message_id = m.id AND d.state = 'held') LIMIT 1",
        conversation_id,
        seq,
    )
    return bool(rows)


async def announced(reader: Reader, place: Any, mark: str) -> bool:
    """Whether the hub has said something that begins with *mark* since the customer of *place* wrote."""
    rows = await reader.fetch(
        "SELECT FROM messages WHERE conversation_id = $1 AND direction = 'outbound' AND seq > COALESCE("
        "(SELECT max(seq) FROM messages WHERE conversation_id = $1 AND direction = 'inbound'), 0) "
        "AND status <> 'failed' AND body->'sender'->>'role' = 'system' "
        "AND starts_with(body->>'text', $2) LIMIT 1",
        place["id"],
        mark,
    )
    return bool(rows)


async def earlier_queued(reader: Reader, conversation_id: UUID, seq: int) -> bool:
    """Whether a reply before number *seq* of that conversation is yet to be said."""
    rows = await reader.fetch(
        "SELECT FROM messages WHERE conversation_id = $1 AND direction = 'outbound' "
        "AND status IN ('queued', 'sending') AND seq < $2 LIMIT 1",
        conversation_id,
        seq,
    )
    return bool(rows)


async def said_lately(
    reader: Reader, conversation_id: UUID, message_id: UUID, since: datetime
) -> list[str]:
    """The JSON of the calls since *since* that say what stands before *message_id*, at most 100.

    A message that is not stored yet comes after all others.
    """
    rows = await reader.fetch(
        "SELECT d.call->>'json' AS json FROM (SELECT id, seq FROM messages "
        "WHERE conversation_id = $1 AND direction = 'outbound' AND seq < COALESCE("
        "(SELECT seq FROM messages WHERE id = $2), 9223372036854775807) "
        "ORDER BY seq DESC LIMIT 100) m JOIN drafts d ON d.message_id = m.id "
        "WHERE d.role = 'say' AND d.state <> 'cancelled' AND d.call->'json' IS NOT NULL "
        "AND (d.started_at IS NULL OR d.started_at > $3) ORDER BY m.seq DESC LIMIT 100",
        conversation_id,
        message_id,
        since,
    )
    return [row["json"] for row in rows]


async def conversation(reader: Reader, conversation_id: UUID) -> Any:
    """The conversation's row, or None."""
    rows = await reader.fetch("SELECT * FROM conversations WHERE id = $1", conversation_id)
    return rows[0] if rows else None


async def conversations_of_contact(
    reader: Reader, contact_id: UUID, accounts: Sequence[str], queues: Sequence[str] | None
) -> list[Any]:
    """The contact's conversations with *accounts*, in their order, the one last written in first.

    Of *queues* only, unless that is None.
    """
    return await reader.fetch(
        "SELECT c.* FROM conversations c JOIN unnest($2::text[]) WITH ORDINALITY AS u (account, place) "
        "ON u.account = c.account WHERE c.contact_id = $1 AND NOT c.is_group "
        "AND ($3::text[] IS NULL OR c.queue = ANY($3)) "
        "ORDER BY u.place, c.last_inbound_at DESC NULLS LAST, c.id LIMIT 20",
        contact_id,
        list(accounts),
        None if queues is None else list(queues),
    )


class Way(NamedTuple):
    """Which conversation of a contact is wanted; None: any."""

    account: str | None = None
    channel: str | None = None
    address: Address | None = None


async def way_to(
    reader: Reader, conversation_id: UUID, wanted: Way, queues: Sequence[str] | None
) -> UUID | None:
    """The conversation of the same contact that fits *wanted*, the one last written in; None: there is none.

    It may be *conversation_id* itself. Both have to be in *queues*, unless that is None; groups are nobody's.
    """
    address = wanted.address
    rows = await reader.fetch(
        "SELECT c.id FROM conversations o JOIN conversations c ON c.contact_id = o.contact_id "
        "WHERE o.id = $1 AND NOT o.is_group AND NOT c.is_group "
        "AND ($2::text[] IS NULL OR (c.queue = ANY($2) AND o.queue = ANY($2))) "
        "AND ($3::text IS NULL OR c.account = $3) AND ($4::text IS NULL OR c.channel = $4) "
        "AND ($5::text IS NULL OR (c.address_scheme, c.address_scope, c.address_value) = ($5, $6, $7)) "
        "ORDER BY c.last_inbound_at DESC NULLS LAST, c.id LIMIT 1",
        conversation_id,
        None if queues is None else list(queues),
        wanted.account,
        wanted.channel,
        address.scheme if address else None,
        address.scope if address else None,
        address.value if address else None,
    )
    return rows[0]["id"] if rows else None


async def lock_conversation(tx: Transaction, conversation_id: UUID) -> Any:
    """The conversation's row, locked, or None."""
    rows = await tx.fetch("SELECT * FROM conversations WHERE id = $1 FOR UPDATE", conversation_id)
    return rows[0] if rows else None


async def message_of(reader: Reader, message_id: UUID, conversation_id: UUID) -> Any:
    """That message of that conversation, with what answering it needs; None when it is not in it."""
    rows = await reader.fetch(
        "SELECT id, direction, external_id, reply_context FROM messages "
        "WHERE id = $1 AND conversation_id = $2",
        message_id,
        conversation_id,
    )
    return rows[0] if rows else None


async def conversation_of_event(
    db: Database, account: str, dedupe_key: str
) -> tuple[UUID, datetime] | None:
    """Which conversation the event was filed in, and when it first came; None while it is not filed."""
    rows = await db.fetch(
        "SELECT m.conversation_id, i.received_at FROM inbox i JOIN messages m ON m.inbox_id = i.id "
        "WHERE i.account = $1 AND i.dedupe_key = $2 "
        "UNION ALL SELECT n.conversation_id, i.received_at FROM inbox i JOIN notices n ON n.inbox_id = i.id "
        "WHERE i.account = $1 AND i.dedupe_key = $2 AND n.conversation_id IS NOT NULL LIMIT 1",
        account,
        dedupe_key,
    )
    return (rows[0]["conversation_id"], rows[0]["received_at"]) if rows else None


async def said_in_answer(db: Database, conversation_id: UUID, dedupe_key: str) -> list[Any]:
    """The drafts (call, results) that the answer to that event has carried, in their order."""
    return await db.fetch(
        "SELECT d.call, d.results FROM (SELECT id, seq FROM messages WHERE conversation_id = $1 "
        "AND direction = 'outbound' ORDER BY seq DESC LIMIT 100) m JOIN drafts d ON d.message_id = m.id "
        "WHERE d.results->>'answer_to' = $2 ORDER BY m.seq, d.position",
        conversation_id,
        dedupe_key,
    )


# --- attachments ----------------------------------------------------------------------------------

_ATTACHMENT = "SELECT id, kind, mime_type, filename, size_bytes, sha256, state, source, error "


async def own_attachments(
    tx: Transaction, ids: Sequence[UUID], token_id: UUID | None, conversation_id: UUID
) -> Mapping[UUID, Any]:
    """Those of *ids* that may be sent here: uploaded with this token, or of this conversation.

    *token_id* None is the hub's own console, which may send any file.
    """
    if not ids:
        return {}
    rows = await tx.fetch(
        _ATTACHMENT + "FROM attachments a WHERE a.id = ANY($1::uuid[]) AND ("
        "$2::uuid IS NULL OR a.token_id = $2 OR EXISTS ("
        "SELECT FROM messages m WHERE m.id = a.message_id AND m.conversation_id = $3))",
        list(ids),
        token_id,
        conversation_id,
    )
    return {row["id"]: row for row in rows}


async def claim_attachments(tx: Transaction, ids: Sequence[UUID], message_id: UUID) -> None:
    """Uploads that belong to no message yet belong to *message_id* now."""
    if ids:
        await tx.fetch(
            "UPDATE attachments SET message_id = $2 WHERE id = ANY($1::uuid[]) AND message_id IS NULL",
            list(ids),
            message_id,
        )


async def insert_attachment_urls(
    tx: Transaction,
    files: Sequence[tuple[UUID, str, str | None, str]],
    message_id: UUID,
    account: str,
    at: datetime,
) -> None:
    """Attachments of *message_id* that are yet to be fetched: (id, kind, file name, source)."""
    if not files:
        return
    await tx.fetch(
        "INSERT INTO attachments (id, message_id, account, kind, filename, state, source, tries, next_at, "
        "created_at) SELECT u.id, $5, $6, u.kind, u.filename, 'pending', u.source::jsonb, 0, $7, $7 "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS u (id, kind, filename, source)",
        *[list(column) for column in zip(*files, strict=True)],
        message_id,
        account,
        at,
    )


async def attachments_of(reader: Reader, ids: Sequence[UUID]) -> Mapping[UUID, Any]:
    """The attachments of *ids*."""
    if not ids:
        return {}
    rows = await reader.fetch(
        _ATTACHMENT + "FROM attachments WHERE id = ANY($1::uuid[])", list(ids)
    )
    return {row["id"]: row for row in rows}
