"""Entity tags (RFC 9110, 8.8.3): an answer that has not changed is not sent again, and none is overwritten
by somebody who has not seen it."""

import hashlib

__all__ = ["etag", "matches"]


def etag(body: bytes) -> str:
    """The strong tag of *body*."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches(header: str | None, tag: str) -> bool:
    """Whether ``If-Match`` or ``If-None-Match`` names *tag*; a mark of weakness does not matter here."""
    given = [one.strip().removeprefix("W/") for one in (header or "").split(",")]
    return tag in given or given == ["*"]
