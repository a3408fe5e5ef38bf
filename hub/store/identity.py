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

__all__ = ["Claim", "Merged", "claim", "follow", "mend", "waiting"]

MENDED = "interval '1 hour'"


class Claim(NamedTuple):
    """An account's platform says that *same* is the person of *address*."""

    account: str
    address: Address
    same: Address


class Merged(NamedTuple):
    """Two contacts that are one now."""

    kept: UUID
    gone: UUID
    conversations: int


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
    tx: Transaction, one: UUID, other: UUID, account: str, evidence: Address, at: datetime
) -> Merged:
    """The older contact takes over the addresses and conversations of the younger one.

    The younger one's row stays, and the merge says what came from it, so that it can be undone.
    """
    rows = await tx.fetch(
        "SELECT id, name FROM contacts WHERE id = ANY($1::uuid[]) ORDER BY created_at, id FOR UPDATE",
        [one, other],
    )
    kept, gone = rows[0]["id"], rows[-1]["id"]
    moved = await tx.fetch(
        "UPDATE addresses SET contact_id = $1 WHERE contact_id = $2 RETURNING id", kept, gone
    )
    homes = await tx.fetch(
        "UPDATE conversations SET contact_id = $1 WHERE contact_id = $2 RETURNING id", kept, gone
    )
    if not rows[0]["name"] and rows[-1]["name"]:
        await tx.fetch("UPDATE contacts SET name = $2 WHERE id = $1", kept, rows[-1]["name"])
    await tx.fetch(
        "INSERT INTO contact_merges (id, kept_id, gone_id, account, evidence, addresses, conversations, at) "
        "VALUES ($1, $2, $3, $4, $5, $6::uuid[], $7::uuid[], $8)",
        new_id(),
        kept,
        gone,
        account,
        f"{evidence.scheme}:{evidence.scope}:{evidence.value}",
        _ids(moved),
        _ids(homes),
        at,
    )
    return Merged(kept, gone, len(homes))


async def mend(db: Database) -> int:
    """Lead conversations that were made while their contact was merged to the one that was kept."""
    rows = await db.fetch(
        "UPDATE conversations c SET contact_id = m.kept_id FROM contact_merges m "
        f"WHERE c.contact_id = m.gone_id AND m.at > now() - {MENDED} RETURNING c.id"
    )
    return len(rows)


def _ids(rows: Iterable[Any]) -> list[UUID]:
    return [row["id"] for row in rows]
