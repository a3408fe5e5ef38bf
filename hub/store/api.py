"""What the API reads and the few things that it writes; every look-up carries its scope."""

from hub.store.database import Database

__all__ = ["try_commit"]


async def try_commit(db: Database) -> None:
    """Make a commit that has to reach the disk, and leaves no row.

    Raises:
        OSError: the database takes no writes; besides what ``AWAY`` lists.
    """
    rows = await db.fetch(
        "SELECT current_setting('transaction_read_only') AS read_only, "
        "pg_logical_emit_message(true, 'hub.ready', '')"
    )
    if rows[0]["read_only"] == "on":
        raise OSError("the database is read-only")
