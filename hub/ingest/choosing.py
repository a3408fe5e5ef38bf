"""What a route may look at, and what it says."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from hub.model import Message, Notice
from hub.text import clean

__all__ = ["Choice", "Choose", "Facts", "facts_of"]


class Facts(NamedTuple):
    """What a route may look at."""

    channel: str
    account: str
    kind: str
    text: str
    subject: str | None
    sender: str
    is_new: bool
    tags: Sequence[str] = ()
    knows_contact: bool = False
    at: datetime | None = None


class Choice(Protocol):
    """Where a route leads; a *sticky* one leaves a conversation in the queue that it has."""

    @property
    def queue(self) -> str: ...
    @property
    def sticky(self) -> bool: ...


Choose = Callable[[Facts], Choice]


def facts_of(
    one: Message | Notice,
    at: datetime,
    *,
    is_new: bool,
    knows_contact: bool,
    tags: Sequence[str] = (),
) -> Facts:
    """What *one* says of itself, beside what is known of its conversation."""
    return Facts(
        one.channel,
        one.account,
        one.kind,
        clean(one.text),
        one.subject if isinstance(one, Message) else None,
        one.sender.address.value if one.sender else "",
        is_new,
        tags,
        knows_contact,
        at,
    )
