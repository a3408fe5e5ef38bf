"""Who speaks, and where: addresses, participants, groups, conversations."""

from typing import Literal

from msgspec import Struct


class Address(Struct, frozen=True):
    """Where a person is reached.

    *scheme* names the kind of id ("wechat", "email", "tel"), *scope* the realm in which *value* is
    unique (an app id; empty for e-mail addresses and phone numbers).
    """

    scheme: str
    scope: str
    value: str


class Participant(Struct, frozen=True):
    """Who said it."""

    role: Literal["contact", "agent", "system"]
    address: Address
    name: str | None = None


class Group(Struct, frozen=True):
    """A group of people: the contact that a group's conversation is with.

    *name* is what the platform calls the group, where it says so. Who of them said a message is the
    message's own ``sender``.
    """

    address: Address
    name: str | None = None


class ConversationRef(Struct, frozen=True):
    """Which conversation a message belongs to; *thread_key* is unique within its account.

    All messages of one group have one *thread_key*, *is_group* and a :class:`Group` beside it.
    """

    id: str | None = None
    thread_key: str | None = None
    is_group: bool = False
    queue: str | None = None
