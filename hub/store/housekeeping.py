"""Retention: what is old goes, in small batches; the keys that guard against repeats stay."""

from collections.abc import Sequence

from hub.store.database import Database

__all__ = ["FEED_DAYS", "forget_files", "forget_keys", "old_files", "retire"]

BATCH = 1000
FEED_DAYS = 30

RETIRED = (
    '{"text": "[no longer kept]", "html": null, "subject": null, "attachments": [], "location": null, '
    '"choice": null, "extra": {"retired": true}}'
)
"""What a message says once it is too old to be kept; who said it when stays."""

_STEPS = {
    "raw bodies": "UPDATE inbox SET body = NULL, headers = '{}' WHERE id IN (SELECT id FROM inbox "
    "WHERE state = 1 AND body IS NOT NULL AND received_at < now() - $1::int * interval '1 day' LIMIT $2) "
    "RETURNING id",
    "messages": f"UPDATE messages SET body = body || '{RETIRED}', reply_context = '{{}}' WHERE id IN ("
    "SELECT id FROM messages WHERE body->'extra'->'retired' IS NULL "
    "AND created_at < now() - $1::int * interval '1 day' AND (status IS NULL "
    "OR status NOT IN ('queued', 'sending', 'held', 'unknown')) LIMIT $2) RETURNING id",
    "notices": "UPDATE notices SET body = '{}' WHERE id IN (SELECT id FROM notices "
    "WHERE body <> '{}' AND created_at < now() - $1::int * interval '1 day' LIMIT $2) RETURNING id",
    "drafts": "DELETE FROM drafts WHERE id IN (SELECT d.id FROM drafts d JOIN messages m "
    "ON m.id = d.message_id WHERE m.created_at < now() - $1::int * interval '1 day' "
    "AND d.state NOT IN ('queued', 'sending') LIMIT $2) RETURNING id",
    "agents' words": "UPDATE desk_messages SET body = NULL WHERE id IN (SELECT id FROM desk_messages "
    "WHERE body IS NOT NULL AND state NOT IN ('waiting', 'refused') "
    "AND seen_at < now() - $1::int * interval '1 day' LIMIT $2) RETURNING id",
    "exchanges": "DELETE FROM exchanges WHERE id IN (SELECT id FROM exchanges "
    "WHERE at < now() - $1::int * interval '1 day' LIMIT $2) RETURNING id",
}

_FEED_STEPS = {
    "attempts": "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts "
    "WHERE at < now() - $1::int * interval '1 day' LIMIT $2) RETURNING id",
    "deliveries": "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state <> 0 "
    "AND created_at < now() - $1::int * interval '1 day' LIMIT $2) RETURNING id",
    "events": "DELETE FROM events WHERE id IN (SELECT id FROM events e "
    "WHERE created_at < now() - $1::int * interval '1 day' AND NOT EXISTS ("
    "SELECT 1 FROM deliveries d WHERE d.event_id = e.id) LIMIT $2) RETURNING id",
}


async def retire(db: Database, days: int) -> dict[str, int]:
    """Remove bodies older than *days*, and what of the feed no cursor can ask for; how many rows."""
    gone = {}
    for steps, age in ((_STEPS, days), (_FEED_STEPS, min(days, FEED_DAYS + 1))):
        for name, sql in steps.items():
            gone[name] = await _in_batches(db, sql, age)
    return gone


async def _in_batches(db: Database, sql: str, days: int) -> int:
    total = 0
    while True:
        count = len(await db.fetch(sql, days, BATCH))
        total += count
        if count < BATCH:
            return total


async def old_files(db: Database, days: int, besides: Sequence[str]) -> list[str]:
    """Hashes of files that only attachments older than *days* have, some at a time; not those *besides*."""
    rows = await db.fetch(
        "SELECT DISTINCT sha256 FROM attachments a WHERE state = 'stored' "
        "AND created_at < now() - $1::int * interval '1 day' AND sha256 <> ALL($2::text[]) "
        "AND NOT EXISTS (SELECT 1 FROM attachments y WHERE y.sha256 = a.sha256 "
        "AND y.created_at >= now() - $1::int * interval '1 day') LIMIT $3",
        days,
        list(besides),
        BATCH,
    )
    return [row["sha256"] for row in rows]


async def forget_files(db: Database, days: int, gone: Sequence[str]) -> None:
    """The attachments older than *days* with these hashes say ``expired`` from now on."""
    await db.fetch(
        "UPDATE attachments SET state = 'expired' WHERE state = 'stored' "
        "AND sha256 = ANY($2::text[]) AND created_at < now() - $1::int * interval '1 day'",
        days,
        list(gone),
    )


async def forget_keys(db: Database) -> int:
    """Remove idempotency keys older than a day; how many."""
    rows = await db.fetch(
        "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours' RETURNING id"
    )
    return len(rows)
