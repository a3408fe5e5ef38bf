"""The ledger: what a platform still lets us say, one allowance per trigger.

Saying something reserves from an allowance in the transaction that writes ``sending``; proof that it
was not sent gives it back. Counts never fall below nought: whoever comes too late gets None.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from hub.channel import Capabilities, reply_state
from hub.model import Allowance, ReplyState
from hub.store import Transaction
from hub.store import ledger as rows
from hub.store.inbox import short_key
from hub.store.ledger import NewAllowance, Reader, Reserved
from hub.text import clean

__all__ = [
    "Reserved",
    "exhaust",
    "is_windowed",
    "known",
    "open_allowances",
    "refund",
    "reply_states",
    "reserve",
    "reserved",
]


def is_windowed(capabilities: Capabilities) -> bool:
    """Whether the channel limits replies at all; one without limits needs no ledger."""
    return capabilities.reply_window is not None or capabilities.allowance is not None


async def open_allowances(tx: Transaction, opened: Sequence[tuple[UUID, str, Allowance]]) -> None:
    """Enter allowances: (conversation, account, allowance), in one statement for all.

    Each trigger counts once: an allowance of the same conversation, trigger and key is known already
    and keeps what is left of it. The newest of a group closes the others of that group.
    """
    await rows.insert_allowances(tx, [_row(*one) for one in opened])


def _row(conversation_id: UUID, account: str, allowance: Allowance) -> NewAllowance:
    return NewAllowance(
        conversation_id,
        account,
        clean(allowance.trigger)[:32],
        short_key(allowance.key),
        clean(allowance.group)[:32] if allowance.group else None,
        allowance.mode,
        allowance.opened_at,
        allowance.until,
        allowance.remaining,
    )


async def known(
    reader: Reader, conversations: Iterable[UUID]
) -> Mapping[UUID, tuple[Allowance, ...]]:
    """For each conversation its allowances that no newer one has replaced, the first to end first.

    Those that are over or used up are among them: a conversation whose window has closed differs from
    one of which the core knows nothing (no entry).
    """
    found: dict[UUID, list[Allowance]] = defaultdict(list)
    for row in await rows.open_rows(reader, conversations):
        found[row["conversation_id"]].append(_allowance(row))
    return {conversation: tuple(allowances) for conversation, allowances in found.items()}


def _allowance(row: Any) -> Allowance:
    return Allowance(
        trigger=row["trigger"],
        key=row["key"],
        opened_at=row["opened_at"],
        until=row["until"],
        remaining=row["remaining"],
        mode=row["mode"],
        group=row["grouping"],
        id=str(row["id"]),
    )


async def reply_states(
    reader: Reader, windowed: Mapping[UUID, bool], now: datetime
) -> Mapping[UUID, ReplyState]:
    """What may still be said in each conversation; *windowed* says whose channel has limits."""
    allowances = await known(reader, [one for one, limited in windowed.items() if limited])
    return {
        conversation: state_of(allowances.get(conversation, ()), limited, now)
        for conversation, limited in windowed.items()
    }


def state_of(allowances: Sequence[Allowance], windowed: bool, now: datetime) -> ReplyState:
    """What *allowances* still let us say at *now*."""
    until, remaining, modes = reply_state(allowances, windowed=windowed, now=now)
    return msgspec.convert({"until": until, "remaining": remaining, "modes": modes}, ReplyState)


async def reserve(
    tx: Transaction,
    conversation_id: UUID,
    cost: int,
    now: datetime,
    allowance_id: UUID | None = None,
) -> Reserved | None:
    """Take *cost* from a live allowance of the conversation; None when none has as much.

    *allowance_id* names the one that the draft speaks under; else it is the free one that ends first.
    Each taking has a turn of its own, also after a refund.
    """
    return await rows.reserve(tx, conversation_id, cost, now, allowance_id)


async def reserved(tx: Transaction, draft_id: UUID) -> Reserved | None:
    """What an earlier try of the draft has taken and kept."""
    return await rows.reserved(tx, draft_id)


async def refund(tx: Transaction, allowance_id: UUID, cost: int) -> None:
    """Give back what was reserved for something that was proven not sent."""
    await rows.refund(tx, allowance_id, cost)


async def exhaust(tx: Transaction, allowance_id: UUID) -> None:
    """The platform says that the allowance is used up, whatever we had counted."""
    await rows.exhaust(tx, allowance_id)
