"""Parts of long messages: kept until all are here, or until the others have been waited for."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from hub.store.database import Database, Transaction

__all__ = ["WAIT", "KeptPart", "forget_parts", "keep_parts", "mark_filed", "overdue", "waiting"]

WAIT = timedelta(minutes=15)
"""How long the other parts of a message are waited for."""

KEPT_DAYS = 7


class KeptPart(NamedTuple):
    """One part of a message, and the row of the inbox that it came with."""

    account: str
    dedupe_key: str
    key: str
    number: int
    text: str
    inbox_id: int
    at: datetime


async def keep_parts(tx: Transaction, parts: Sequence[KeptPart]) -> None:
    """Keep *parts*; one that is known changes nothing."""
    await tx.fetch(
        "INSERT INTO message_parts (account, dedupe_key, key, number, text, inbox_id, at) "
        "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], "
        "$6::bigint[], $7::timestamptz[]) ON CONFLICT (account, dedupe_key) DO NOTHING",
        *[list(column) for column in zip(*parts, strict=True)],
    )


async def waiting(tx: Transaction, keys: Sequence[tuple[str, str]]) -> list[KeptPart]:
    """What is not filed yet of the messages *keys*, (account, key) each, in the order of arrival."""
    rows = await tx.fetch(
        "SELECT account, dedupe_key, key, number, text, inbox_id, at FROM message_parts "
        "WHERE NOT filed AND (account, key) IN "
        "(SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY id FOR UPDATE",
        [account for account, _ in keys],
        [key for _, key in keys],
    )
    return [KeptPart(*row.values()) for row in rows]


async def mark_filed(tx: Transaction, parts: Sequence[KeptPart]) -> None:
    """*parts* stand in a message now."""
    await tx.fetch(
        "UPDATE message_parts SET filed = true, text = '' WHERE (account, dedupe_key) IN "
        "(SELECT * FROM unnest($1::text[], $2::text[]))",
        [one.account for one in parts],
        [one.dedupe_key for one in parts],
    )


async def overdue(db: Database, limit: int = 100) -> list[int]:
    """Rows of the inbox with parts that have waited long enough."""
    rows = await db.fetch(
        "SELECT max(inbox_id) AS inbox_id FROM message_parts WHERE NOT filed "
        "GROUP BY account, key HAVING min(at) < now() - $1::interval LIMIT $2",
        WAIT,
        limit,
    )
    return [row["inbox_id"] for row in rows]


async def forget_parts(db: Database) -> int:
    """Remove parts that were filed long ago; how many."""
    rows = await db.fetch(
        "DELETE FROM message_parts WHERE filed AND at < now() - $1::int * interval '1 day' RETURNING id",
        KEPT_DAYS,
    )
    return len(rows)
