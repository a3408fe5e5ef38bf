"""Changing a conversation, and telling of it in the same transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from hub.feed import NewEvent, publish
from hub.ids import show_id
from hub.settings import Settings
from hub.store import Transaction
from hub.store import api as rows

__all__ = ["change", "told"]


def told(row: Any) -> dict[str, Any]:
    """A conversation's row as events tell it."""
    return {
        "id": show_id("cnv", row["id"]),
        "account": row["account"],
        "channel": row["channel"],
        "thread_key": row["thread_key"],
        "is_group": row["is_group"],
        "queue": row["queue"],
        "state": row["state"],
        "case_number": row["case_number"],
        "subject": row["subject"],
        "tags": msgspec.json.decode(row["tags"]),
        "assignee": row["assignee"],
        "contact": {"id": show_id("cnt", row["contact_id"]), "name": row["contact_name"]},
        "address": {
            "scheme": row["address_scheme"],
            "scope": row["address_scope"],
            "value": row["address_value"],
        },
        "created_at": row["created_at"],
    }


async def change(
    tx: Transaction,
    settings: Settings,
    conversation_id: UUID,
    changes: Mapping[str, Any],
    at: datetime,
) -> frozenset[str]:
    """Give the conversation another ``queue``, ``state``, ``tags`` or ``assignee``.

    Returns the destinations to ring after the commit; none when nothing is different, or it is gone.
    """
    row = await rows.lock_conversation(tx, None, conversation_id)
    if row is None:
        return frozenset()
    before = told(row)
    after = {**before, **changes}
    if after == before:
        return frozenset()
    await rows.change_conversation(
        tx,
        conversation_id,
        after["queue"],
        after["state"],
        after["tags"],
        after["assignee"],
        at,
    )
    data = {"conversation": after}
    event = NewEvent("conversation.updated", data, row["account"], after["queue"], conversation_id)
    return await publish(tx, settings, [event], at)
