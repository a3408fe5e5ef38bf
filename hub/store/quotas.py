"""What was said within a quota: a row for each call and quota, counted before the next one."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from hub.model import Quota
from hub.store.database import Database, Transaction

__all__ = ["forget_uses", "give_back", "note_uses", "wait_s"]

LONGEST_DAYS = 32


class Reader(Protocol):
    """A transaction, or the database itself."""

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """The rows of one statement."""
        ...


async def wait_s(
    reader: Reader, account: str, quotas: Sequence[Quota], now: datetime, draft_id: UUID | None
) -> float:
    """In how many seconds one more call keeps within all of *quotas*; 0: now.

    Calls of *draft_id* itself do not count against it.
    """
    longest = 0.0
    for quota in quotas:
        rows = await reader.fetch(
            "SELECT at FROM quota_uses WHERE account = $1 AND key = $2 AND at > $3 "
            "AND draft_id IS DISTINCT FROM $4 ORDER BY at DESC OFFSET $5 LIMIT 1",
            account,
            quota.key[:255],
            now - timedelta(seconds=quota.per_s),
            draft_id,
            quota.limit - 1,
        )
        if rows:
            free = rows[0]["at"] + timedelta(seconds=quota.per_s)
            longest = max(longest, (free - now).total_seconds(), 0.001)
    return longest


async def note_uses(
    tx: Transaction, account: str, quotas: Sequence[Quota], now: datetime, draft_id: UUID
) -> None:
    """The call of *draft_id* is made now."""
    await tx.fetch(
        "INSERT INTO quota_uses (draft_id, account, key, at) SELECT $1, $2, u, $4 "
        "FROM unnest($3::text[]) u ON CONFLICT (draft_id, key) DO UPDATE SET at = excluded.at",
        draft_id,
        account,
        sorted({one.key[:255] for one in quotas}),
        now,
    )


async def give_back(tx: Transaction, draft_id: UUID) -> None:
    """The call of *draft_id* did not take place."""
    await tx.fetch("DELETE FROM quota_uses WHERE draft_id = $1", draft_id)


async def forget_uses(db: Database) -> int:
    """Remove what no quota counts any more; how many."""
    rows = await db.fetch(
        "DELETE FROM quota_uses WHERE at < now() - $1::int * interval '1 day' RETURNING draft_id",
        LONGEST_DAYS,
    )
    return len(rows)
