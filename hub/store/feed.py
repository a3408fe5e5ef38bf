"""Events, lanes and deliveries as rows; one statement for any number of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Transaction

__all__ = ["insert_deliveries", "insert_events", "raise_wanted"]


class _Event(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def account(self) -> str | None: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def conversation_id(self) -> UUID | None: ...
    @property
    def message_id(self) -> UUID | None: ...


async def insert_events(
    tx: Transaction,
    ids: Sequence[UUID],
    events: Sequence[_Event],
    bodies: Sequence[bytes],
    at: datetime,
) -> None:
    """Add *events* to the feed, in the order given."""
    await tx.fetch(
        "INSERT INTO events (id, type, account, queue, conversation_id, message_id, body, created_at) "
        "SELECT u.id, u.type, u.account, u.queue, u.conversation, u.message, u.body, $8 "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::bytea[]) "
        "WITH ORDINALITY AS u (id, type, account, queue, conversation, message, body, ordinal) "
        "ORDER BY ordinal",
        ids,
        [event.type for event in events],
        [event.account for event in events],
        [event.queue for event in events],
        [event.conversation_id for event in events],
        [event.message_id for event in events],
        bodies,
        at,
    )


async def raise_wanted(
    tx: Transaction, kind: str, counts: Mapping[tuple[str, UUID], int]
) -> dict[tuple[str, UUID], tuple[int, int]]:
    """Add work to lanes, making those that are missing.

    A new lane queues behind those that wait already.
    *counts*: (target, conversation) → how much. Returns for each the lane's id and its new ``wanted``.
    """
    keys = sorted(counts, key=lambda key: (key[0], key[1].bytes))  # the global order of locks
    rows = await tx.fetch(
        "INSERT INTO lanes AS l "
        "(kind, target, conversation_id, wanted, handled, epoch, lease_until, next_at) "
        "SELECT $1, u.target, u.conversation, u.count, 0, 0, '-infinity', clock_timestamp() "
        "FROM unnest($2::text[], $3::uuid[], $4::bigint[]) AS u (target, conversation, count) "
        "ON CONFLICT (kind, target, conversation_id) DO UPDATE SET wanted = l.wanted + excluded.wanted "
        "RETURNING id, target, conversation_id, wanted",
        kind,
        [target for target, _ in keys],
        [conversation for _, conversation in keys],
        [counts[key] for key in keys],
    )
    return {(row["target"], row["conversation_id"]): (row["id"], row["wanted"]) for row in rows}


async def insert_deliveries(
    tx: Transaction, deliveries: Sequence[tuple[int, int, str, UUID]], at: datetime
) -> None:
    """Add deliveries: (lane id, number in the lane, destination, event id)."""
    await tx.fetch(
        "INSERT INTO deliveries (id, lane_id, n, destination, event_id, state, tries, replayed, created_at) "
        "SELECT u.id, u.lane, u.n, u.destination, u.event, 0, 0, false, $6 "
        "FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::uuid[]) "
        "AS u (id, lane, n, destination, event)",
        [new_id() for _ in deliveries],
        [lane for lane, _, _, _ in deliveries],
        [n for _, n, _, _ in deliveries],
        [destination for _, _, destination, _ in deliveries],
        [event for _, _, _, event in deliveries],
        at,
    )
