"""Changing the status of outbound messages, and telling of it in the same transaction."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub import feed
from hub.outbox.encoding import to_json
from hub.settings import Settings
from hub.store import Transaction
from hub.store import outbox as rows
from hub.store.feed import raise_wanted

__all__ = ["Change", "change_status", "raise_replies", "status_event", "tell"]


class Change(NamedTuple):
    """The new status of one message; *error* is the reason of a bad one, as JSON-like data."""

    message_id: UUID
    status: str
    error: Mapping[str, Any] | None = None
    external_id: str | None = None


async def change_status(
    tx: Transaction, settings: Settings, changes: Sequence[Change], at: datetime
) -> frozenset[str]:
    """Give locked messages their new statuses; returns the destinations to ring after the commit.

    ``sending`` is the hub's own intent and not told; every other status is.
    """
    changed = await rows.change_messages(tx, [_row(one, at) for one in changes], at)
    told = sorted(
        (row for row in changed if row["status"] != "sending"), key=lambda row: row["id"].bytes
    )
    return await tell(tx, settings, told, at)


def _row(change: Change, at: datetime) -> rows.StatusChange:
    patch: dict[str, Any] = {"status": change.status, "status_at": at, "error": change.error}
    if change.external_id is not None:
        patch["external_id"] = change.external_id
    error = None if change.error is None else to_json(change.error)
    return rows.StatusChange(
        change.message_id, change.status, change.external_id, error, to_json(patch)
    )


async def tell(
    tx: Transaction, settings: Settings, messages: Iterable[Any], at: datetime
) -> frozenset[str]:
    """Publish ``message.status`` for rows with id, account, queue, conversation_id and body."""
    return await feed.publish(tx, settings, [status_event(row) for row in messages], at)


def status_event(row: Any) -> feed.NewEvent:
    """``message.status`` of a row with id, account, queue, conversation_id and body."""
    return feed.NewEvent(
        "message.status",
        {"message": msgspec.Raw(row["body"].encode())},
        row["account"],
        row["queue"],
        row["conversation_id"],
        row["id"],
    )


async def raise_replies(
    tx: Transaction, lanes: Iterable[tuple[str, UUID]], *, wake: bool = False
) -> None:
    """Add one piece of work for each (account, conversation) given; ring ``reply`` after the commit.

    *wake* ends the sleep of a lane that waits to try something again.
    """
    counts = Counter(lanes)
    if counts:
        await raise_wanted(tx, "reply", counts)
    if counts and wake:
        await rows.wake(tx, counts)
