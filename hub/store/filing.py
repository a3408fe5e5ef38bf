"""Filing as rows: contacts, conversations and messages, many at a time.

Statements take their locks in the global order: conversations, new addresses, new conversations, lanes;
sorted within each.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from hub.ids import new_id
from hub.model import Address, Attachment
from hub.store.database import Transaction
from hub.text import clean

__all__ = [
    "NewMessage",
    "Pick",
    "attach",
    "contacts_of",
    "find_threads",
    "insert_messages",
    "insert_notices",
    "known_messages",
    "known_notices",
    "menus_of",
    "names_of",
    "remember_ids",
]


async def find_threads(
    tx: Transaction, account_and_id: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], UUID]:
    """Which conversation each external id leads to, of those that lead to one."""
    pairs = sorted(set(account_and_id))
    if not pairs:
        return {}
    rows = await tx.fetch(
        "SELECT m.account, m.external_id, m.conversation_id FROM message_ids m "
        "JOIN unnest($1::text[], $2::text[]) AS u (account, external_id) USING (account, external_id)",
        [account for account, _ in pairs],
        [external for _, external in pairs],
    )
    return {(row["account"], row["external_id"]): row["conversation_id"] for row in rows}


async def contacts_of(
    tx: Transaction, names: Mapping[Address, str | None], at: datetime
) -> dict[Address, UUID]:
    """The contact behind each address, made where the address is new; *names* are for new ones."""
    addresses = sorted(names, key=lambda a: (a.scheme, a.scope, a.value))
    found = await _contacts(tx, addresses)
    missing = [address for address in addresses if address not in found]
    if missing:
        found |= await _make_contacts(tx, missing, names, at)
        raced = [address for address in missing if address not in found]
        found |= await _contacts(tx, raced)
    return found


async def names_of(tx: Transaction, contacts: Iterable[UUID]) -> dict[UUID, str | None]:
    """What those contacts are called."""
    ids = sorted(contacts, key=lambda one: one.bytes)
    if not ids:
        return {}
    rows = await tx.fetch("SELECT id, name FROM contacts WHERE id = ANY($1::uuid[])", ids)
    return {row["id"]: row["name"] for row in rows}


async def _contacts(tx: Transaction, addresses: Sequence[Address]) -> dict[Address, UUID]:
    if not addresses:
        return {}
    rows = await tx.fetch(
        "SELECT a.scheme, a.scope, a.value, a.contact_id FROM addresses a "
        "JOIN unnest($1::text[], $2::text[], $3::text[]) AS u (scheme, scope, value) "
        "USING (scheme, scope, value)",
        [a.scheme for a in addresses],
        [a.scope for a in addresses],
        [a.value for a in addresses],
    )
    return {Address(r["scheme"], r["scope"], r["value"]): r["contact_id"] for r in rows}


async def _make_contacts(
    tx: Transaction, missing: Sequence[Address], names: Mapping[Address, str | None], at: datetime
) -> dict[Address, UUID]:
    rows = await tx.fetch(
        "INSERT INTO addresses (id, scheme, scope, value, contact_id, name) "
        "SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[]) "
        "ON CONFLICT (scheme, scope, value) DO NOTHING "
        "RETURNING scheme, scope, value, contact_id, name",
        [new_id() for _ in missing],
        [a.scheme for a in missing],
        [a.scope for a in missing],
        [a.value for a in missing],
        [new_id() for _ in missing],
        [names[a] for a in missing],
    )
    await tx.fetch(
        "INSERT INTO contacts (id, name, created_at) "
        "SELECT u.id, u.name, $3 FROM unnest($1::uuid[], $2::text[]) AS u (id, name)",
        [row["contact_id"] for row in rows],
        [row["name"] for row in rows],
        at,
    )
    return {Address(r["scheme"], r["scope"], r["value"]): r["contact_id"] for r in rows}


class NewMessage(NamedTuple):
    """An inbound message about to be filed; *body* is its public JSON."""

    id: UUID
    conversation_id: UUID
    seq: int
    account: str
    channel: str
    kind: str
    dedupe_key: str
    external_id: str | None
    body: str
    reply_context: str
    inbox_id: int


async def _known(
    tx: Transaction, sql: str, keys: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    pairs = sorted(set(keys))
    if not pairs:
        return set()
    rows = await tx.fetch(sql, [account for account, _ in pairs], [key for _, key in pairs])
    return {(row["account"], row["dedupe_key"]) for row in rows}


async def known_messages(tx: Transaction, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of those (account, dedupe key) pairs are inbound messages already."""
    return await _known(
        tx,
        "SELECT m.account, m.dedupe_key FROM messages m "
        "JOIN unnest($1::text[], $2::text[]) AS u (account, dedupe_key) USING (account, dedupe_key) "
        "WHERE m.direction = 'inbound'",
        keys,
    )


async def known_notices(tx: Transaction, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of those (account, dedupe key) pairs are notices already."""
    return await _known(
        tx,
        "SELECT n.account, n.dedupe_key FROM notices n "
        "JOIN unnest($1::text[], $2::text[]) AS u (account, dedupe_key) USING (account, dedupe_key)",
        keys,
    )


class Pick(NamedTuple):
    """What was picked in a conversation, from a menu that is not known yet."""

    conversation_id: UUID
    choice_id: str
    label: str | None


async def menus_of(tx: Transaction, picks: Sequence[Pick]) -> dict[Pick, UUID]:
    """The message whose menu each of *picks* answers: the newest that has the id, best with the label.

    The last 200 numbers of the conversation are looked at.
    """
    found = await tx.fetch(
        "SELECT u.place, m.id FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY "
        "AS u (conversation, choice, label, place) JOIN conversations c ON c.id = u.conversation "
        "CROSS JOIN LATERAL (SELECT o.id FROM messages o CROSS JOIN LATERAL "
        "jsonb_array_elements(o.body->'extra'->'menu'->'choices') AS one "
        "WHERE o.conversation_id = u.conversation AND o.direction = 'outbound' "
        "AND o.seq > c.last_seq - 200 AND one->>'id' = u.choice "
        "ORDER BY COALESCE(one->>'label' = u.label, false) DESC, o.seq DESC LIMIT 1) m",
        [one.conversation_id for one in picks],
        [one.choice_id for one in picks],
        [one.label for one in picks],
    )
    return {picks[row["place"] - 1]: row["id"] for row in found}


async def insert_messages(tx: Transaction, messages: Sequence[NewMessage], at: datetime) -> int:
    """Insert *messages*; how many were new (fewer: another process filed one meanwhile)."""
    if not messages:
        return 0
    rows = await tx.fetch(
        "INSERT INTO messages (id, conversation_id, seq, account, channel, direction, kind, dedupe_key, "
        "external_id, body, reply_context, inbox_id, created_at) "
        "SELECT u.id, u.conversation, u.seq, u.account, u.channel, 'inbound', u.kind, u.dedupe_key, "
        "u.external_id, u.body::jsonb, u.context::jsonb, u.inbox_id, $12 "
        "FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], "
        "$7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[]) AS u (id, conversation, seq, "
        "account, channel, kind, dedupe_key, external_id, body, context, inbox_id) "
        "ON CONFLICT DO NOTHING RETURNING id",
        *[list(column) for column in zip(*messages, strict=True)],
        at,
    )
    return len(rows)


async def insert_notices(
    tx: Transaction,
    notices: Sequence[tuple[UUID, str, str, UUID | None, str, str, str, int]],
    at: datetime,
) -> int:
    """Insert notices: (id, account, channel, conversation, kind, dedupe key, body, inbox id).

    How many were new (fewer: another process filed one meanwhile).
    """
    if not notices:
        return 0
    rows = await tx.fetch(
        "INSERT INTO notices (id, account, channel, conversation_id, kind, dedupe_key, body, inbox_id, "
        "created_at) SELECT u.id, u.account, u.channel, u.conversation, u.kind, u.dedupe_key, "
        "u.body::jsonb, u.inbox_id, $9 "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], "
        "$8::bigint[]) AS u (id, account, channel, conversation, kind, dedupe_key, body, inbox_id) "
        "ON CONFLICT DO NOTHING RETURNING id",
        *[list(column) for column in zip(*notices, strict=True)],
        at,
    )
    return len(rows)


async def remember_ids(tx: Transaction, ids: Sequence[tuple[str, str, UUID, UUID | None]]) -> None:
    """Remember external ids: (account, external id, conversation, message)."""
    if not ids:
        return
    await tx.fetch(
        "INSERT INTO message_ids (account, external_id, conversation_id, message_id) "
        "SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[]) ON CONFLICT DO NOTHING",
        *[list(column) for column in zip(*sorted(set(ids), key=str), strict=True)],
    )


async def attach(
    tx: Transaction, files: Sequence[tuple[UUID, UUID, str, Attachment]], at: datetime
) -> None:
    """Insert the attachments of inbound messages: (id, message id, account, attachment)."""
    if not files:
        return
    await tx.fetch(
        "INSERT INTO attachments (id, message_id, account, kind, mime_type, filename, size_bytes, sha256, "
        "state, source, tries, next_at, created_at) "
        "SELECT u.id, u.message, u.account, u.kind, u.mime, u.name, u.size, u.sha, u.state, "
        "u.source::jsonb, 0, $11, $11 "
        "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], "
        "$7::bigint[], $8::text[], $9::text[], $10::text[]) "
        "AS u (id, message, account, kind, mime, name, size, sha, state, source)",
        [own for own, _, _, _ in files],
        [message for _, message, _, _ in files],
        [account for _, _, account, _ in files],
        [one.kind for *_, one in files],
        [clean(one.mime_type)[:255] if one.mime_type else None for *_, one in files],
        [clean(one.filename) if one.filename else None for *_, one in files],
        [one.size_bytes for *_, one in files],
        [one.sha256 for *_, one in files],
        [one.state for *_, one in files],
        [msgspec.json.encode(one.source).decode() for *_, one in files],
        at,
    )
