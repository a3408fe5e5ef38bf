"""A person's word on a reply: send it again, or let it be."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from hub.core import Core
from hub.outbox import Change, change_status, raise_replies, release_held
from hub.replies.errors import Cancelled, NotNow, UnknownMessage
from hub.store import Transaction, outbox, replies
from hub.store import drafts as draft_rows

__all__ = ["cancel", "resend"]

OPEN = ("unknown", "held", "queued")


async def resend(core: Core, message_id: UUID) -> Mapping[str, Any]:
    """Send the reply now: again when it is ``unknown``, at last when it is ``held`` or ``queued``.

    Only a person may say so: what is unknown may arrive twice. Returns the message as the API shows it.

    Raises:
        UnknownMessage: there is none of that id.
        NotNow: it is in no such state, or the platform itself holds it back.
    """

    async def work(tx: Transaction, message: Any) -> frozenset[str]:
        await draft_rows.requeue_drafts(tx, message_id)
        await draft_rows.force(tx, message_id)
        rung: frozenset[str] = frozenset()
        if message["status"] != "queued":
            rung = await change_status(
                tx, core.settings, [Change(message_id, "queued")], core.clock()
            )
        await _wake(tx, message)
        return rung

    return await _change(core, message_id, work)


async def cancel(core: Core, message_id: UUID) -> Mapping[str, Any]:
    """Give the reply up: it becomes ``failed`` with the reason ``cancelled``.

    What has gone out of it already stays said. Returns the message as the API shows it.

    Raises:
        UnknownMessage: there is none of that id.
        NotNow: it is on its way, settled, or held back by the platform itself.
    """

    async def work(tx: Transaction, message: Any) -> frozenset[str]:
        now = core.clock()
        await draft_rows.cancel_waiting_drafts(tx, [message_id], now)
        error = Cancelled().as_json()
        rung = await change_status(tx, core.settings, [Change(message_id, "failed", error)], now)
        if message["status"] == "held":  # those behind it need not wait for it any more
            rung |= await release_held(tx, core.settings, [message["conversation_id"]], now)
        await _wake(tx, message)
        return rung

    return await _change(core, message_id, work)


async def _change(
    core: Core, message_id: UUID, work: Callable[[Transaction, Any], Awaitable[frozenset[str]]]
) -> Mapping[str, Any]:
    """Do *work* on the message under its locks, ring, and return what it is now."""

    async def locked(tx: Transaction) -> tuple[frozenset[str], str]:
        place = await draft_rows.place_of(tx, message_id)
        if place is None:
            raise UnknownMessage
        await replies.lock_conversation(tx, place)
        message = (await outbox.lock_messages(tx, [message_id]))[0]
        if message["status"] not in OPEN:
            raise NotNow(f"the message is {message['status']}")
        drafts = await outbox.drafts_of(tx, [message_id])
        if any(row["state"] == "held" for row in drafts):
            raise NotNow("the platform itself holds the message back")
        rung = await work(tx, message)
        return rung, await draft_rows.shown(tx, message_id) or "{}"

    rung, body = await core.db.transaction(locked)
    core.bells.ring("reply")
    if rung:
        core.bells.ring("deliver")
    return msgspec.json.decode(body, type=dict[str, Any])


async def _wake(tx: Transaction, message: Any) -> None:
    """The lane has something to do, and must not sleep over it."""
    await raise_replies(tx, [(message["account"], message["conversation_id"])], wake=True)
