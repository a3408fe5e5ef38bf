"""What Chatwoot's callbacks and its API say of messages and conversations.

A callback names a message's type in words, the API by number (0 incoming, 1 outgoing, 2 activity,
3 template); the rest is of one shape.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from hub.destination import Heard, HeardFile, Seen, State

__all__ = ["heard_of", "seen_of_conversation", "seen_of_event"]

OURS = "hub:m:"
TYPES: Mapping[object, str] = {0: "incoming", 1: "outgoing", 2: "activity", 3: "template"}
STATES: Mapping[str, State] = {
    "open": "open",
    "pending": "pending",
    "snoozed": "pending",
    "resolved": "resolved",
}
MESSAGE_EVENTS = ("message_created", "message_updated")
CONVERSATION_EVENTS = (
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
)


def heard_of(message: Mapping[str, Any], hub_user: int | None) -> Heard:
    """One message; only what an agent or a bot said in public is a reply."""
    kind, reason = _kind(message, hub_user)
    sender = message.get("sender") or {}
    return Heard(
        ref=str(message["id"]),
        order=int(message["id"]),
        kind=kind,  # type: ignore[arg-type]
        text=message.get("content") or "",
        files=_files(message.get("attachments") or ()),
        author=sender.get("name"),
        reason=reason,
    )


def _kind(message: Mapping[str, Any], hub_user: int | None) -> tuple[str, str | None]:
    found = message.get("message_type")
    kind = TYPES.get(found, found)
    sender = message.get("sender") or {}
    attributes = message.get("content_attributes") or {}
    if kind == "incoming":
        return "echo", "the customer said it"
    if str(message.get("source_id") or "").startswith(OURS):
        return "echo", "the hub put it there"
    if hub_user is not None and sender.get("type") == "user" and sender.get("id") == hub_user:
        return "echo", "the hub's own user said it"
    if message.get("private") is not False:  # whatever is not known to be public is not sent
        return "note", "it is private"
    if kind != "outgoing":
        return "ignored", f"messages of the type {kind} are not for the customer"
    if attributes.get("deleted"):
        return "ignored", "it was deleted"
    if not (message.get("content") or "").strip() and not message.get("attachments"):
        return "ignored", "it says nothing"
    return "reply", None


def _files(found: Sequence[Mapping[str, Any]]) -> tuple[HeardFile, ...]:
    return tuple(
        HeardFile(url=one["data_url"], filename=_name(one["data_url"], one))
        for one in found
        if one.get("data_url")
    )


def _name(url: str, attachment: Mapping[str, Any]) -> str:
    last = unquote(urlsplit(url).path.rpartition("/")[2])
    return last or f"{attachment.get('file_type') or 'file'}-{attachment.get('id')}"


def seen_of_event(body: Mapping[str, Any], *, inbox_id: int, hub_user: int | None) -> Seen | None:
    """A callback; None: it says nothing that matters here."""
    event = body.get("event")
    if event in MESSAGE_EVENTS:
        conversation = body["conversation"]
        inbox = (body.get("inbox") or {}).get("id", conversation.get("inbox_id"))
        if inbox != inbox_id:
            return None
        return Seen(ticket=str(conversation["id"]), items=(heard_of(body, hub_user),))
    if event in CONVERSATION_EVENTS and body.get("inbox_id") == inbox_id:
        return seen_of_conversation(body)
    return None


def seen_of_conversation(conversation: Mapping[str, Any]) -> Seen:
    """How a conversation stands, and who has it."""
    meta = conversation.get("meta") or {}
    assignee = meta.get("assignee") or {}
    return Seen(
        ticket=str(conversation["id"]),
        state=STATES.get(str(conversation.get("status"))),
        assignee=str(assignee["id"]) if assignee.get("id") is not None else None,
        knows_assignee="assignee" in meta,
    )
