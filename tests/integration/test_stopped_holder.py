"""A process that is stopped in the middle of a transaction, and those that wait for its locks."""

import asyncio

import pytest

from hub.store import AWAY, Database, database
from hub.store.breakers import ensure_destinations, note_successes


async def test_locks_of_a_stopped_process_are_taken_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on well before their own leases end; the stopped one finds its connection closed."""
    monkeypatch.setitem(database.SESSION, "idle_in_transaction_session_timeout", "200ms")
    db = await Database.open(database_url, pool=2)
    await ensure_destinations(db, ["desk"])
    async with db.connection() as stopped:
        await stopped.execute("BEGIN")
        await stopped.execute("SELECT FROM destinations FOR UPDATE")
        async with asyncio.timeout(5):
            await note_successes(db, ["desk"])
        with pytest.raises(AWAY):
            await stopped.execute("COMMIT")
    await db.close()
