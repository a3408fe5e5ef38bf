"""What the helpdesk wants said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from hub.model.incoming import Location
from hub.model.people import Address


class ReplyAttachment(Struct, frozen=True, kw_only=True):
    """A file to send: by the *id* of an uploaded attachment, a local *path* (offline only) or a *url*.

    *content* is filled by whoever runs ``compose`` where the bytes are at hand.
    """

    kind: Literal["image", "voice", "video", "file"] = "file"
    filename: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    id: str | None = None
    path: str | None = None
    url: str | None = None
    content: bytes | None = None


class MenuChoice(Struct, frozen=True):
    """One line of a menu."""

    id: str
    label: str


class Menu(Struct, frozen=True):
    """A question with choices."""

    title: str
    choices: tuple[MenuChoice, ...]
    footer: str | None = None


class MiniProgram(Struct, frozen=True):
    """A page of a WeChat mini program."""

    app_id: str
    path: str


class Template(Struct, frozen=True):
    """A template that the platform has approved, with its parameters, and where a tap on it leads."""

    id: str
    params: Mapping[str, Any] = {}
    url: str | None = None
    mini_program: MiniProgram | None = None


class Link(Struct, frozen=True):
    """A link with a title, shown as a card where the channel can.

    With *mini_program* it leads into that, where the channel can; *url* is for all others.
    """

    url: str
    title: str | None = None
    description: str | None = None
    image_url: str | None = None
    mini_program: MiniProgram | None = None


class Reply(Struct, frozen=True, kw_only=True):
    """What the helpdesk wants said, and what the core knows about where it goes.

    *said_lately* is the JSON of the calls that said something in this conversation before, where the
    channel's capability ``drops_repeats_for`` asks for it.
    *automatic*: a machine says it, and no machine should answer.
    """

    to: Address
    thread_key: str | None = None
    text: str | None = None
    html: str | None = None
    subject: str | None = None
    attachments: tuple[ReplyAttachment, ...] = ()
    menu: Menu | None = None
    template: Template | None = None
    location: Location | None = None
    link: Link | None = None
    in_reply_to: str | None = None
    reply_context: Mapping[str, Any] = {}
    last_inbound_at: datetime | None = None
    message_id: str | None = None
    created_at: datetime | None = None
    said_lately: tuple[Any, ...] = ()
    automatic: bool = False
