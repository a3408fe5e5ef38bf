"""What runs: processes, accounts' listeners and configurations, for whoever asks how the hub is."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from hub.store.database import Database
from hub.text import clean

__all__ = ["beat", "forget", "note_config", "note_listener", "note_listening"]


async def beat(
    db: Database, name: str, kind: str, version: str, settings_sha256: str, facts: dict[str, object]
) -> None:
    """Say that this process lives; processes that have not for a day are forgotten."""
    await db.fetch(
        "INSERT INTO processes (name, kind, version, settings_sha256, started_at, seen_at, facts) "
        "VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp(), $5::jsonb) "
        "ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, facts = excluded.facts, "
        "settings_sha256 = excluded.settings_sha256",
        name,
        kind,
        version,
        settings_sha256,
        msgspec.json.encode(facts).decode(),
    )
    await db.fetch("DELETE FROM processes WHERE seen_at < clock_timestamp() - interval '1 day'")


async def forget(db: Database, name: str) -> None:
    """This process has ended in good order."""
    await db.fetch("DELETE FROM processes WHERE name = $1", name)


async def note_listener(db: Database, account: str, state: str, error: str | None) -> None:
    """How the account's listener is doing: ``listening``, ``failing`` or ``stopped``."""
    await db.fetch(
        "INSERT INTO accounts (name, state, listener_state, listener_error) VALUES ($1, 'ok', $2, $3) "
        "ON CONFLICT (name) DO UPDATE SET listener_state = excluded.listener_state, "
        "listener_error = excluded.listener_error",
        account,
        state,
        clean(error)[:1000] if error else None,
    )


async def note_listening(db: Database, account: str) -> bool:
    """A listener of the account begins. False, and nothing is noted, when the last one failed."""
    noted = await db.fetch(
        "INSERT INTO accounts (name, state, listener_state) VALUES ($1, 'ok', 'listening') "
        "ON CONFLICT (name) DO UPDATE SET listener_state = 'listening', listener_error = NULL "
        "WHERE accounts.listener_state IS DISTINCT FROM 'failing' RETURNING 1",
        account,
    )
    return bool(noted)


async def note_config(db: Database, sha256: str, mistakes: Sequence[str], at: datetime) -> None:
    """A configuration was taken into force, or refused for its *mistakes*."""
    await db.fetch(
        "INSERT INTO config_versions (sha256, loaded_at, mistakes) VALUES ($1, $2, $3::jsonb)",
        sha256,
        at,
        msgspec.json.encode(list(mistakes)).decode(),
    )
