"""Another way to the same contact, because whoever answers says so."""

from collections.abc import Sequence
from uuid import UUID

from hub.replies.errors import InvalidReply
from hub.replies.request import RoutedReply
from hub.store import Transaction, replies

__all__ = ["choose"]


async def choose(
    tx: Transaction, conversation_id: UUID, request: RoutedReply, queues: Sequence[str] | None
) -> UUID:
    """The conversation that says *request*, which was asked for in *conversation_id*.

    It is of the same contact, and in *queues*, unless that is None: what is elsewhere is not there.

    Raises:
        InvalidReply: the contact has none there, or the request is no reply.
    """
    request.check()
    via = request.via
    if via is None:
        return conversation_id
    wanted = replies.Way(via.account, via.channel, via.address)
    found = await replies.way_to(tx, conversation_id, wanted, queues)
    if found is None:
        raise InvalidReply(
            "this contact has no conversation there, or not for this token; POST /v1/messages begins one",
            "/via",
        )
    return found
