"""The outside of a push of the WeChat family: its query, and the part of its body that is encrypted."""

import re
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from hub.channel import IntakeRequest
from hub.errors import NotAuthentic, NotRecognised

__all__ = ["MAX_BODY", "query_of", "sealed_in"]

MAX_BODY = 64 * 1024
_MAX_QUERY = 4096
_ENCRYPT = re.compile(
    rb"<Encrypt>\s*(?:<!\[CDATA\[\s*([A-Za-z0-9+/=]+)\s*\]\]>|([A-Za-z0-9+/=]+))\s*</Encrypt>"
)


class _Envelope(Struct):
    Encrypt: str = ""


def query_of(request: IntakeRequest) -> dict[str, str]:
    """The query fields, each of which may stand once.

    Raises:
        NotAuthentic: one stands twice (the second could hide from the check).
        NotRecognised: there is too much of it.
    """
    if len(request.query) > _MAX_QUERY:
        raise NotRecognised("the query is too long")
    pairs = parse_qsl(request.query, keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NotAuthentic("a query field stands twice")
    return fields


def sealed_in(body: bytes) -> str:
    """The encrypted part of an envelope, XML or JSON; empty when there is none.

    In compatible mode the customer's own text stands before it, so the last one counts.
    """
    bare = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if bare[:1] == b"{":
        try:
            return msgspec.json.decode(bare, type=_Envelope).Encrypt
        except (ValueError, RecursionError):
            return ""
    found = _ENCRYPT.match(body, max(body.rfind(b"<Encrypt>"), 0))
    return (found[1] or found[2]).decode() if found else ""
