"""One person, several addresses: what platforms claim is followed soon after it is filed.

A platform may say that two ids are one person: the ``unionid`` of WeChat does, for every account of one
subject. A normalizer says so in ``Notice.same_as``. The contacts behind the addresses become one, the
older one; what came from the younger one is kept beside it, so that it can be undone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import structlog

from hub.conversations import told
from hub.core import Core
from hub.feed import NewEvent, publish
from hub.ids import show_id
from hub.settings import Settings
from hub.store import Transaction
from hub.store import api as conversation_rows
from hub.store import identity as rows
from hub.store.conversations import read_conversation

__all__ = ["BELL", "Change", "follow_claims", "run", "tell"]

BELL = "identity"
POLL_S = 5.0

_log = structlog.get_logger("hub.identity")


async def run(core: Core) -> None:
    """Follow claims as they come, until cancelled."""
    while True:
        await follow_claims(core)
        await core.bells.wait(BELL, POLL_S)


async def follow_claims(core: Core) -> int:
    """Follow the claims that wait, each in a transaction of its own; how many contacts were merged."""
    merges = 0
    while claims := await rows.waiting(core.db):
        for own in claims:

            async def work(
                tx: Transaction, own: int = own
            ) -> tuple[rows.Merged | None, frozenset[str]]:
                now = core.clock()
                merged = await rows.follow(tx, own, now)
                if merged is None:
                    return None, frozenset()
                change = Change("contact.merged", merged.id, merged.kept, merged.gone, now)
                return merged, await tell(tx, core.settings, change, merged.conversations, now)

            merged, rung = await core.db.transaction(work)
            if rung:
                core.bells.ring("deliver")
            if merged is not None:
                merges += 1
                _log.info(
                    "contacts_merged",
                    kept=str(merged.kept),
                    gone=str(merged.gone),
                    conversations=len(merged.conversations),
                )
    return merges


class Change(NamedTuple):
    """What became of two contacts; *at* is when they were merged."""

    kind: Literal["contact.merged", "contact.unmerged"]
    merge: UUID
    kept: UUID
    gone: UUID
    at: datetime


async def tell(
    tx: Transaction, settings: Settings, change: Change, moved: Sequence[UUID], at: datetime
) -> frozenset[str]:
    """Publish *change*, and each conversation that *moved* for it.

    Returns the destinations to ring after the commit. Of the two contacts only the ids are told: whoever
    sees all that is theirs reads the rest.
    """
    queues = await rows.queues_of(tx, (change.kept, change.gone))
    data = {
        "merge": {
            "id": show_id("mrg", change.merge),
            "kept": show_id("cnt", change.kept),
            "gone": show_id("cnt", change.gone),
            "at": change.at,
            "undone_at": at if change.kind == "contact.unmerged" else None,
        }
    }
    events = [NewEvent(change.kind, data, queue=queues[0] if len(queues) == 1 else None)]
    for own in sorted(moved, key=lambda one: one.bytes):
        row: Any = await conversation_rows.lock_conversation(tx, None, own)
        shown = {"conversation": told(read_conversation(row))}
        events.append(NewEvent("conversation.updated", shown, row["account"], row["queue"], own))
    return await publish(tx, settings, events, at)
