"""A queued reply whose window has closed: said through another channel, or announced by template."""

from typing import Any

import msgspec

from hub.errors import SendError
from hub.ids import show_id
from hub.outbox import Change, change_status
from hub.replies.accept import Accepted, accept
from hub.replies.announcing import announce
from hub.replies.composing import Outlet, Stored
from hub.replies.elsewhere import elsewhere
from hub.replies.errors import InvalidReply, Moved
from hub.replies.records import Holder
from hub.replies.request import AskedIn, Author
from hub.store import Transaction, outbox, replies
from hub.store import drafts as draft_rows

__all__ = ["announce_held", "move"]


async def move(holder: Holder, message: Any, outlet: Outlet, stored: Stored) -> bool:
    """Say *message*, of which nothing is out, in another conversation of the contact.

    It ends as ``failed`` with the reason ``moved``, which names the message that takes its place.
    False: no other channel takes it.
    """
    core = holder.core

    async def work(tx: Transaction) -> Accepted | None:
        place = await replies.lock_conversation(tx, holder.lane.conversation_id)
        other = await elsewhere(
            core, tx, place, stored.request, outlet.closed_accounts, stored.queues
        )
        if other is None:
            return None
        shown = msgspec.json.decode(await draft_rows.shown(tx, message["id"]) or "{}")
        name = (shown.get("sender") or {}).get("name") or "agent"
        author = Author(name, queues=stored.queues)
        request = msgspec.structs.replace(stored.request, in_reply_to=None)
        asked_in = AskedIn(place["id"], "closed")
        accepted = await accept(core, tx, other, request, author=author, asked_in=asked_in)
        await _end(holder, tx, message, accepted, other["account"])
        return accepted

    try:
        accepted = await holder.write(work)
    except (SendError, InvalidReply):  # the other channel cannot carry it after all
        return False
    if accepted is not None:
        accepted.ring(core)
    return accepted is not None


async def _end(
    holder: Holder, tx: Transaction, message: Any, accepted: Accepted, account: str
) -> None:
    now = holder.core.clock()
    await outbox.lock_messages(tx, [message["id"]])
    await draft_rows.cancel_waiting_drafts(tx, [message["id"]], now)
    error = Moved(f"said as {show_id('msg', accepted.message_id)} by {account}")
    change = Change(message["id"], "failed", error.as_json())
    holder.destinations |= await change_status(tx, holder.core.settings, [change], now)


async def announce_held(holder: Holder, message: Any, outlet: Outlet, stored: Stored) -> None:
    """Tell the customer that *message* waits for them; once while something waits."""

    async def work(tx: Transaction) -> None:
        place = await replies.lock_conversation(tx, holder.lane.conversation_id)
        if not await replies.earlier_held(tx, place["id"], message["seq"]):
            holder.destinations |= await announce(holder.core, tx, outlet, place, stored)

    await holder.write(work)
