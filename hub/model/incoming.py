"""What comes in: the raw event, and what a normalizer makes of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from hub.model.drafts import Allowance, Draft
from hub.model.people import Address, ConversationRef, Group, Participant

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


class Checkpoint(NamedTuple):
    """How far a pulled source has been taken in: *value* is JSON-like and opaque to the core."""

    key: str
    value: Mapping[str, Any]
