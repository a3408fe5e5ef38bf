"""What was said, by whom and where, as it stands in the platform's own words."""

from collections.abc import Sequence
from typing import NamedTuple

from hub.model import Address, Message, Notice, Result
from hub.store.conversations import Key
from hub.store.inbox import InboxRow, short_key
from hub.text import clean

__all__ = ["Place", "Read", "Said", "home_of", "name_of", "said_of", "tidy"]


class Read(NamedTuple):
    """An inbox row and what it means, with the files that it carried kept already."""

    row: InboxRow
    results: Sequence[Result]
    windowed: bool


class Place(NamedTuple):
    """Where something belongs.

    *home* is the address that the conversation is with: the group, or the person. *own* is the
    conversation's key, *apart* the one that is used when *own* is somebody else's thread.
    """

    home: Address
    own: Key
    apart: Key


class Said(NamedTuple):
    """A message or notice of a row, by the account and the key that no other of its kind has.

    *place* is None when it belongs to no conversation at all.
    """

    read: Read
    one: Message | Notice
    key: Key
    place: Place | None

    @property
    def account(self) -> str:
        """Whose row it was."""
        return self.read.row.account


def said_of(read: Read, one: Message | Notice) -> Said:
    """*one* with its key and place, worked out once."""
    account, conversation = read.row.account, one.conversation
    key = (account, short_key(one.dedupe_key))
    if one.sender is None or conversation is None or not conversation.thread_key:
        return Said(read, one, key, None)
    home = home_of(one)
    thread = short_key(conversation.thread_key)
    apart = thread if thread == home.value else short_key(f"{thread} {home.value}")
    return Said(read, one, key, Place(home, (account, thread), (account, apart)))


def home_of(one: Message | Notice) -> Address:
    """The address of the group, or else of the sender, which there must be."""
    assert one.sender is not None  # noqa: S101
    address = one.group.address if one.group else one.sender.address
    place = one.conversation
    if place and place.is_group and place.thread_key and not one.group:
        address = Address(address.scheme, address.scope, place.thread_key)
    return tidy(address)


def tidy(address: Address) -> Address:
    """*address* as it is stored."""
    scope, value = clean(address.scope), short_key(address.value)
    if (scope, value) == (address.scope, address.value):
        return address
    return Address(address.scheme, scope, value)


def name_of(one: Message | Notice) -> str | None:
    """What the contact of the conversation is called: the group, or the person."""
    if one.conversation and one.conversation.is_group:
        return clean(one.group.name) if one.group and one.group.name else None
    return clean(one.sender.name) if one.sender and one.sender.name else None
