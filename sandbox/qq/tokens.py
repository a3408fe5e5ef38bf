"""Access tokens: the same one for everybody until its last minute.

Source: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/api-use.html
"""

import secrets

from sandbox.journal import Clock
from sandbox.qq.errors import Refused

__all__ = ["TokenDesk"]

LIFETIME_SECONDS = 7200
OVERLAP_SECONDS = 60


class TokenDesk:
    """Gives out tokens; in the last 60 seconds of one a new one, and then both are good."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._good_until: dict[str, float] = {}
        self._newest = ""
        self.asked = 0
        self.given = 0

    def ask(self) -> tuple[str, int]:
        """The token and what is left of its time, in seconds."""
        self.asked += 1
        left = self._good_until.get(self._newest, 0.0) - self._clock()
        if left <= OVERLAP_SECONDS:
            self._newest = secrets.token_urlsafe(64)
            self._good_until[self._newest] = self._clock() + LIFETIME_SECONDS
            self.given += 1
            left = LIFETIME_SECONDS
        return self._newest, int(left)

    def check(self, authorization: str | None) -> None:
        """
        Raises:
            Refused: 11244, there is no good token in the header.
        """
        scheme, _, value = (authorization or "").partition(" ")
        if scheme != "QQBot" or self._good_until.get(value, 0.0) <= self._clock():
            raise Refused(11244, status=401)

    def is_good(self, token: str) -> bool:
        """Whether the gateway would take ``QQBot …``."""
        try:
            self.check(token)
        except Refused:
            return False
        return True

    def expire_all(self) -> None:
        """Every token is over now."""
        self._good_until = dict.fromkeys(self._good_until, 0.0)
