"""Conversations as rows: locked, made and written back, many at a time."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from hub.model import Address
from hub.store.database import Transaction

__all__ = [
    "Conversation",
    "ConversationRow",
    "Key",
    "lock_conversations",
    "make_conversations",
    "read_conversation",
    "update_conversations",
]

Key = tuple[str, str]
"""An account, and a thread key or an external id of its own."""


class Conversation(msgspec.Struct, kw_only=True):
    """A conversation as it is told of."""

    id: UUID
    account: str
    channel: str
    thread_key: str
    contact_id: UUID
    address: Address
    is_group: bool
    queue: str
    state: str
    case_number: int
    subject: str | None
    tags: list[str]
    created_at: datetime
    assignee: str | None = None
    contact_name: str | None = None


class ConversationRow(Conversation, kw_only=True):
    """A locked conversation; what filing changes in it is written back once, at the end.

    *reply_context* is JSON.
    """

    last_seq: int
    reply_context: str
    last_inbound_at: datetime | None
    is_new: bool = False


_COLUMNS = (
    "c.id, c.account, c.channel, c.thread_key, c.contact_id, c.address_scheme, c.address_scope, "
    "c.address_value, c.is_group, c.queue, c.state, c.case_number, c.last_seq, c.subject, c.tags, "
    "c.reply_context, c.last_inbound_at, c.created_at, c.assignee"
)


def _told(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "account": row["account"],
        "channel": row["channel"],
        "thread_key": row["thread_key"],
        "contact_id": row["contact_id"],
        "address": Address(row["address_scheme"], row["address_scope"], row["address_value"]),
        "is_group": row["is_group"],
        "queue": row["queue"],
        "state": row["state"],
        "case_number": row["case_number"],
        "subject": row["subject"],
        "tags": msgspec.json.decode(row["tags"]),
        "created_at": row["created_at"],
        "assignee": row["assignee"],
    }


def read_conversation(row: Any) -> Conversation:
    """A row that has the contact's name too."""
    return Conversation(**_told(row), contact_name=row["contact_name"])


def _locked(row: Any) -> ConversationRow:
    return ConversationRow(
        **_told(row),
        last_seq=row["last_seq"],
        reply_context=row["reply_context"],
        last_inbound_at=row["last_inbound_at"],
    )


async def lock_conversations(
    tx: Transaction, keys: Iterable[Key], ids: Iterable[UUID] = ()
) -> list[ConversationRow]:
    """The conversations of those (account, thread key) pairs and ids that exist, locked."""
    pairs = sorted(set(keys))
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM conversations c WHERE c.id IN ("
        "SELECT k.id FROM conversations k "
        "JOIN unnest($1::text[], $2::text[]) AS u (account, thread_key) USING (account, thread_key) "
        "UNION SELECT unnest($3::uuid[])) ORDER BY c.id FOR UPDATE",
        [account for account, _ in pairs],
        [key for _, key in pairs],
        list(ids),
    )
    return [_locked(row) for row in rows]


async def make_conversations(
    tx: Transaction, made: Sequence[ConversationRow], at: datetime
) -> list[ConversationRow]:
    """Insert those that nobody made meanwhile; returns the inserted ones."""
    if not made:
        return []
    rows = await tx.fetch(
        "INSERT INTO conversations (id, account, channel, thread_key, contact_id, address_scheme, "
        "address_scope, address_value, is_group, queue, state, case_number, last_seq, subject, tags, "
        "reply_context, created_at, updated_at) "
        "SELECT u.id, u.account, u.channel, u.thread_key, u.contact, u.scheme, u.scope, u.value, "
        "u.is_group, u.queue, 'open', 1, 0, u.subject, '[]', '{}', $12, $12 "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], "
        "$8::text[], $9::bool[], $10::text[], $11::text[]) AS u "
        "(id, account, channel, thread_key, contact, scheme, scope, value, is_group, queue, subject) "
        "ON CONFLICT (account, thread_key) DO NOTHING RETURNING id",
        [one.id for one in made],
        [one.account for one in made],
        [one.channel for one in made],
        [one.thread_key for one in made],
        [one.contact_id for one in made],
        [one.address.scheme for one in made],
        [one.address.scope for one in made],
        [one.address.value for one in made],
        [one.is_group for one in made],
        [one.queue for one in made],
        [one.subject for one in made],
        at,
    )
    inserted = {row["id"] for row in rows}
    return [one for one in made if one.id in inserted]


async def update_conversations(
    tx: Transaction, changed: Sequence[ConversationRow], at: datetime
) -> set[UUID]:
    """Write back what filing changed in locked rows; returns those in which replies wait for the customer.

    Nobody can hold a reply back meanwhile, since that takes the conversation's lock too.
    """
    if not changed:
        return set()
    rows = await tx.fetch(
        "UPDATE conversations c SET last_seq = u.seq, last_inbound_at = u.inbound, queue = u.queue, "
        "state = u.state, case_number = u.case_number, subject = u.subject, "
        "reply_context = u.context::jsonb, updated_at = $9 "
        "FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::int[], "
        "$7::text[], $8::text[]) AS u (id, seq, inbound, queue, state, case_number, subject, context) "
        "WHERE c.id = u.id RETURNING c.id, EXISTS (SELECT FROM messages m WHERE m.conversation_id = c.id "
        "AND m.direction = 'outbound' AND m.status = 'held') AS held",
        [one.id for one in changed],
        [one.last_seq for one in changed],
        [one.last_inbound_at for one in changed],
        [one.queue for one in changed],
        [one.state for one in changed],
        [one.case_number for one in changed],
        [one.subject for one in changed],
        [one.reply_context for one in changed],
        at,
    )
    return {row["id"] for row in rows if row["held"]}
