"""How everything is doing, as counts; from partial indexes on what is unfinished."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.store.database import Database

__all__ = ["Counts", "DestinationState", "Waiting", "counts", "failed_replies", "last_messages"]


class Waiting(NamedTuple):
    """How many wait, and since when the oldest does."""

    number: int = 0
    oldest: datetime | None = None


class DestinationState(NamedTuple):
    """How a destination is doing: *state* is ``closed`` (well), ``open`` or ``disabled``."""

    state: str
    opened_at: datetime | None
    next_probe_at: datetime | None
    last_success_at: datetime | None
    last_error: str | None
    disabled_reason: str | None


class Counts(NamedTuple):
    """What is unfinished, by account or destination.

    *connections* holds the accounts that a platform connects to: since when it is away, or None.
    """

    inbox: Mapping[str, Waiting]
    parked: Mapping[str, Waiting]
    replies: Mapping[tuple[str, str], int]
    deliveries: Mapping[str, Waiting]
    dead: Mapping[str, Waiting]
    attachments: int
    accounts: Mapping[str, Any]
    destinations: Mapping[str, DestinationState]
    processes: tuple[Any, ...]
    connections: Mapping[str, datetime | None]
    at: datetime


async def _waiting(db: Database, sql: str) -> dict[str, Waiting]:
    rows = await db.fetch(sql)
    return {row["name"]: Waiting(row["count"], row["oldest"]) for row in rows}


async def counts(db: Database) -> Counts:
    """The counts, now."""
    replies = await db.fetch(
        "SELECT account, status, count(*) AS count FROM messages WHERE direction = 'outbound' "
        "AND status IN ('queued', 'sending', 'held', 'unknown') GROUP BY account, status"
    )
    inbox = "SELECT account AS name, count(*) AS count, min(received_at) AS oldest FROM inbox "
    deliveries = (
        "SELECT destination AS name, count(*) AS count, min(created_at) AS oldest FROM deliveries "
    )
    files = await db.fetch(
        "SELECT count(*) AS count, clock_timestamp() AS at FROM attachments WHERE state = 'pending'"
    )
    accounts = await db.fetch(
        "SELECT name, state, reason, since, listener_state, listener_error FROM accounts"
    )
    destinations = await db.fetch(
        "SELECT name, state, opened_at, next_probe_at, last_success_at, last_error, disabled_reason "
        "FROM destinations"
    )
    processes = await db.fetch(
        "SELECT name, kind, version, settings_sha256, started_at, seen_at, "
        "seen_at > clock_timestamp() - interval '1 minute' AS alive FROM processes ORDER BY name"
    )
    connections = await db.fetch(
        "SELECT substr(name, 7) AS account, "
        "CASE WHEN lease_until < clock_timestamp() THEN lease_until END AS since "
        "FROM leases WHERE name LIKE 'relay:%'"
    )
    return Counts(
        await _waiting(db, inbox + "WHERE state = 0 GROUP BY account"),
        await _waiting(db, inbox + "WHERE state = 2 GROUP BY account"),
        {(row["account"], row["status"]): row["count"] for row in replies},
        await _waiting(db, deliveries + "WHERE state = 0 GROUP BY destination"),
        await _waiting(db, deliveries + "WHERE state = 2 GROUP BY destination"),
        files[0]["count"],
        {row["name"]: row for row in accounts},
        {row["name"]: DestinationState(*list(row)[1:]) for row in destinations},
        tuple(processes),
        {row["account"]: row["since"] for row in connections},
        files[0]["at"],
    )


async def last_messages(db: Database) -> dict[str, datetime]:
    """When each account last had a message from a customer."""
    rows = await db.fetch(
        "SELECT account, max(last_inbound_at) AS last FROM conversations "
        "WHERE last_inbound_at IS NOT NULL GROUP BY account"
    )
    return {row["account"]: row["last"] for row in rows}


async def failed_replies(db: Database, since: UUID) -> dict[str, int]:
    """How many replies of each account failed, of those whose id is not below *since*."""
    rows = await db.fetch(
        "SELECT account, count(*) AS count FROM messages WHERE id >= $1 "
        "AND direction = 'outbound' AND status = 'failed' GROUP BY account",
        since,
    )
    return {row["account"]: row["count"] for row in rows}
