"""Another way to the same contact, for a reply that its own channel does not allow now."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from hub import ledger
from hub.core import Core
from hub.errors import SendError
from hub.replies.composing import Outlet, Stored, compose, outlet_of
from hub.replies.request import ReplyRequest
from hub.store import Transaction, replies

__all__ = ["elsewhere", "is_closed"]


async def is_closed(core: Core, tx: Transaction, outlet: Outlet, conversation_id: UUID) -> bool:
    """Whether the ledger knows that nothing may be said in that conversation now."""
    if not outlet.windowed:
        return False
    known = (await ledger.known(tx, [conversation_id])).get(conversation_id, ())
    return bool(known) and ledger.state_of(known, True, core.clock()).remaining == 0


async def elsewhere(
    core: Core,
    tx: Transaction,
    place: Any,
    request: ReplyRequest,
    accounts: Sequence[str],
    queues: Sequence[str] | None,
) -> Any:
    """Another conversation of the contact of *place* in which *request* can be said now, or None.

    *accounts* are tried in their order, in *queues* only, unless that is None. The row that is returned is
    locked.
    """
    if place["is_group"] or place["contact_id"] is None:
        return None
    stopped = await core.accounts.stopped()
    found = await replies.conversations_of_contact(tx, place["contact_id"], accounts, queues)
    for other in found:
        if other["account"] not in stopped and await _can_say(core, tx, other, request):
            return await replies.lock_conversation(tx, other["id"])
    return None


async def _can_say(core: Core, tx: Transaction, other: Any, request: ReplyRequest) -> bool:
    """Files are left out of the trial: they are not there yet."""
    outlet = outlet_of(core, other["account"])
    if outlet is None or await is_closed(core, tx, outlet, other["id"]):
        return False
    tried = Stored(request=msgspec.structs.replace(request, attachments=(), in_reply_to=None))
    if request.attachments and not request.text:
        return True
    try:
        await compose(tx, outlet, other, tried, other["id"], core.clock(), wait_for_files=False)
    except SendError:
        return False
    return True
