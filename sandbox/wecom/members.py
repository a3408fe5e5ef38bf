"""The members of the simulated enterprise: who may see the app."""

from collections import deque

from sandbox.journal import Clock
from sandbox.wechat.customers import Customers

__all__ = ["Members"]

PER_MINUTE, PER_HOUR = 30, 1000
"""Messages of one app to one member (https://developer.work.weixin.qq.com/document/path/90236)."""


class Members(Customers):
    """Whoever has written, or was met, may see the app until it is taken from them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._outside: set[str] = set()
        self._heard: dict[str, deque[float]] = {}

    def may_see(self, userid: str) -> bool:
        """Whether *userid* is a member and within the range of the app (应用可见范围)."""
        return userid in self and userid not in self._outside

    def take_out(self, userid: str) -> None:
        """*userid* may not see the app any more; an empty text: nobody may."""
        self._outside |= {userid} if userid else {one.openid for one in self.known()}

    def take_in(self, userid: str) -> None:
        """*userid* may see the app again."""
        self._outside.discard(userid)

    def hears(self, userid: str) -> bool:
        """Whether one more message reaches *userid*; what is too much is dropped without a word."""
        now = self._clock()
        heard = self._heard.setdefault(userid, deque(maxlen=PER_HOUR))
        minute = sum(at > now - 60 for at in heard)
        hour = sum(at > now - 3600 for at in heard)
        if minute >= PER_MINUTE or hour >= PER_HOUR:
            return False
        heard.append(now)
        return True
