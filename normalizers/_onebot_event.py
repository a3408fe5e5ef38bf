"""A OneBot event as every part of the channel reads it: whose it is, and what makes it the same event.

Source: https://github.com/botuniverse/onebot-11 (event/*.md)
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from hub.text import clean

__all__ = ["GROUP", "PRIVATE", "identity", "text_of", "thread_of"]

Fields = Mapping[str, Any]

GROUP, PRIVATE = "group:", "private:"
_MAX_TEXT = 200
_MAX_KEY = 200
_SAID = ("message", "message_sent")


def text_of(fields: Fields, name: str) -> str:
    """The field *name* as short text; empty when it is absent or not a plain value.

    Ids are numbers in the standard and text in some implementations.
    """
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean(str(value)).strip()[:_MAX_TEXT]


def thread_of(fields: Fields) -> str:
    """The conversation that an event belongs to: ``group:<id>``, ``private:<id>``, or empty."""
    if group := text_of(fields, "group_id"):
        temporary = text_of(fields, "message_type") == "private"
        if not temporary:
            return f"{GROUP}{group}"
    if user := text_of(fields, "user_id"):
        return f"{PRIVATE}{user}"
    return ""


def identity(fields: Fields | None, body: bytes) -> str:
    """What makes an event the same event, whichever way and how often it comes.

    ``message_id`` has 31 bits and is not unique by itself, so kind, peer and time count as well. Other
    events have no id: the hash of their content, whatever the order of its fields.
    """
    if fields is None:
        return f"sha256:{hashlib.sha256(body).hexdigest()}"
    if text_of(fields, "post_type") in _SAID:
        kind, number = text_of(fields, "message_type"), text_of(fields, "message_id")
        key = f"{kind}:{thread_of(fields)}:{number}:{text_of(fields, 'time')}"
        if number and len(key) <= _MAX_KEY and key.isprintable():
            return key
    canonical = msgspec.json.encode(fields, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"
