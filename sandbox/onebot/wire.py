"""The wire format, written again from the standard so that it can judge ours.

Sources: https://github.com/botuniverse/onebot-11 (message/string.md, communication/http-post.md);
message ids: NapCat's map of messages.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cq_string", "message_number", "plain_text", "signature"]

Segment = Mapping[str, Any]


def signature(secret: str, body: bytes) -> str:
    """The header ``X-Signature`` of an event."""
    return "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


def message_number(made: str) -> int:
    """NapCat's ``message_id``: *made* is ``<id>|<chat type>|<peer>``. 31 bits, so that it may repeat."""
    digest = hashlib.md5(made.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def cq_string(segments: Sequence[Segment]) -> str:
    """*segments* as one string with CQ codes, as accounts set to ``string`` get them."""
    return "".join(map(_code, segments))


def _code(segment: Segment) -> str:
    data = segment["data"]
    if segment["type"] == "text":
        return _escaped(str(data["text"]))
    pairs = "".join(f",{name}={_escaped(str(value), ',')}" for name, value in data.items())
    return f"[CQ:{segment['type']}{pairs}]"


def _escaped(text: str, more: str = "") -> str:
    """``&`` first, or the codes made here would be escaped again."""
    for sign in "&[]" + more:
        text = text.replace(sign, f"&#{ord(sign)};" if sign != "&" else "&amp;")
    return text


def plain_text(segments: Sequence[Segment]) -> str:
    """*segments* as a phone shows them."""
    return "".join(_shown(one["type"], one["data"]) for one in segments)


def _shown(kind: str, data: Mapping[str, Any]) -> str:
    if kind == "text":
        return str(data["text"])
    if kind == "at":
        return f"@{data['qq']} "
    if kind == "reply":
        return ""
    return f"[{kind}]"
