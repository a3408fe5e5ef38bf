"""Telling a customer by template that a reply waits for them."""

from typing import Any

import msgspec
import structlog

from hub.core import Core
from hub.errors import SendError
from hub.outbox import Place, Urgent, queue_urgent
from hub.replies.closed import announcement
from hub.replies.composing import Outlet, Stored, reply_of
from hub.replies.request import readable
from hub.store import Transaction, replies

__all__ = ["announce"]

MARK = "[template]"
"""What the text of an announcement begins with, as it is shown to agents."""

_log = structlog.get_logger("hub.replies")


async def announce(
    core: Core, tx: Transaction, outlet: Outlet, place: Any, stored: Stored
) -> frozenset[str]:
    """Queue the account's template as the hub's own message in *place*, which is locked.

    Once until the customer writes: whoever has been told waits for what they know of.
    Returns the destinations to ring after the commit; ``reply`` is rung too.
    """
    template = outlet.closed_template
    if outlet.when_closed != "template" or template is None:
        return frozenset()
    if await replies.announced(tx, place, MARK):
        return frozenset()
    said = announcement(template, reply_of(place, stored), readable(stored.request, ()))
    try:
        drafts = outlet.sender.compose(said, ())
    except SendError as error:
        _log.warning("not_announced", account=place["account"], error=error.detail)
        return frozenset()
    shown = " ".join(str(value) for value in said.template.params.values()) if said.template else ""
    told = [msgspec.structs.replace(one, text=f"{MARK} {shown}") for one in drafts]
    where = Place(
        place["id"],
        place["account"],
        place["channel"],
        place["thread_key"],
        place["is_group"],
        place["queue"],
    )
    return await queue_urgent(tx, core.settings, [Urgent(where, told)], core.clock())
