"""Long messages that arrive in parts, in any order: filed as one."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from hub.model import Message, Notice
from hub.store import Transaction
from hub.store.inbox import InboxRow, short_key
from hub.store.parts import WAIT, KeptPart, keep_parts, mark_filed, waiting

__all__ = ["joined"]


class Read(Protocol):
    """An inbox row that was read."""

    @property
    def row(self) -> InboxRow:
        """The row."""
        ...


R = TypeVar("R", bound=Read)
Said = tuple[R, Message | Notice]


async def joined(tx: Transaction, said: Sequence[Said[R]], now: datetime) -> list[Said[R]]:
    """*said* with whole messages in the place of their last parts; what is not whole yet is kept.

    A message whose other parts have been waited for is filed with what there is, and says what is
    missing. The holder of a person's partition is the only one who files their parts.
    """
    parts = [(read, one) for read, one in said if isinstance(one, Message) and one.part]
    if not parts:
        return list(said)
    await keep_parts(tx, sorted({_kept(read, one) for read, one in parts}))
    last = {(read.row.account, _key(one)): (read, one) for read, one in parts}
    whole: dict[int, Message] = {}
    done: list[KeptPart] = []
    sets: dict[tuple[str, str], list[KeptPart]] = defaultdict(list)
    for kept in await waiting(tx, sorted(last)):
        sets[kept.account, kept.key].append(kept)
    for place, found in sets.items():
        _, one = last[place]
        message, used = _join(one, found, now)
        if message is not None:
            whole[id(one)] = message
            done += used
    if done:
        await mark_filed(tx, done)
    return [
        (read, whole.get(id(one), one))
        for read, one in said
        if id(one) in whole or not (isinstance(one, Message) and one.part)
    ]


def _key(one: Message) -> str:
    return short_key(one.part.key if one.part else "")


def _kept(read: Read, one: Message) -> KeptPart:
    return KeptPart(
        read.row.account,
        short_key(one.dedupe_key),
        _key(one),
        one.part.number if one.part else 1,
        one.text,
        read.row.id,
        read.row.event.received_at,
    )


def _join(
    last: Message, found: Sequence[KeptPart], now: datetime
) -> tuple[Message | None, Sequence[KeptPart]]:
    """The message, when all its parts are there or have been waited for, and which parts it is of."""
    total = last.part.total if last.part else 1
    first: dict[int, KeptPart] = {}
    for one in found:
        first.setdefault(one.number, one)
    whole = len(first) == total
    late = min(one.at for one in found) < now - WAIT
    if not whole and not late:
        return None, ()
    pieces = [
        first[number].text if number in first else f"[part {number} of {total} is missing]"
        for number in range(1, total + 1)
    ]
    used = list(first.values())
    key = min(used, key=lambda one: one.number).dedupe_key
    return msgspec.structs.replace(last, text="".join(pieces), dedupe_key=key, part=None), used
