"""Several addresses of one person: claims of platforms, and the contacts that they bring together.

A claim is written in the transaction that files the notice. It is followed in one of its own, which locks
addresses, then contacts, each in order, and so touches no conversation that a filing holds for long.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.ids import new_id
from hub.model import Address
from hub.store.database import Database, Transaction

__all__ = [
    "CannotMerge",
    "Claim",
    "Merged",
    "addresses_of",
    "claim",
    "contact",
    "follow",
    "lock_merge",
    "mend",
    "merge_by_hand",
    "merges_of",
    "sees_all",
    "undo",
    "waiting",
]

MENDED = "interval '1 hour'"


class Claim(NamedTuple):
    """An account's platform says that *same* is the person of *address*."""

    account: str
    address: Address
    same: Address


class Merged(NamedTuple):
    """Two contacts that are one now; *conversations* are those that were the gone one's."""

    id: UUID
    kept: UUID
    gone: UUID
    conversations: Sequence[UUID]


class CannotMerge(Exception):
    """These two are not made one; the text says why."""


async def claim(tx: Transaction, claims: Iterable[Claim]) -> None:
    """Keep *claims*, to be followed soon."""
    new = list(dict.fromkeys(claims))
    if not new:
        return
    await tx.fetch(
        "INSERT INTO identity_claims (account, scheme, scope, value, same_scheme, same_scope, same_value) "
        "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], "
        "$7::text[])",
        [one.account for one in new],
        *([getattr(one.address, name) for one in new] for name in ("scheme", "scope", "value")),
        *([getattr(one.same, name) for one in new] for name in ("scheme", "scope", "value")),
    )


async def waiting(db: Database, limit: int = 100) -> list[int]:
    """The claims that wait, oldest first."""
    rows = await db.fetch("SELECT id FROM identity_claims ORDER BY id LIMIT $1", limit)
    return [row["id"] for row in rows]


async def follow(tx: Transaction, claim_id: int, at: datetime) -> Merged | None:
    """Do what claim *claim_id* says and forget it; the merge that it took, if it took one."""
    rows = await tx.fetch("DELETE FROM identity_claims WHERE id = $1 RETURNING *", claim_id)
    if not rows:
        return None  # another process was quicker
    row = rows[0]
    address = Address(row["scheme"], row["scope"], row["value"])
    same = Address(row["same_scheme"], row["same_scope"], row["same_value"])
    held = await _locked(tx, (address, same))
    if address not in held:
        return None  # nobody is at this address (any more)
    if same not in held:
        await tx.fetch(
            "INSERT INTO addresses (id, scheme, scope, value, contact_id) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT (scheme, scope, value) DO NOTHING",
            new_id(),
            same.scheme,
            same.scope,
            same.value,
            held[address],
        )
        held = await _locked(tx, (address, same))
    if held[address] == held[same]:
        return None
    if await _was_undone(tx, held[address], held[same]):
        return None  # a person knows better
    return await _merge(tx, held[address], held[same], row["account"], same, at)


async def _locked(tx: Transaction, addresses: Sequence[Address]) -> dict[Address, UUID]:
    """The contact behind each of *addresses* that is known; the rows stay locked."""
    rows = await tx.fetch(
        "SELECT a.scheme, a.scope, a.value, a.contact_id FROM addresses a "
        "JOIN unnest($1::text[], $2::text[], $3::text[]) AS u (scheme, scope, value) "
        "USING (scheme, scope, value) ORDER BY a.scheme, a.scope, a.value FOR UPDATE OF a",
        [one.scheme for one in addresses],
        [one.scope for one in addresses],
        [one.value for one in addresses],
    )
    return {Address(r["scheme"], r["scope"], r["value"]): r["contact_id"] for r in rows}


async def _merge(
    tx: Transaction, one: UUID, other: UUID, account: str, evidence: Address | str, at: datetime
) -> Merged:
    """The older contact takes over the addresses and conversations of the younger one.

    The younger one's row stays, and the merge says what came from it, so that it can be undone.
    """
    rows = await _lock_contacts(tx, [one, other])
    kept, gone = rows[0]["id"], rows[-1]["id"]
    moved = await tx.fetch(
        "UPDATE addresses SET contact_id = $1 WHERE contact_id = $2 RETURNING id", kept, gone
    )
    homes = await tx.fetch(
        "UPDATE conversations SET contact_id = $1 WHERE contact_id = $2 RETURNING id", kept, gone
    )
    if not rows[0]["name"] and rows[-1]["name"]:
        await tx.fetch("UPDATE contacts SET name = $2 WHERE id = $1", kept, rows[-1]["name"])
    own = new_id()
    await tx.fetch(
        "INSERT INTO contact_merges (id, kept_id, gone_id, account, evidence, addresses, conversations, at) "
        "VALUES ($1, $2, $3, $4, $5, $6::uuid[], $7::uuid[], $8)",
        own,
        kept,
        gone,
        account,
        evidence
        if isinstance(evidence, str)
        else f"{evidence.scheme}:{evidence.scope}:{evidence.value}",
        _ids(moved),
        _ids(homes),
        at,
    )
    return Merged(own, kept, gone, _ids(homes))


# --- by hand ----------------------------------------------------------------------------------------


async def contact(db: Database | Transaction, contact_id: UUID) -> Any | None:
    """The contact: id, name, created_at."""
    rows = await db.fetch("SELECT id, name, created_at FROM contacts WHERE id = $1", contact_id)
    return rows[0] if rows else None


async def addresses_of(
    db: Database | Transaction, contact_id: UUID, queues: Sequence[str] | None
) -> list[Any]:
    """Where the contact is reached: scheme, scope, value, name; of *queues* only, unless None."""
    return await db.fetch(
        "SELECT scheme, scope, value, name FROM addresses a WHERE contact_id = $1 "
        "AND ($2::text[] IS NULL OR EXISTS (SELECT FROM conversations c "
        "WHERE c.contact_id = a.contact_id AND c.queue = ANY($2) AND c.address_scheme = a.scheme "
        "AND c.address_scope = a.scope AND c.address_value = a.value)) "
        "ORDER BY scheme, scope, value",
        contact_id,
        None if queues is None else list(queues),
    )


async def merges_of(db: Database | Transaction, contact_id: UUID) -> list[Any]:
    """The merges that the contact had a part in, the newest first."""
    return await db.fetch(
        "SELECT id, kept_id, gone_id, account, evidence, at, undone_at FROM contact_merges "
        "WHERE kept_id = $1 OR gone_id = $1 ORDER BY at DESC, id DESC LIMIT 100",
        contact_id,
    )


async def sees_all(
    db: Database | Transaction, queues: Sequence[str] | None, contact_id: UUID, *, all_: bool
) -> bool:
    """Whether the contact has a conversation in *queues* (None: any); with *all_*, none elsewhere."""
    if queues is None:
        return True
    rows = await db.fetch(
        "SELECT count(*) FILTER (WHERE queue = ANY($2::text[])) AS seen, count(*) AS total "
        "FROM conversations WHERE contact_id = $1",
        contact_id,
        list(queues),
    )
    seen, total = rows[0]["seen"], rows[0]["total"]
    return bool(seen and (not all_ or seen == total))


async def queues_of(tx: Transaction, contacts: Sequence[UUID]) -> list[str]:
    """The queues of all conversations of *contacts*."""
    rows = await tx.fetch(
        "SELECT DISTINCT queue FROM conversations WHERE contact_id = ANY($1::uuid[]) ORDER BY queue",
        list(contacts),
    )
    return [row["queue"] for row in rows]


async def merge_by_hand(
    tx: Transaction, one: UUID, other: UUID, by: str, evidence: str, at: datetime
) -> Merged:
    """Make one contact of two that there are, because a person says so.

    Raises:
        CannotMerge: one is a group, or has gone into another contact.
    """
    both = sorted({one, other}, key=lambda each: each.bytes)
    await tx.fetch(
        "SELECT FROM addresses WHERE contact_id = ANY($1::uuid[]) "
        "ORDER BY scheme, scope, value FOR UPDATE",
        both,
    )
    await _lock_contacts(tx, both)
    groups = await tx.fetch(
        "SELECT 1 FROM conversations WHERE contact_id = ANY($1::uuid[]) AND is_group LIMIT 1", both
    )
    if groups:
        raise CannotMerge("groups are never merged")
    gone = await tx.fetch(
        "SELECT 1 FROM contact_merges WHERE gone_id = ANY($1::uuid[]) AND undone_at IS NULL LIMIT 1",
        both,
    )
    if gone:
        raise CannotMerge("one of them has gone into another contact already; its merges say which")
    return await _merge(tx, one, other, by, evidence, at)


async def _lock_contacts(tx: Transaction, contacts: Sequence[UUID]) -> list[Any]:
    """Lock *contacts*; id and name of each, the oldest first."""
    return await tx.fetch(
        "SELECT id, name FROM contacts WHERE id = ANY($1::uuid[]) ORDER BY created_at, id FOR UPDATE",
        list(contacts),
    )


async def lock_merge(tx: Transaction, merge_id: UUID) -> Any | None:
    """A merge, locked."""
    rows = await tx.fetch("SELECT * FROM contact_merges WHERE id = $1 FOR UPDATE", merge_id)
    return rows[0] if rows else None


async def undo(tx: Transaction, merge: Any, at: datetime) -> list[UUID] | None:
    """Give the younger contact back what came from it, its name too, and what was said there since.

    The conversations that moved; None: the merge is undone already, or one of the two has gone into
    another contact meanwhile.
    """
    later = await tx.fetch(
        "SELECT 1 FROM contact_merges WHERE undone_at IS NULL AND id <> $1 AND gone_id = ANY($2::uuid[])",
        merge["id"],
        [merge["kept_id"], merge["gone_id"]],
    )
    if merge["undone_at"] is not None or later:
        return None
    back = await tx.fetch(
        "UPDATE addresses SET contact_id = $1 WHERE contact_id = $2 AND id = ANY($3::uuid[]) "
        "RETURNING scheme, scope, value",
        merge["gone_id"],
        merge["kept_id"],
        merge["addresses"],
    )
    moved = await tx.fetch(
        "UPDATE conversations c SET contact_id = $1 WHERE contact_id = $2 AND (id = ANY($3::uuid[]) "
        "OR EXISTS (SELECT 1 FROM unnest($4::text[], $5::text[], $6::text[]) AS u (scheme, scope, value) "
        "WHERE (c.address_scheme, c.address_scope, c.address_value) = (u.scheme, u.scope, u.value))) "
        "RETURNING id",
        merge["gone_id"],
        merge["kept_id"],
        merge["conversations"],
        *([row[name] for row in back] for name in ("scheme", "scope", "value")),
    )
    await tx.fetch(
        "UPDATE contacts c SET name = (SELECT a.name FROM addresses a WHERE a.contact_id = c.id "
        "AND a.name IS NOT NULL ORDER BY a.id LIMIT 1) FROM contacts g "
        "WHERE c.id = $1 AND g.id = $2 AND c.name = g.name",
        merge["kept_id"],
        merge["gone_id"],
    )
    await tx.fetch("UPDATE contact_merges SET undone_at = $2 WHERE id = $1", merge["id"], at)
    return _ids(moved)


async def _was_undone(tx: Transaction, one: UUID, other: UUID) -> bool:
    rows = await tx.fetch(
        "SELECT 1 FROM contact_merges WHERE undone_at IS NOT NULL "
        "AND kept_id = ANY($1::uuid[]) AND gone_id = ANY($1::uuid[]) LIMIT 1",
        [one, other],
    )
    return bool(rows)


async def mend(db: Database) -> int:
    """Lead conversations that were made while their contact was merged to the one that was kept."""
    rows = await db.fetch(
        "UPDATE conversations c SET contact_id = m.kept_id FROM contact_merges m "
        f"WHERE c.contact_id = m.gone_id AND m.undone_at IS NULL AND m.at > now() - {MENDED} RETURNING c.id"
    )
    return len(rows)


def _ids(rows: Iterable[Any]) -> list[UUID]:
    return [row["id"] for row in rows]
