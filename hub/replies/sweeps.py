"""What time decides: held replies that nobody waits for, reviews, parts behind an ``unknown``."""

from datetime import timedelta
from typing import Any

from hub.core import Core
from hub.errors import SendError
from hub.outbox import Change, change_status
from hub.replies.errors import AccountRemoved, HeldTooLong, Incomplete, ReviewUnfinished
from hub.replies.pace import Pace
from hub.store import Transaction
from hub.store import drafts as draft_rows

__all__ = ["sweep"]


async def sweep(core: Core, pace: Pace) -> frozenset[str]:
    """Settle what has waited too long; returns the destinations to ring. Any process may, at any time."""
    return await core.db.transaction(lambda tx: _sweep(core, pace, tx))


async def _sweep(core: Core, pace: Pace, tx: Transaction) -> frozenset[str]:
    now = core.clock()
    settings = core.settings
    unknown = await draft_rows.stale_unknown(tx, now - timedelta(seconds=pace.parts_wait_s))
    held = await draft_rows.expired_held(
        tx, now - timedelta(hours=settings.hub.hold_hours), list(settings.accounts)
    )
    reviews = await draft_rows.stale_reviews(tx, now - timedelta(hours=settings.hub.hold_hours))
    if not unknown and not held and not reviews:
        return frozenset()
    changes = [_failed(row, Incomplete()) for row in unknown]
    changes += [
        _failed(row, HeldTooLong() if row["expired"] else AccountRemoved(row["account"]))
        for row in held
    ]
    await draft_rows.cancel_waiting_drafts(tx, [change.message_id for change in changes], now)
    told = ReviewUnfinished().as_json()
    changes += [Change(row["id"], "unknown", told) for row in reviews]
    return await change_status(tx, settings, changes, now)


def _failed(row: Any, error: SendError) -> Change:
    return Change(row["id"], "failed", error.as_json())
