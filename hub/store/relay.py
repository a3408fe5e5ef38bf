"""Calls that wait for the process that holds an account's connection; a row lives as long as its call."""

from typing import Any

from hub.store.database import Database
from hub.store.leases import LEASE

__all__ = ["answer", "ask", "forget", "is_served", "leave", "look", "take", "withdraw"]


async def is_served(db: Database, lease: str) -> bool:
    """Whether somebody holds *lease*, by the database's clock."""
    return bool(
        await db.fetch(
            "SELECT 1 FROM leases WHERE name = $1 AND lease_until > clock_timestamp()", lease
        )
    )


async def ask(db: Database, account: str, question: str, within_s: float) -> int:
    """Store *question*, to be taken in *within_s* seconds; its id."""
    rows = await db.fetch(
        "INSERT INTO relay_calls (account, question, expires_at) VALUES ($1, $2, "
        "clock_timestamp() + $3::float8 * interval '1 second') RETURNING id",
        account,
        question,
        within_s,
    )
    own: int = rows[0]["id"]
    return own


async def take(db: Database, account: str, lease: str, epoch: int) -> list[tuple[int, str]] | None:
    """What waits, oldest first, taken now; None: another one holds *lease* by now.

    Keeps the lease as well.
    """
    held = await db.fetch(
        f"UPDATE leases SET lease_until = clock_timestamp() + {LEASE} "
        "WHERE name = $1 AND epoch = $2 RETURNING name",
        lease,
        epoch,
    )
    if not held:
        return None
    rows = await db.fetch(
        "UPDATE relay_calls SET taken_at = clock_timestamp() WHERE id IN (SELECT id FROM relay_calls "
        "WHERE account = $1 AND taken_at IS NULL AND expires_at > clock_timestamp() "
        "ORDER BY id FOR UPDATE SKIP LOCKED) "
        "AND EXISTS (SELECT 1 FROM leases WHERE name = $2 AND epoch = $3) RETURNING id, question",
        account,
        lease,
        epoch,
    )
    return sorted((row["id"], row["question"]) for row in rows)


async def leave(db: Database, lease: str, epoch: int) -> None:
    """Nobody serves any more, since now, if *lease* is still ours."""
    await db.fetch(
        "UPDATE leases SET lease_until = clock_timestamp() WHERE name = $1 AND epoch = $2",
        lease,
        epoch,
    )


async def answer(db: Database, call: int, said: str) -> None:
    """Store the answer to *call*, if somebody still waits for it."""
    await db.fetch("UPDATE relay_calls SET answer = $2 WHERE id = $1", call, said)


async def look(db: Database, call: int) -> Any:
    """The row of *call* (``taken_at``, ``answer``), or None."""
    rows = await db.fetch("SELECT taken_at, answer FROM relay_calls WHERE id = $1", call)
    return rows[0] if rows else None


async def withdraw(db: Database, call: int, *, untaken_only: bool = False) -> bool:
    """Remove *call*; False when it is not there, or was taken and *untaken_only* is set."""
    rows = await db.fetch(
        "DELETE FROM relay_calls WHERE id = $1 AND (taken_at IS NULL OR NOT $2) RETURNING id",
        call,
        untaken_only,
    )
    return bool(rows)


async def forget(db: Database) -> None:
    """Remove calls whose asker is gone, and what tells of connections that have long been given up."""
    await db.fetch("DELETE FROM relay_calls WHERE asked_at < now() - interval '1 hour'")
    await db.fetch(
        "DELETE FROM leases WHERE name LIKE 'relay:%' AND lease_until < now() - interval '7 days'"
    )
