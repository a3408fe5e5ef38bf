"""Events as a helpdesk gets them: a customer's text in one of some conversations, numbered."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from hub.core import now
from hub.feed import NewEvent, publish
from hub.ids import new_id, show_id
from hub.model import Address, ConversationRef, Message, Participant, public_json
from hub.settings import Settings
from hub.store import Database, Transaction

__all__ = ["Made", "fill", "made_events"]

ACCOUNT = "shop"
_NAMES = UUID("6f1c0a54-52a0-4d5e-9d0b-8f6f1f1c2a10")


class Made(NamedTuple):
    """One message to tell of: *shown* is its public JSON."""

    conversation: UUID
    message: UUID
    shown: bytes


def made_events(first: int, count: int, conversations: int) -> list[Made]:
    """*count* messages, numbered from *first*, in turn from each of the conversations."""
    return [_made(number, number % conversations) for number in range(first, first + count)]


def _made(number: int, who: int) -> Made:
    name = f"oBench{who:06d}"
    conversation, message, at = uuid5(_NAMES, name), new_id(), now()
    address = Address("wechat", "wxbench", name)
    told = Message(
        channel="wechat",
        account=ACCOUNT,
        direction="inbound",
        kind="text",
        text=f"m{number} from {name}",
        sender=Participant("contact", address),
        conversation=ConversationRef(show_id("cnv", conversation), name, False, ACCOUNT),
        external_id=str(10**16 + number),
        dedupe_key=str(10**16 + number),
        sent_at=at,
        received_at=at,
        id=show_id("msg", message),
        seq=number,
    )
    return Made(conversation, message, msgspec.json.encode(public_json(told)))


async def fill(
    db: Database, settings: Settings, made: Sequence[Made], each: int = 1000, queue: str = ACCOUNT
) -> None:
    """Queue all of *made* for the helpdesks of *queue*, as filing does."""
    events = [
        NewEvent(
            "message.received",
            {"message": msgspec.Raw(one.shown)},
            ACCOUNT,
            queue,
            one.conversation,
            one.message,
        )
        for one in made
    ]

    async def work(tx: Transaction) -> None:
        for start in range(0, len(events), each):
            await publish(tx, settings, events[start : start + each], now())

    await db.transaction(work)
