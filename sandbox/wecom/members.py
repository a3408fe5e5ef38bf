"""The members of the simulated enterprise: who may see the app."""

from sandbox.journal import Clock
from sandbox.wechat.customers import Customers

__all__ = ["Members"]


class Members(Customers):
    """Whoever has written, or was met, may see the app until it is taken from them."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._outside: set[str] = set()

    def may_see(self, userid: str) -> bool:
        """Whether *userid* is a member and within the range of the app (应用可见范围)."""
        return userid in self and userid not in self._outside

    def take_out(self, userid: str) -> None:
        """*userid* may not see the app any more; an empty text: nobody may."""
        self._outside |= {userid} if userid else {one.openid for one in self.known()}

    def take_in(self, userid: str) -> None:
        """*userid* may see the app again."""
        self._outside.discard(userid)
