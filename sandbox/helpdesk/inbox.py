"""The conversations that the helpdesk knows, in memory and bounded."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

KEPT_CONVERSATIONS = 500
KEPT_MESSAGES = 500
SHOWN_TEXT = 20_000
PREVIEW_LENGTH = 140

RANK = {
    "queued": 0,
    "sending": 1,
    "held": 2,
    "unknown": 3,
    "sent": 4,
    "delivered": 5,
    "read": 6,
    "failed": 7,
}
"""The usual way of a message, for reports that do not say when."""

Json = dict[str, Any]


@dataclass(slots=True)
class Conversation:
    """One conversation, as the list on the page shows it."""

    id: str
    channel: str = ""
    account: str = ""
    name: str = ""
    address: str = ""
    subject: str | None = None
    queue: str | None = None
    state: str = "open"
    unread: int = 0
    last_at: str = ""
    preview: str = ""
    last_direction: str = ""
    reply: Json | None = None
    messages: OrderedDict[str, Json] = field(default_factory=OrderedDict)

    def summary(self) -> Json:
        return {
            "id": self.id,
            "channel": self.channel,
            "account": self.account,
            "name": self.name,
            "address": self.address,
            "subject": self.subject,
            "queue": self.queue,
            "state": self.state,
            "unread": self.unread,
            "last_at": self.last_at,
            "preview": self.preview,
            "last_direction": self.last_direction,
            "reply": self.reply,
        }


class Inbox:
    """All conversations, the one with the newest message last.

    Args:
        names: who is behind an address: a helpdesk's address book. A WeChat
            account learns no names, so the demo puts its customers in here.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.names = dict(names or {})
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._home_of: dict[str, str] = {}

    def conversations(self) -> list[Conversation]:
        return list(self._conversations.values())

    def get(self, conversation_id: str) -> Conversation | None:
        return self._conversations.get(conversation_id)

    def find_message(self, message_id: str) -> tuple[Conversation, Json] | None:
        conversation = self._conversations.get(self._home_of.get(message_id, ""))
        if conversation is None or message_id not in conversation.messages:
            return None
        return conversation, conversation.messages[message_id]

    def find_attachment(self, attachment_id: str) -> Json | None:
        """An attachment of any message still held."""
        for conversation in self._conversations.values():
            for message in conversation.messages.values():
                for attachment in message["attachments"]:
                    if attachment.get("id") == attachment_id:
                        return dict(attachment)
        return None

    def add_message(self, raw: Json, *, is_old: bool = False) -> tuple[Conversation, Json] | None:
        """File a message as the hub describes it; None when it names no conversation.

        *is_old*: it is history, so it makes nothing unread.
        """
        home = raw.get("conversation") or {}
        conversation_id = home.get("id") or raw.get("conversation_id")
        if not conversation_id or not raw.get("id"):
            return None
        conversation = self._meet(str(conversation_id))
        message = _shown(raw)
        known = conversation.messages.get(message["id"])
        if known is not None and _is_older(message, known):
            message.update({name: known[name] for name in ("status", "status_at", "detail")})
        self._describe(conversation, raw, home)
        self._keep(conversation, message)
        if message["direction"] == "inbound" and known is None and not is_old:
            conversation.unread += 1
        return conversation, message

    def set_status(self, raw: Json) -> tuple[Conversation, Json] | None:
        """Believe a ``message.status``; an unknown message is filed from what the event says."""
        found = self.find_message(str(raw.get("id", "")))
        if found is None:
            return self.add_message({"direction": "outbound", **raw})
        conversation, message = found
        told = {
            "status": raw.get("status"),
            "status_at": raw.get("status_at"),
            "detail": _detail(raw),
        }
        if not _is_older(told, message):
            message.update(told)
        if isinstance(raw.get("reply"), dict):
            conversation.reply = raw["reply"]
        return conversation, message

    def update_conversation(self, raw: Json) -> Conversation | None:
        """Queue, state and subject from a ``conversation.*`` event or the API."""
        if not raw.get("id"):
            return None
        conversation = self._meet(str(raw["id"]))
        for name in ("queue", "state", "subject", "channel", "account", "reply"):
            if raw.get(name) is not None:
                setattr(conversation, name, raw[name])
        self._introduce(conversation, raw.get("address"), (raw.get("contact") or {}).get("name"))
        return conversation

    def begin_again(self, message_id: str) -> tuple[Conversation, Json] | None:
        """A person said "send again": the message's states start over."""
        found = self.find_message(message_id)
        if found is not None:
            found[1].update(status="queued", status_at=None, detail=None)
        return found

    def set_attachment(self, raw: Json) -> tuple[Conversation, Json] | None:
        """An attachment has become ready, or failed."""
        if raw.get("id") is None:
            return None
        for conversation in self._conversations.values():
            for message in conversation.messages.values():
                for attachment in message["attachments"]:
                    if attachment.get("id") == raw.get("id"):
                        attachment.update(_shown_attachment(raw))
                        return conversation, message
        return None

    def read(self, conversation_id: str) -> Conversation | None:
        conversation = self._conversations.get(conversation_id)
        if conversation is not None:
            conversation.unread = 0
        return conversation

    # ---------------------------------------------------------------------

    def _meet(self, conversation_id: str) -> Conversation:
        conversation = self._conversations.setdefault(
            conversation_id, Conversation(conversation_id)
        )
        self._conversations.move_to_end(conversation_id)
        if len(self._conversations) > KEPT_CONVERSATIONS:
            _, forgotten = self._conversations.popitem(last=False)
            for message_id in forgotten.messages:
                self._home_of.pop(message_id, None)
        return conversation

    def _describe(self, conversation: Conversation, raw: Json, home: Json) -> None:
        conversation.channel = str(raw.get("channel") or conversation.channel)
        conversation.account = str(raw.get("account") or conversation.account)
        conversation.queue = home.get("queue") or conversation.queue
        conversation.subject = conversation.subject or raw.get("subject")
        if isinstance(raw.get("reply"), dict):
            conversation.reply = raw["reply"]
        if home.get("is_group"):  # its name is the group's, whoever speaks
            self._introduce(conversation, {"value": home.get("thread_key")}, None)
        elif raw.get("direction") == "inbound":
            sender = raw.get("sender") or {}
            self._introduce(conversation, sender.get("address"), sender.get("name"))

    def _introduce(self, conversation: Conversation, address: object, name: object) -> None:
        """Say who is behind the conversation, as well as it is known."""
        value = str(address.get("value") or "") if isinstance(address, dict) else ""
        conversation.address = value or conversation.address
        known = self.names.get(conversation.address) or name or conversation.name
        conversation.name = str(known or conversation.address)

    def _keep(self, conversation: Conversation, message: Json) -> None:
        conversation.messages[message["id"]] = message
        self._home_of[message["id"]] = conversation.id
        if len(conversation.messages) > KEPT_MESSAGES:
            forgotten, _ = conversation.messages.popitem(last=False)
            self._home_of.pop(forgotten, None)
        newest = next(reversed(conversation.messages.values()))
        conversation.last_at = newest["at"]
        conversation.last_direction = newest["direction"]
        conversation.preview = newest["text"][:PREVIEW_LENGTH]


def _shown(raw: Json) -> Json:
    """The part of a message that the page shows; *sender* is who of a group said it."""
    inbound = raw.get("direction", "inbound") == "inbound"
    in_group = bool((raw.get("conversation") or {}).get("is_group"))
    sender = raw.get("sender") or {}
    value = (sender.get("address") or {}).get("value")
    return {
        "sender": (sender.get("name") or value) if inbound and in_group else None,
        "id": str(raw["id"]),
        "direction": "inbound" if inbound else "outbound",
        "kind": str(raw.get("kind") or "text"),
        "text": str(raw.get("text") or "")[:SHOWN_TEXT],
        "subject": raw.get("subject"),
        "status": None if inbound else str(raw.get("status") or "queued"),
        "status_at": raw.get("status_at"),
        "detail": _detail(raw),
        "at": str(raw.get("sent_at") or raw.get("created_at") or raw.get("received_at") or ""),
        "attachments": [
            _shown_attachment(each)
            for each in raw.get("attachments") or []
            if isinstance(each, dict)
        ],
        "location": raw.get("location"),
    }


def _shown_attachment(raw: Json) -> Json:
    names = ("id", "kind", "mime_type", "filename", "size_bytes", "state", "url")
    return {name: raw.get(name) for name in names}


def _detail(raw: Json) -> str | None:
    """Why it failed or is held, wherever the event says it."""
    for name in ("detail", "reason", "error"):
        value = raw.get(name)
        if isinstance(value, dict):
            facts = (value.get(key) for key in ("detail", "message", "title", "code"))
            value = next((fact for fact in facts if fact), None)
        if value:
            return str(value)[:500]
    return None


def _is_older(told: Json, known: Json) -> bool:
    """Whether the state in *told* came before the one that is *known*.

    Both say when; where one does not, a later, lower report is not believed.
    """
    if told.get("status") is None or known.get("status") is None:
        return told.get("status") is None
    then, before = _time(told.get("status_at")), _time(known.get("status_at"))
    if then and before and then != before:
        return then < before
    if known["status"] in ("held", "unknown"):
        return False
    return RANK.get(told["status"], 0) < RANK.get(known["status"], 0)


def _time(text: object) -> datetime | None:
    """An RFC 3339 time, which cannot be compared as text: a whole second has no fraction."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
