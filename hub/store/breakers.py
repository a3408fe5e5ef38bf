"""The destinations' rows: how each is doing, as all processes see it."""

from collections.abc import Sequence
from typing import NamedTuple

from hub.store.database import Database
from hub.text import clean

__all__ = [
    "Breaker",
    "breakers",
    "claim_probe",
    "close_breaker",
    "disable",
    "ensure_destinations",
    "note_successes",
    "open_breaker",
    "restore_destination",
]


class Breaker(NamedTuple):
    """How a destination is doing, as all processes see it."""

    name: str
    state: str
    probe_in_s: float | None
    open_s: float | None


async def ensure_destinations(db: Database, names: Sequence[str]) -> None:
    """Make the rows of destinations that are new."""
    await db.fetch(
        "INSERT INTO destinations (name, state, failures, probes) "
        "SELECT u, 'closed', 0, 0 FROM unnest($1::text[]) AS u ON CONFLICT DO NOTHING",
        list(names),
    )


async def breakers(db: Database) -> dict[str, Breaker]:
    """Every destination's breaker; times by the database's clock."""
    rows = await db.fetch(
        "SELECT name, state, extract(epoch FROM next_probe_at - clock_timestamp())::float8 AS probe, "
        "extract(epoch FROM clock_timestamp() - opened_at)::float8 AS open FROM destinations"
    )
    return {
        row["name"]: Breaker(row["name"], row["state"], row["probe"], row["open"]) for row in rows
    }


async def open_breaker(db: Database, name: str, error: str, pause_s: float) -> None:
    """Stop deliveries to *name*; one probe speaks for all lanes, the first in *pause_s*."""
    await db.fetch(
        "UPDATE destinations SET "
        "opened_at = CASE WHEN state = 'open' THEN opened_at ELSE clock_timestamp() END, "
        "probes = CASE WHEN state = 'open' THEN probes ELSE 0 END, state = 'open', "
        "next_probe_at = clock_timestamp() + $3::float8 * interval '1 second', "
        "failures = failures + 1, last_failure_at = clock_timestamp(), last_error = $2 "
        "WHERE name = $1 AND state IN ('closed', 'open')",
        name,
        clean(error)[:500],
        pause_s,
    )


async def claim_probe(db: Database, name: str, pause_s: float) -> int | None:
    """Take the right to probe *name* now; how many probes there were, or None: not our turn."""
    rows = await db.fetch(
        "UPDATE destinations SET next_probe_at = clock_timestamp() + $2::float8 * interval '1 second', "
        "probes = probes + 1 WHERE name = $1 AND state = 'open' AND next_probe_at <= clock_timestamp() "
        "RETURNING probes",
        name,
        pause_s,
    )
    return rows[0]["probes"] if rows else None


async def note_successes(db: Database, names: Sequence[str]) -> None:
    """*names* have taken deliveries just now."""
    await db.fetch(
        "UPDATE destinations SET last_success_at = clock_timestamp(), failures = 0 "
        "WHERE name = ANY($1::text[])",
        list(names),
    )


async def close_breaker(db: Database, name: str) -> None:
    """*name* answers again."""
    await db.fetch(
        "UPDATE destinations SET state = 'closed', failures = 0, probes = 0, next_probe_at = NULL, "
        "opened_at = NULL, last_success_at = clock_timestamp() WHERE name = $1 AND state = 'open'",
        name,
    )


async def disable(db: Database, name: str, reason: str) -> None:
    """Send nothing more to *name* until a person restores it; what waits stays."""
    await db.fetch(
        "UPDATE destinations SET state = 'disabled', disabled_reason = $2, "
        "last_failure_at = clock_timestamp(), last_error = $2 WHERE name = $1",
        name,
        reason,
    )


async def restore_destination(db: Database, name: str) -> bool:
    """Let a disabled destination have its deliveries again."""
    rows = await db.fetch(
        "UPDATE destinations SET state = 'closed', disabled_reason = NULL, failures = 0 "
        "WHERE name = $1 AND state <> 'closed' RETURNING name",
        name,
    )
    return bool(rows)
