"""What composing has in common for the channels of the WeChat family. Pure."""

import hashlib
import mimetypes
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from hub.model import Allowance, Reply, ReplyAttachment
from hub.text import split_text
from outbound._plain import noted, place_line

__all__ = ["budget", "fingerprint", "kept", "noted", "place_line", "text_parts", "type_of"]

_WINDOW = timedelta(hours=48)
_REPLIES_IN_WINDOW = 5
_DEFAULT_TYPES = {"image": "image/jpeg", "voice": "audio/amr", "video": "video/mp4"}


def budget(reply: Reply, allowances: Sequence[Allowance], now: datetime) -> int | None:
    """How many messages the platform lets us send now; None when nothing is known."""
    live = [one for one in allowances if one.mode == "free" and (not one.until or one.until > now)]
    if allowances:
        counts = [one.remaining for one in live]
        return None if None in counts else sum(count for count in counts if count)
    if reply.last_inbound_at is None:
        return None
    return _REPLIES_IN_WINDOW if now < reply.last_inbound_at + _WINDOW else 0


def text_parts(text: str, limit: int) -> Iterator[str]:
    """*text* in parts of *limit* bytes; a link (``<a …>…</a>``) that fits stays in one part."""
    while text:
        part = split_text(text[: limit + 1], limit)[0]
        opened = part.rfind("<a ")
        if len(part) < len(text) and opened > 0 and "</a>" not in part[opened:]:
            part = part[:opened]
        yield part
        text = text[len(part) :]


def type_of(attachment: ReplyAttachment) -> str:
    """The file's type as stated, else as its name tells, else the usual one of its kind."""
    stated = (attachment.mime_type or "").split(";")[0].strip().lower()
    if stated and stated != "application/octet-stream":
        return stated
    name = attachment.filename or attachment.path or ""
    if name.lower().endswith(".amr"):
        return "audio/amr"
    guessed = mimetypes.guess_type(name)[0] if name else None
    return guessed or _DEFAULT_TYPES.get(attachment.kind, "")


def fingerprint(made: str, attachment: ReplyAttachment) -> str | None:
    """*made* names the kind and the result, under which an earlier upload has kept its own."""
    if attachment.sha256:
        return f"{made}:{attachment.sha256}"
    if attachment.content is not None:
        return f"{made}:{hashlib.sha256(attachment.content).hexdigest()}"
    return None


def kept(attachment: ReplyAttachment) -> dict[str, Any]:
    """What the sender needs to read the file again, without its bytes."""
    facts: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(attachment, content=None))
    return {name: value for name, value in facts.items() if value is not None}
