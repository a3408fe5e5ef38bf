"""The values that travel through the hub; the words are those of the glossary.

All of them are frozen. Times are aware UTC datetimes. What only the core can know (ids, ``seq``,
queue) is None until the core has filed the message.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct

__all__ = [
    "Address",
    "Allowance",
    "Attachment",
    "AttachmentState",
    "Checkpoint",
    "Choice",
    "ConversationRef",
    "Draft",
    "Group",
    "Ignored",
    "InboundEvent",
    "Link",
    "Location",
    "Menu",
    "MenuChoice",
    "Message",
    "MessageKind",
    "MiniProgram",
    "Notice",
    "Part",
    "Participant",
    "Quota",
    "Receipt",
    "ReceiptStatus",
    "Reply",
    "ReplyAttachment",
    "ReplyState",
    "Result",
    "Secret",
    "Spoken",
    "Template",
    "public_json",
]

MessageKind = Literal[
    "text",
    "image",
    "voice",
    "video",
    "file",
    "location",
    "link",
    "card",
    "choice",
    "sticker",
    "unsupported",
]
AttachmentState = Literal["pending", "stored", "failed", "expired", "refused"]
ReceiptStatus = Literal["sent", "delivered", "read", "held", "unknown", "failed"]


class Secret:
    """A setting that must never be seen: it has no readable repr, str or JSON form."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the one line that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


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


class Attachment(Struct, frozen=True, kw_only=True):
    """A file that came with a message.

    *source* holds what the channel's MediaSource needs to fetch it (``{"media_id": "…"}``); *content*
    carries the bytes where the raw event already held them (mail) and never appears in JSON.
    """

    kind: Literal["image", "voice", "video", "file", "sticker"]
    id: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    state: AttachmentState = "pending"
    url: str | None = None
    source: Mapping[str, Any] = {}
    content: bytes | None = None


class Location(Struct, frozen=True):
    """A place, in WGS-84-like decimal degrees as the platform gave them."""

    latitude: float
    longitude: float
    label: str | None = None


class Choice(Struct, frozen=True):
    """What the customer picked from a menu; *menu_id* is ours when we sent the menu."""

    id: str
    label: str | None = None
    menu_id: str | None = None


class ReplyState(Struct, frozen=True):
    """What may still be said: until when, how often (None: no limit), and in which modes."""

    until: datetime | None
    remaining: int | None
    modes: tuple[Literal["free", "template", "active"], ...] = ("free",)


class Allowance(Struct, frozen=True, kw_only=True):
    """What a platform lets us say because of one trigger.

    *trigger* is the kind of thing that opened it ("message", "menu", "subscribe", "scan"), *key* is
    unique per trigger within the address (the trigger's own id). *remaining* is None when the platform
    sets no count. *group* names allowances that replace one another: a newer allowance of the same
    group closes the older one (each WeChat user message opens a fresh five). *mode* is what may be
    said: anything, a template only, or, without any trigger of the customer's, ``active`` messages
    (``remaining=0``: the customer refuses them).
    """

    trigger: str
    key: str
    opened_at: datetime
    until: datetime | None = None
    remaining: int | None = None
    mode: Literal["free", "template", "active"] = "free"
    group: str | None = None
    id: str | None = None


class InboundEvent(Struct, frozen=True, kw_only=True):
    """What a platform sent, byte for byte as it reads after decryption, and how it was proven.

    *dedupe_key* is the platform's own id, or the sha256 of the decrypted bytes; unique per account.
    *order_key* is what must stay in order (the sender or thread). *headers* is the small subset that
    the normalizer needs; *proof* names what was checked ("msg_signature", "imap", "none").
    """

    dedupe_key: str
    order_key: str
    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = {}
    proof: str = "none"


class Quota(Struct, frozen=True):
    """At most *limit* calls under *key* of the account in any *per_s* seconds."""

    key: str
    limit: int
    per_s: float


class Spoken(Struct, frozen=True):
    """What a call speaks under: the allowance's *trigger* and *key*, and its *turn* among its calls.

    Turns are counted from 1 and never given twice, not even after a call that did not arrive. A call
    that is made again keeps its turn; *again* says that an earlier try of it may have arrived.
    """

    trigger: str
    key: str
    turn: int
    again: bool = False


class Draft(Struct, frozen=True, kw_only=True):
    """One platform call of a reply.

    ``role="prepare"`` may be repeated and its result is kept under *result* (an upload's
    ``media_id``); ``role="say"`` speaks to the customer and runs at most once. Secrets and tokens
    stand as ``***`` and results of earlier drafts as ``{{name}}``; the sender puts both in when it
    sends. *text* is the part of the reply's text that this draft carries; *note* says what was
    downgraded and why; *cost* is how much of an allowance it uses; *fingerprint* lets the result of
    an equal prepare be used again while it is fresh; *deadline* ends its usefulness. *repeatable*
    says that the platform itself removes duplicates of this very call, so that it may be made again
    when nobody knows whether it arrived, for *repeatable_for_s* (None: at any time); *allowance* is
    the id of the allowance that it speaks under (None: the one that ends first); *timeout_s* how long
    the call may take where that is more than the usual 15 s (a large mail on a slow line).
    *only_in_answer* says that no call can make it: it goes inside the HTTP answer to a callback (see
    :class:`hub.channel.AwaitReply`), or waits for one. *quotas* are what the platform lets this
    customer have; the core counts them before the call.
    *shown* are facts that people see with the message (how many SMS it becomes). *spoken* is written
    by the core, with the intent to make the call and before it is made: senders read it, composers
    leave it alone.
    """

    method: str
    url: str
    role: Literal["prepare", "say"] = "say"
    headers: Mapping[str, str] = {}
    json: Any = None
    form: Mapping[str, Any] | None = None
    body: str | None = None
    result: str | None = None
    text: str | None = None
    note: str | None = None
    cost: int = 1
    fingerprint: str | None = None
    fresh_for_s: float | None = None
    deadline: datetime | None = None
    repeatable: bool = False
    repeatable_for_s: float | None = None
    allowance: str | None = None
    timeout_s: float | None = None
    only_in_answer: bool = False
    quotas: tuple[Quota, ...] = ()
    shown: Mapping[str, Any] = {}
    spoken: Spoken | None = None
    extra: Mapping[str, Any] = {}


class Part(Struct, frozen=True):
    """Which part of a long message it is: *number* (from 1) of the *total* that share *key*."""

    key: str
    number: int
    total: int


class Message(Struct, frozen=True, kw_only=True):
    """What was said, once, in one direction.

    *thread_hints* are external ids that may lead to an existing conversation, strongest first; the
    core resolves them before it falls back to ``conversation.thread_key``. They count only for who the
    conversation is with; *open_hints*, which only those can know whom we wrote to, for everybody.
    *known_ids* are further external ids to remember for later hints. *reply_context* is what the
    sender of this channel needs to answer. *contact_addresses* are other addresses of the same
    contact. *drafts* are urgent answers that cannot wait for a helpdesk. *part*: it is a part of
    a long message; the core files them as one when all are here, or what there is after a while.
    *group* is whom the conversation is with where that is not the sender.
    """

    channel: str
    account: str
    kind: MessageKind
    text: str
    sender: Participant
    conversation: ConversationRef
    dedupe_key: str
    sent_at: datetime
    direction: Literal["inbound", "outbound"] = "inbound"
    id: str | None = None
    seq: int | None = None
    html: str | None = None
    subject: str | None = None
    external_id: str | None = None
    in_reply_to: str | None = None
    received_at: datetime | None = None
    attachments: tuple[Attachment, ...] = ()
    location: Location | None = None
    choice: Choice | None = None
    reply: ReplyState | None = None
    extra: Mapping[str, Any] = {}
    thread_hints: tuple[str, ...] = ()
    open_hints: tuple[str, ...] = ()
    known_ids: tuple[str, ...] = ()
    reply_context: Mapping[str, Any] = {}
    allowances: tuple[Allowance, ...] = ()
    contact_addresses: tuple[Address, ...] = ()
    drafts: tuple[Draft, ...] = ()
    part: Part | None = None
    group: Group | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """Something that happened and is not a message: subscribed, scanned a code, clicked a menu.

    *consent*: the sender does not want to be written to any more, or wants to again; the core keeps it
    and lets nothing out against it.
    *thread_hints* are external ids that lead to an existing conversation; a notice that has them
    makes none.
    *same_as* are other addresses that the platform says are the sender too, such as a ``unionid`` of
    WeChat; the contacts behind them become one.
    """

    channel: str
    account: str
    kind: str
    text: str
    dedupe_key: str
    sent_at: datetime
    sender: Participant | None = None
    conversation: ConversationRef | None = None
    id: str | None = None
    external_id: str | None = None
    received_at: datetime | None = None
    consent: Literal["withdrawn", "given"] | None = None
    extra: Mapping[str, Any] = {}
    thread_hints: tuple[str, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    drafts: tuple[Draft, ...] = ()
    group: Group | None = None
    same_as: tuple[Address, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True):
    """What a platform reports about a message that we sent.

    A sender returns one from each call; a normalizer makes one from a delivery report. *external_id*
    is the platform's id of our message; *message_id* is ours, where the report carries it. *results*
    are values that later drafts need. *is_recipient_gone* says of a failure that the address takes
    nothing any more.
    """

    status: ReceiptStatus
    external_id: str | None = None
    message_id: str | None = None
    occurred_at: datetime | None = None
    code: str | None = None
    detail: str | None = None
    address: Address | None = None
    dedupe_key: str | None = None
    known_ids: tuple[str, ...] = ()
    is_recipient_gone: bool = False
    results: Mapping[str, Any] = {}
    extra: Mapping[str, Any] = {}


class Ignored(Struct, frozen=True):
    """An input understood and deliberately left."""

    reason: str
    extra: Mapping[str, Any] = {}


Result = Message | Notice | Receipt | Ignored


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


class Checkpoint(NamedTuple):
    """How far a pulled source has been taken in: *value* is JSON-like and opaque to the core."""

    key: str
    value: Mapping[str, Any]


def public_json(value: Message | Notice | Receipt | Ignored) -> dict[str, Any]:
    """*value* as the hub shows it everywhere: version 1 of the message as JSON, without the inside.

    Values inside are as they are in *value*; ``msgspec.json`` writes them, times as RFC 3339.
    """
    shown = {name: getattr(value, name) for name in _PUBLIC[type(value)]}
    if shown.get("attachments"):
        shown["attachments"] = [_without_content(one) for one in shown["attachments"]]
    return shown


def _without_content(attachment: Attachment) -> dict[str, Any]:
    names = (name for name in Attachment.__struct_fields__ if name != "content")
    return {name: getattr(attachment, name) for name in names}


_PUBLIC: Mapping[type, tuple[str, ...]] = {
    Message: (
        "id",
        "channel",
        "account",
        "direction",
        "seq",
        "kind",
        "text",
        "html",
        "subject",
        "sender",
        "conversation",
        "external_id",
        "dedupe_key",
        "in_reply_to",
        "sent_at",
        "received_at",
        "attachments",
        "location",
        "choice",
        "reply",
        "extra",
    ),
    Notice: (
        "id",
        "channel",
        "account",
        "kind",
        "text",
        "sender",
        "conversation",
        "external_id",
        "dedupe_key",
        "sent_at",
        "received_at",
        "extra",
    ),
    Receipt: (
        "status",
        "external_id",
        "message_id",
        "occurred_at",
        "code",
        "detail",
        "address",
        "dedupe_key",
        "extra",
    ),
    Ignored: ("reason", "extra"),
}
