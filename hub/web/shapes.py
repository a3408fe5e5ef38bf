"""What the API answers with; the structs are the documentation, and the answers are made to fit them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hub import ledger
from hub.ids import read_id, show_id
from hub.model import (
    Address,
    AttachmentState,
    Choice,
    ConversationRef,
    Location,
    MessageKind,
    Participant,
    ReplyState,
)
from hub.registry import channels
from hub.store import Database, Transaction
from hub.store.api import attachments_of
from hub.web.problems import not_found

__all__ = [
    "Attachment",
    "Contact",
    "Conversation",
    "ConversationPage",
    "ErrorInfo",
    "Message",
    "MessagePage",
    "ToldConversation",
    "conversation_views",
    "message_views",
    "own_id",
    "page_size",
]

ConversationState = Literal["open", "pending", "resolved"]
MessageStatus = Literal[
    "queued", "sending", "sent", "delivered", "read", "held", "unknown", "failed"
]


class Contact(Struct, frozen=True):
    """A person or group."""

    id: str
    name: str | None


class Conversation(Struct, frozen=True, kw_only=True):
    """One contact with one account over time; *reply* says what may still be said now."""

    id: str
    account: str
    channel: str
    thread_key: str
    is_group: bool
    queue: str
    state: ConversationState
    case_number: int
    subject: str | None
    tags: tuple[str, ...]
    assignee: str | None
    contact: Contact
    address: Address
    last_seq: int
    reply: ReplyState
    last_inbound_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ToldConversation(Struct, frozen=True, kw_only=True):
    """A conversation as an event tells it."""

    id: str
    account: str
    channel: str
    thread_key: str
    is_group: bool
    queue: str
    state: ConversationState
    case_number: int
    subject: str | None
    tags: tuple[str, ...]
    assignee: str | None
    contact: Contact
    address: Address
    created_at: datetime


class ConversationPage(Struct, frozen=True):
    """A page of conversations; *next* is the cursor of the page after it, null on the last."""

    items: tuple[Conversation, ...]
    next: str | None


class ErrorInfo(Struct, frozen=True):
    """Why a message was not sent: *code* is ours, *external_code* and *trace_id* the platform's."""

    code: str
    message: str
    detail: str | None = None
    external_code: str | None = None
    trace_id: str | None = None


class Attachment(Struct, frozen=True, kw_only=True):
    """A file of a message; *url* is stable and leads to a short-lived link once it is ``stored``.

    *source* are the facts by which the platform knows the file.
    """

    id: str
    kind: Literal["image", "voice", "video", "file", "sticker"]
    mime_type: str | None
    filename: str | None
    size_bytes: int | None
    sha256: str | None
    state: AttachmentState
    url: str
    source: Mapping[str, Any] = {}


class Message(Struct, frozen=True, kw_only=True):
    """A message: the same shape in webhooks, in the API and in ``hub try``.

    *status*, *status_at* and *error* are those of an outbound message and absent from inbound ones.
    """

    id: str
    channel: str
    account: str
    direction: Literal["inbound", "outbound"]
    seq: int
    kind: MessageKind
    text: str
    html: str | None
    subject: str | None
    sender: Participant
    conversation: ConversationRef
    external_id: str | None
    dedupe_key: str
    in_reply_to: str | None
    sent_at: datetime
    received_at: datetime | None
    attachments: tuple[Attachment, ...]
    location: Location | None
    choice: Choice | None
    reply: ReplyState | None
    extra: Mapping[str, Any]
    status: MessageStatus | UnsetType = UNSET
    status_at: datetime | UnsetType = UNSET
    error: ErrorInfo | UnsetType | None = UNSET


class MessagePage(Struct, frozen=True):
    """A page of messages; *next* is the cursor of the page after it, null on the last."""

    items: tuple[Message, ...]
    next: str | None


def own_id(prefix: str, text: str) -> UUID:
    """The UUID behind *text*.

    Raises:
        Problem: 404, it is no id of that kind.
    """
    found = read_id(prefix, text)
    if found is None:
        raise not_found()
    return found


def page_size(limit: int) -> int:
    """How many rows to read for a page of *limit*: one more tells whether there is another page."""
    return limit + 1


async def conversation_views(
    reader: Database | Transaction, rows: Sequence[Any], now: datetime
) -> tuple[Conversation, ...]:
    """Rows of conversations as the API shows them."""
    states = await ledger.reply_states(
        reader, {row["id"]: _windowed(row["channel"]) for row in rows}, now
    )
    return tuple(_conversation(row, states[row["id"]]) for row in rows)


def _windowed(channel: str) -> bool:
    known = channels().get(channel)
    return known is not None and ledger.is_windowed(known.capabilities)


def _conversation(row: Any, reply: ReplyState) -> Conversation:
    return Conversation(
        id=show_id("cnv", row["id"]),
        account=row["account"],
        channel=row["channel"],
        thread_key=row["thread_key"],
        is_group=row["is_group"],
        queue=row["queue"],
        state=row["state"],
        case_number=row["case_number"],
        subject=row["subject"],
        tags=tuple(msgspec.json.decode(row["tags"])),
        assignee=row["assignee"],
        contact=Contact(show_id("cnt", row["contact_id"]), row["contact_name"]),
        address=Address(row["address_scheme"], row["address_scope"], row["address_value"]),
        last_seq=row["last_seq"],
        reply=reply,
        last_inbound_at=row["last_inbound_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


async def message_views(db: Database, rows: Sequence[Any]) -> tuple[Mapping[str, Any], ...]:
    """Rows of messages as the API shows them: as they were told, with what has changed since."""
    files = await attachments_of(db, [row["id"] for row in rows])
    now_known = {show_id("att", row["id"]): row for row in files}
    return tuple(_message(row, now_known) for row in rows)


def _message(row: Any, files: Mapping[str, Any]) -> Mapping[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(row["body"])
    body["conversation"] = {**body["conversation"], "queue": row["queue"]}
    body["attachments"] = [_fresh(one, files.get(one["id"])) for one in body["attachments"]]
    if row["direction"] == "outbound":
        body["status"] = row["status"]
        body["status_at"] = row["status_at"]
        body["error"] = msgspec.json.decode(row["error"]) if row["error"] else None
    return body


_FRESH = ("mime_type", "filename", "size_bytes", "sha256", "state")


def _fresh(shown: dict[str, Any], row: Any | None) -> Mapping[str, Any]:
    return shown if row is None else {**shown, **{name: row[name] for name in _FRESH}}
