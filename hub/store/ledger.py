"""Allowances as rows: opened in bulk, reserved one at a time under a row lock."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from hub.ids import new_id
from hub.store.database import Transaction

__all__ = [
    "NewAllowance",
    "Reader",
    "Reserved",
    "exhaust",
    "insert_allowances",
    "open_rows",
    "refund",
    "reserve",
    "reserved",
]


class Reader(Protocol):
    """A transaction, or the database itself."""

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """The rows of one statement."""
        ...


class NewAllowance(NamedTuple):
    """A row to be."""

    conversation_id: UUID
    account: str
    trigger: str
    key: str
    grouping: str | None
    mode: str
    opened_at: datetime
    until: datetime | None
    remaining: int | None


class Reserved(NamedTuple):
    """What was taken from an allowance, and as the how-many-th."""

    id: UUID
    trigger: str
    key: str
    turn: int


OPEN = """
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::timestamptz[], $9::timestamptz[], $10::int[], $11::bool[])
        AS u (id, conversation_id, account, trigger, key, grouping, mode, opened_at, until, remaining,
              superseded)
), fresh AS (
    SELECT * FROM given g WHERE NOT EXISTS (SELECT FROM allowances a
        WHERE a.conversation_id = g.conversation_id AND a.trigger = g.trigger AND a.key = g.key)
), replaced AS (
    UPDATE allowances a SET closed = true FROM fresh f
    WHERE a.conversation_id = f.conversation_id AND NOT a.closed
      AND (a.grouping = f.grouping AND a.opened_at <= f.opened_at
           OR a.grouping IS NULL AND f.grouping IS NULL AND a.until < f.opened_at)
)
INSERT INTO allowances (id, conversation_id, account, trigger, key, grouping, mode, opened_at, until,
                        remaining, closed)
SELECT f.id, f.conversation_id, f.account, f.trigger, f.key, f.grouping, f.mode, f.opened_at, f.until,
       f.remaining, f.superseded OR f.grouping IS NOT NULL AND EXISTS (
           SELECT FROM allowances a WHERE a.conversation_id = f.conversation_id
           AND a.grouping = f.grouping AND NOT a.closed AND a.opened_at > f.opened_at)
FROM fresh f ON CONFLICT (conversation_id, trigger, key) DO NOTHING
"""


async def insert_allowances(tx: Transaction, allowances: Sequence[NewAllowance]) -> None:
    """Insert those that are new, and close all but the newest of each group that they belong to.

    One that belongs to none closes those like it that were over by then: there may be one for each message.

    The conversations are locked.
    """
    once = {(one.conversation_id, one.trigger, one.key): one for one in reversed(allowances)}
    given = sorted(once.values(), key=lambda one: one.opened_at)
    if given:
        newest = {(one.conversation_id, one.grouping): one for one in given}
        superseded = [
            one.grouping is not None and newest[one.conversation_id, one.grouping] is not one
            for one in given
        ]
        columns = [list(column) for column in zip(*given, strict=True)]
        await tx.fetch(OPEN, [new_id() for _ in given], *columns, superseded)


async def open_rows(reader: Reader, conversations: Iterable[UUID]) -> list[Any]:
    """The allowances that nothing has replaced, also those that are over or used up; oldest first."""
    return await reader.fetch(
        "SELECT id, conversation_id, trigger, key, grouping, mode, opened_at, until, remaining "
        "FROM allowances WHERE conversation_id = ANY($1::uuid[]) AND NOT closed "
        "ORDER BY until NULLS LAST, opened_at, id",
        list(conversations),
    )


async def reserve(
    tx: Transaction, conversation_id: UUID, cost: int, now: datetime, allowance_id: UUID | None
) -> Reserved | None:
    """Take *cost* from one live allowance, the earliest to end first; None when none has as much."""
    rows = await tx.fetch(
        "WITH chosen AS (SELECT id FROM allowances WHERE conversation_id = $1 AND NOT closed "
        "AND (until IS NULL OR until > $3) AND (remaining IS NULL OR remaining >= $2) "
        "AND ($4::uuid IS NULL AND mode = 'free' OR id = $4) "
        "ORDER BY until NULLS LAST, opened_at, id LIMIT 1 FOR UPDATE) "
        "UPDATE allowances a SET remaining = a.remaining - $2, used = a.used + 1 "
        "FROM chosen WHERE a.id = chosen.id RETURNING a.id, a.trigger, a.key, a.used AS turn",
        conversation_id,
        cost,
        now,
        allowance_id,
    )
    return Reserved(**rows[0]) if rows else None


async def reserved(tx: Transaction, draft_id: UUID) -> Reserved | None:
    """What an earlier try of the draft has taken and kept; None when there is no such thing."""
    rows = await tx.fetch(
        "SELECT a.id, a.trigger, a.key, d.turn FROM drafts d JOIN allowances a ON a.id = d.allowance_id "
        "WHERE d.id = $1 AND d.turn IS NOT NULL",
        draft_id,
    )
    return Reserved(**rows[0]) if rows else None


async def refund(tx: Transaction, allowance_id: UUID, cost: int) -> None:
    """Give *cost* back to the allowance that it was taken from."""
    await tx.fetch(
        "UPDATE allowances SET remaining = remaining + $2 WHERE id = $1", allowance_id, cost
    )


async def exhaust(tx: Transaction, allowance_id: UUID) -> None:
    """Take all that is left of the allowance."""
    await tx.fetch("UPDATE allowances SET remaining = 0 WHERE id = $1", allowance_id)
