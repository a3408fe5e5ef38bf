"""Queues as rows: what is open in them, which are paused, and what waits in each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from hub.ids import first_id
from hub.store.database import Database

__all__ = [
    "QueueCounts",
    "open_conversations",
    "pause",
    "paused",
    "queue_counts",
    "recent_messages",
    "routed_message",
]


async def open_conversations(db: Database, queues: Sequence[str]) -> dict[str, int]:
    """How many conversations are open in each of *queues*."""
    rows = await db.fetch(
        "SELECT queue, count(*) AS count FROM conversations "
        "WHERE state = 'open' AND queue = ANY($1::text[]) GROUP BY queue",
        list(queues),
    )
    return {row["queue"]: row["count"] for row in rows}


async def paused(db: Database) -> dict[str, datetime]:
    """The queues of which nothing is delivered, and since when."""
    rows = await db.fetch("SELECT name, at FROM paused_queues")
    return {row["name"]: row["at"] for row in rows}


async def pause(db: Database, queue: str, on: bool, at: datetime) -> bool:
    """Pause a queue, or let it go on; False: it was so already."""
    if on:
        rows = await db.fetch(
            "INSERT INTO paused_queues (name, at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name",
            queue,
            at,
        )
    else:
        rows = await db.fetch("DELETE FROM paused_queues WHERE name = $1 RETURNING name", queue)
    return bool(rows)


class QueueCounts(NamedTuple):
    """What waits in a queue: events to be delivered, the oldest's time, conversations open in it, and
    customers' messages of the last minute."""

    waiting: int = 0
    oldest: datetime | None = None
    open: int = 0
    messages: int = 0


async def queue_counts(db: Database, now: datetime) -> Mapping[str, QueueCounts]:
    """Each queue that has something, by name."""
    waiting = await db.fetch(
        "SELECT e.queue, count(*) AS count, min(d.created_at) AS oldest FROM deliveries d "
        "JOIN events e ON e.id = d.event_id WHERE d.state = 0 AND e.queue IS NOT NULL GROUP BY e.queue"
    )
    opened = await db.fetch(
        "SELECT queue, count(*) AS count FROM conversations WHERE state = 'open' GROUP BY queue"
    )
    minute = await db.fetch(
        "SELECT queue, count(*) AS count FROM events WHERE id >= $1 AND type = 'message.received' "
        "AND queue IS NOT NULL GROUP BY queue",
        first_id(datetime.fromtimestamp(now.timestamp() - 60, now.tzinfo)),
    )
    found: dict[str, QueueCounts] = {}
    for row in waiting:
        found[row["queue"]] = QueueCounts(row["count"], row["oldest"])
    for row in opened:
        name = row["queue"]
        found[name] = found.get(name, QueueCounts())._replace(open=row["count"])
    for row in minute:
        name = row["queue"]
        found[name] = found.get(name, QueueCounts())._replace(messages=row["count"])
    return found


_ROUTED = (
    "SELECT m.id, m.channel, m.account, m.kind, m.body, m.seq, m.created_at, c.queue, c.tags, "
    "c.address_value, t.created_at AS contact_since FROM messages m "
    "JOIN conversations c ON c.id = m.conversation_id LEFT JOIN contacts t ON t.id = c.contact_id "
    "WHERE m.direction = 'inbound' "
)


async def recent_messages(db: Database, number: int) -> list[Any]:
    """The last customers' messages with what a route looks at, the newest first."""
    return await db.fetch(_ROUTED + "ORDER BY m.id DESC LIMIT $1", number)


async def routed_message(db: Database, message_id: UUID) -> Any | None:
    """One customer's message with what a route looks at."""
    rows = await db.fetch(_ROUTED + "AND m.id = $1", message_id)
    return rows[0] if rows else None
