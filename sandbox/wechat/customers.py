"""The users of the simulated platform: what they did, and what their phone shows."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sandbox.journal import Clock
from sandbox.phones import Bubble, Screens
from sandbox.phones.bubbles import Author
from sandbox.wechat.errors import PlatformError

__all__ = ["ALLOWANCES", "Bubble", "Customer", "Customers"]

HOURS = 3600
ALLOWANCES: dict[str, tuple[int, float]] = {
    "message": (5, 48 * HOURS),
    "click": (3, 60),
    "subscribe": (3, 60),
    "scan": (3, 60),
}
"""How many replies each thing a user does opens, and for how many seconds (rules of 2023-06-12).

Source: https://developers.weixin.qq.com/doc/subscription/guide/product/kf/intro.md
"""


@dataclass(slots=True)
class _Allowance:
    remaining: int
    until: float


@dataclass(slots=True)
class Customer:
    """One user, as the platform sees them for this account."""

    openid: str
    is_following: bool = True
    unionid: str | None = None
    followed_at: float = 0.0
    last_action_at: float = 0.0
    typing_until: float = 0.0
    allowances: dict[str, _Allowance] = field(default_factory=dict)
    bubbles: deque[Bubble] = field(default_factory=deque)

    def open_allowance(self, trigger: str, now: float) -> None:
        """A new trigger starts its own count afresh."""
        count, seconds = ALLOWANCES[trigger]
        self.allowances[trigger] = _Allowance(count, now + seconds)

    def close_window(self, now: float) -> None:
        """Nothing may be said any more, as when its time is over."""
        for allowance in self.allowances.values():
            allowance.until = now

    def take_reply(self, now: float) -> None:
        """Use up one reply, from the allowance that ends first.

        Raises:
            PlatformError: 45015 nothing is open, 45047 all is used up.
        """
        opened = [allowance for allowance in self.allowances.values() if allowance.until > now]
        if not opened or not self.is_following:
            raise PlatformError(45015)
        usable = [allowance for allowance in opened if allowance.remaining > 0]
        if not usable:
            raise PlatformError(45047)
        min(usable, key=lambda allowance: allowance.until).remaining -= 1

    def remaining_replies(self, now: float) -> int:
        return sum(
            allowance.remaining for allowance in self.allowances.values() if allowance.until > now
        )


class Customers(Screens):
    """All users known to the account, and their chats with it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._known: dict[str, Customer] = {}

    def __contains__(self, openid: str) -> bool:
        return openid in self._known

    def known(self) -> list[Customer]:
        return list(self._known.values())

    def meet(self, openid: str) -> Customer:
        """The customer with *openid*; a new one follows the account from now on."""
        customer = self._known.get(openid)
        if customer is None:
            customer = self._known[openid] = Customer(
                openid, followed_at=self._clock(), bubbles=self.bubbles(openid)
            )
        return customer

    def get(self, openid: object) -> Customer:
        """
        Raises:
            PlatformError: 40003, no such user.
        """
        if not isinstance(openid, str) or openid not in self._known:
            raise PlatformError(40003)
        return self._known[openid]

    def close_window(self, openid: str) -> None:
        """No reply is left for *openid*; an empty text: for nobody."""
        for customer in self.known():
            if openid in ("", customer.openid):
                customer.close_window(self._clock())

    def show(self, key: str, author: Author, kind: str, text: str, **more: Any) -> Bubble:
        """Put a bubble on the phone of the user *key*, who is known from now on."""
        self.meet(key)
        return super().show(key, author, kind, text, **more)
