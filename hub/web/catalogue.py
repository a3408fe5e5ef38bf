"""The events that the hub tells: their types, and what the data of each is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct

from hub.model import ConversationRef, Participant
from hub.web.shapes import Attachment, Message, ToldConversation

__all__ = ["EVENTS", "EventKind"]


class Order(Struct, frozen=True):
    """The place of a delivery in its lane: *n* counts from 1 without gaps; only in webhooks."""

    lane: str
    n: int


class MessageData(Struct, frozen=True):
    """A message, and its place in the lane."""

    message: Message
    order: Order | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """Something that happened and is not a message: subscribed, scanned a code, clicked a menu."""

    id: str
    channel: str
    account: str
    kind: str
    text: str
    sender: Participant | None
    conversation: ConversationRef | None
    external_id: str | None
    dedupe_key: str
    sent_at: datetime
    received_at: datetime | None
    extra: Mapping[str, Any]


class NoticeData(Struct, frozen=True):
    """A notice, and its place in the lane."""

    notice: Notice
    order: Order | None = None


class ConversationData(Struct, frozen=True):
    """A conversation, and its place in the lane."""

    conversation: ToldConversation
    order: Order | None = None


class MergeFacts(Struct, frozen=True):
    """Two contacts, *kept* and *gone*, that became one *at* a time; *undone_at* null: they still are."""

    id: str
    kept: str
    gone: str
    at: datetime
    undone_at: datetime | None


class MergeData(Struct, frozen=True, kw_only=True):
    """Two contacts that became one, or are two again; `GET /v1/contacts/{kept}` tells the rest."""

    merge: MergeFacts
    order: Order | None = None


class AttachmentData(Struct, frozen=True, kw_only=True):
    """A file that can be fetched now, or never will be (see its *state*)."""

    attachment: Attachment
    message_id: str | None = None
    conversation_id: str | None = None
    order: Order | None = None


class AccountData(Struct, frozen=True, kw_only=True):
    """An account that was stopped, or is well again."""

    account: str
    channel: str
    state: str
    reason: str | None
    since: datetime
    order: Order | None = None


class GapData(Struct, frozen=True, kw_only=True):
    """A delivery that was given up and whose place in the lane this event takes."""

    event_id: str
    event_type: str
    delivery_id: str
    reason: str
    order: Order | None = None


class EventKind(NamedTuple):
    """One type of event."""

    name: str
    data: type[Struct]
    description: str


EVENTS: tuple[EventKind, ...] = (
    EventKind("message.received", MessageData, "A customer has said something."),
    EventKind(
        "message.status",
        MessageData,
        "A reply is queued, sent, delivered, read, held, failed or of unknown outcome.",
    ),
    EventKind("notice.received", NoticeData, "Something happened that is not a message."),
    EventKind("conversation.created", ConversationData, "A new conversation has begun."),
    EventKind(
        "conversation.updated", ConversationData, "Queue, state, tags or assignee have changed."
    ),
    EventKind("contact.merged", MergeData, "Two contacts turned out to be one person."),
    EventKind("contact.unmerged", MergeData, "They are two after all: the merge was undone."),
    EventKind("attachment.ready", AttachmentData, "A file of a message was fetched, or cannot be."),
    EventKind("account.state", AccountData, "An account was stopped, or is well again."),
    EventKind("delivery.gap", GapData, "A delivery was given up; the lane goes on after it."),
)
