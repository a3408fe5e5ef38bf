"""A value as the hub shows it everywhere."""

from collections.abc import Mapping
from typing import Any

from hub.model.incoming import Attachment, Ignored, Message, Notice, Receipt


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
