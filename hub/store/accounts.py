"""How accounts are doing, as rows: ``ok``, ``stopped`` (credentials refused) or ``broken``."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from hub.store.database import Database, Transaction
from hub.text import clean

__all__ = ["Stopped", "note_state", "stopped_accounts"]

_STOPPED_FOR = "hub:stopped-for"
"""The checkpoint that holds the fingerprint of the settings with which an account was stopped."""


class Stopped(NamedTuple):
    """A stopped account: why, and with which settings."""

    name: str
    reason: str
    fingerprint: str


async def stopped_accounts(db: Database) -> list[Stopped]:
    """The accounts that send nothing until somebody acts."""
    rows = await db.fetch(
        "SELECT a.name, a.reason, c.value->>'fingerprint' AS fingerprint FROM accounts a "
        "LEFT JOIN checkpoints c ON c.account = a.name AND c.key = $1 WHERE a.state = 'stopped'",
        _STOPPED_FOR,
    )
    return [Stopped(row["name"], row["reason"] or "", row["fingerprint"] or "") for row in rows]


async def note_state(
    tx: Transaction, name: str, state: str, reason: str | None, fingerprint: str, at: datetime
) -> bool:
    """Write the account's state; False when that was its state already, so that it is told once."""
    told = clean(reason)[:1000] if reason else None
    if state == "ok":
        return bool(
            await tx.fetch(
                "UPDATE accounts SET state = 'ok', reason = NULL, since = $2 "
                "WHERE name = $1 AND state <> 'ok' RETURNING name",
                name,
                at,
            )
        )
    rows = await tx.fetch(
        "INSERT INTO accounts AS a (name, state, reason, since) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (name) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
        "since = excluded.since WHERE a.state <> excluded.state RETURNING name",
        name,
        state,
        told,
        at,
    )
    if rows and state == "stopped":
        await tx.fetch(
            "INSERT INTO checkpoints (account, key, value, epoch, updated_at) "
            "VALUES ($1, $2, $3::jsonb, 0, $4) ON CONFLICT (account, key) "
            "DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            name,
            _STOPPED_FOR,
            msgspec.json.encode({"fingerprint": fingerprint}).decode(),
            at,
        )
    return bool(rows)
