"""What a helpdesk may ask to have said: the body of ``POST /v1/conversations/{id}/messages``."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple
from uuid import UUID

from msgspec import Struct

from hub.model import Address, Link, Location, Menu, MessageKind, Template
from hub.replies.errors import InvalidReply

__all__ = [
    "AskedIn",
    "AttachmentRequest",
    "Author",
    "ReplyRequest",
    "RoutedReply",
    "Via",
    "kind_of",
    "plain",
    "readable",
]

_TEXT: Mapping[str, Any] = {"type": "string", "pattern": r"\S"}
_FILLED: Mapping[str, Any] = {"type": "string", "minLength": 1}
_OBJECT: Mapping[str, Any] = {"type": "object"}
_SOME: Mapping[str, Any] = {"type": "array", "minItems": 1}


def _given(name: str, schema: Mapping[str, Any] = _TEXT) -> Mapping[str, Any]:
    """For JSON Schema: the field is there, and neither null nor empty."""
    return {"required": [name], "properties": {name: schema}}


FileKind = Literal["image", "voice", "video", "file"]


class AttachmentRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file to send: one that was uploaded, by *id*, or one to fetch, by *url*.

    *kind* and *filename* say what a fetched file is; an uploaded one knows.
    """

    schema_extra: ClassVar[Mapping[str, Any]] = {
        "oneOf": [_given("id", _FILLED), _given("url", _FILLED)]
    }

    id: str | None = None
    url: str | None = None
    kind: FileKind = "file"
    filename: str | None = None


class ReplyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply as a helpdesk writes it; *in_reply_to* is the id of a message of the conversation.

    *automatic*: a machine wrote it (an answering machine, a notice of receipt), no person.
    """

    schema_extra: ClassVar[Mapping[str, Any]] = {
        "anyOf": [
            *(_given(name) for name in ("text", "html")),
            _given("attachments", _SOME),
            *(_given(name, _OBJECT) for name in ("menu", "template", "location", "link")),
        ]
    }

    text: str | None = None
    html: str | None = None
    subject: str | None = None
    attachments: tuple[AttachmentRequest, ...] = ()
    menu: Menu | None = None
    template: Template | None = None
    location: Location | None = None
    link: Link | None = None
    in_reply_to: str | None = None
    automatic: bool = False

    def check(self) -> None:
        """Raises InvalidReply for what no channel could say."""
        said = (self.menu, self.template, self.location, self.link)
        has_text = any(value and value.strip() for value in (self.text, self.html))
        if not has_text and not self.attachments and not any(said):
            raise InvalidReply("there is nothing to say")
        for number, attachment in enumerate(self.attachments):
            if bool(attachment.id) == bool(attachment.url):
                raise InvalidReply("wants either an id or a url", f"/attachments/{number}")


def plain(request: ReplyRequest) -> ReplyRequest:
    """What *request* says, without where it goes."""
    return ReplyRequest(**{name: getattr(request, name) for name in ReplyRequest.__struct_fields__})


class Via(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a reply goes instead: to the same contact, in the conversation that fits all that is given.

    *account* and *channel* are names, *address* is one of the contact's.
    """

    schema_extra: ClassVar[Mapping[str, Any]] = {
        "anyOf": [
            _given("account", _FILLED),
            _given("channel", _FILLED),
            _given("address", _OBJECT),
        ]
    }

    account: str | None = None
    channel: str | None = None
    address: Address | None = None


class RoutedReply(ReplyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reply as a helpdesk writes it, and the way to the contact that it takes, where that is another."""

    via: Via | None = None

    def check(self) -> None:
        """Raises InvalidReply for what no channel could say, or a way that is none."""
        super().check()
        if self.via and not (self.via.account or self.via.channel or self.via.address):
            raise InvalidReply("wants an account, a channel or an address", "/via")


class AskedIn(NamedTuple):
    """The conversation in which a reply was asked for that another one says, and why."""

    conversation_id: UUID
    reason: Literal["chosen", "closed"]


class Author(Struct, frozen=True):
    """Who says it: the *name* shown to people, the API token that was used (None: the console), and the
    *queues* that they see (None: all)."""

    name: str
    token_id: UUID | None = None
    queues: tuple[str, ...] | None = None


def kind_of(request: ReplyRequest) -> MessageKind:
    """What kind of message the reply is shown as."""
    if request.text or request.html or request.menu or request.template:
        return "text"
    if request.location:
        return "location"
    if request.link:
        return "link"
    return request.attachments[0].kind


def readable(request: ReplyRequest, names: tuple[str, ...]) -> str:
    """The reply as plain lines, for the plainest helpdesk; *names* are those of its files."""
    lines = [request.text or request.html or ""]
    if request.menu:
        lines += [request.menu.title, *(f"- {choice.label}" for choice in request.menu.choices)]
        lines += [request.menu.footer or ""]
    if request.template:
        lines.append(f"[template] {request.template.id}")
    if request.location:
        place = request.location
        label = f"{place.label}, " if place.label else ""
        lines.append(f"[location] {label}{place.latitude},{place.longitude}")
    if request.link:
        lines.append(f"[link] {request.link.title or request.link.url} {request.link.url}")
    lines += [f"[file] {name}" for name in names]
    return "\n".join(line for line in lines if line)
