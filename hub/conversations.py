"""Changing a conversation, and telling of it in the same transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.feed import NewEvent, publish
from hub.ids import show_id
from hub.settings import Settings
from hub.store import Transaction
from hub.store import api as rows
from hub.store.conversations import Conversation, read_conversation

__all__ = ["change", "told"]


def told(one: Conversation) -> dict[str, Any]:
    """A conversation as events and the API show it."""
    return {
        "id": show_id("cnv", one.id),
        "account": one.account,
        "channel": one.channel,
        "thread_key": one.thread_key,
        "is_group": one.is_group,
        "queue": one.queue,
        "state": one.state,
        "case_number": one.case_number,
        "subject": one.subject,
        "tags": one.tags,
        "assignee": one.assignee,
        "contact": {"id": show_id("cnt", one.contact_id), "name": one.contact_name},
        "address": one.address,
        "created_at": one.created_at,
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
    before = told(read_conversation(row))
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
