"""Links by which agents answer: signed, for one ticket, and over after a while."""

import hashlib
import hmac
import secrets
from typing import NamedTuple
from urllib.parse import quote

from hub.signing import check_link, sign_link

__all__ = ["AnswerLinks", "Asked"]

_NEVER = 10**11


class Asked(NamedTuple):
    """What a link's query says."""

    ticket: str
    expires: str
    signature: str


class AnswerLinks:
    """Makes and checks them with one key."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(f"answer links\n{secret}".encode()).digest()

    @property
    def door(self) -> str:
        """The last part of the path, which a link shows to whoever has it: not the secret itself."""
        return hmac.new(self._key, b"door", hashlib.sha256).hexdigest()[:24]

    def query(self, ticket: str, expires: int) -> str:
        """The query of a link for *ticket*, good until the Unix second *expires*."""
        signed = sign_link(self._key, f"ticket:{ticket}", expires).partition("?")[2]
        return f"ticket={quote(ticket, safe=':')}&{signed}"

    def is_genuine(self, asked: Asked) -> bool:
        """Whether the hub made the link, be it over or not."""
        return check_link(
            self._key, f"ticket:{asked.ticket}", asked.expires, asked.signature, now=0.0
        )

    def once(self, ticket: str) -> str:
        """A mark for one answer: the same form sent twice is one answer."""
        mark = secrets.token_hex(8)
        signed = sign_link(self._key, f"once:{ticket}:{mark}", _NEVER)
        return f"{mark}.{signed.rpartition('=')[2]}"

    def mark_of(self, ticket: str, once: str) -> str | None:
        """The mark, when this hub made it for that ticket."""
        mark, _, signature = once.partition(".")
        path = f"once:{ticket}:{mark}"
        return mark if check_link(self._key, path, str(_NEVER), signature, now=0.0) else None
