"""The record that says what a channel is, and what it can do."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from hub.channel.account import Account
from hub.channel.doors import Adapter, Listener, Socket
from hub.channel.parts import Checker, MediaSource, Normalizer, Sender
from hub.channel.tools import Tools
from hub.model import Address, ConversationRef


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a channel can do, as data; the conformance kit checks that it is what is observed.

    *free_text* is False where a reply's text goes out through approved templates only.
    *attachments* maps a kind to its largest size in bytes. *allowance* is how many replies one
    customer message opens, *reply_window* for how long (None: no limit). *drops_repeats_for* is for how
    long the platform may take an equal call for a repeat and drop it.
    """

    free_text: bool = True
    max_text_bytes: int | None = None
    max_text_characters: int | None = None
    attachments: Mapping[str, int] = {}
    reply_window: timedelta | None = None
    allowance: int | None = None
    drops_repeats_for: timedelta | None = None
    receipts: tuple[str, ...] = ()
    quoting: bool = False
    recall: bool = False
    proactive: bool = False
    menus: bool = False
    templates: bool = False
    signed: bool = True


Part = TypeVar("Part", covariant=True)


class Maker(Protocol[Part]):
    """Builds a part of a channel for one account."""

    def __call__(self, account: Account[Any], tools: Tools, /) -> Part: ...


class Opens(Protocol):
    """Where a message goes that nobody has asked for.

    A channel that writes first and whose addresses have a scope, or more than one spelling, needs this:
    otherwise what it writes to is a stranger's.
    """

    def __call__(self, to: Address, account: Account[Any], /) -> tuple[Address, ConversationRef]:
        """The recipient's address as this channel writes it, and the conversation it is in.

        *to* has no scope; another scheme than the one that comes back is refused.
        """
        ...


class Channel(Struct, frozen=True, kw_only=True):
    """What a channel is.

    *settings* is a ``msgspec.Struct`` class with documented fields. *hostile* channels are parsed in
    killable child processes. *max_body_bytes* is the largest callback body where the hub's usual
    limit is too small. *callback* says that the platform calls us at ``/in/{key}/{account}``.
    *setup* renders what an admin pastes into the platform's console. A maker of a listener may give
    None: this account has nothing to listen to. *opens* is for channels that write first and do not
    call a conversation by the bare address.
    """

    key: str
    title: str
    settings: type[Struct]
    normalize: Normalizer
    capabilities: Capabilities
    docs_url: str
    sender: Maker[Sender] | None = None
    adapter: Maker[Adapter] | None = None
    listener: Maker[Listener | None] | None = None
    socket: Maker[Socket] | None = None
    media: Maker[MediaSource] | None = None
    checker: Maker[Checker] | None = None
    opens: Opens | None = None
    hostile: bool = False
    max_body_bytes: int | None = None
    retries_on: str = "503"  # "close": this platform tries again only when the connection just ends
