"""The users of the simulated platform: what they did, and what their phone shows."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.journal import Clock
from sandbox.wechat.errors import PlatformError

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

KEPT_BUBBLES = 200


@dataclass(frozen=True, slots=True)
class Bubble:
    """One line in the chat on a user's phone."""

    number: int
    at: float
    author: Literal["user", "account", "system"]
    kind: str
    text: str
    media_url: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Allowance:
    remaining: int
    until: float


@dataclass(slots=True)
class Customer:
    """One user, as the platform sees them for this account."""

    openid: str
    is_following: bool = True
    followed_at: float = 0.0
    last_action_at: float = 0.0
    typing_until: float = 0.0
    allowances: dict[str, _Allowance] = field(default_factory=dict)
    bubbles: deque[Bubble] = field(default_factory=lambda: deque(maxlen=KEPT_BUBBLES))

    def open_allowance(self, trigger: str, now: float) -> None:
        """A new trigger starts its own count afresh."""
        count, seconds = ALLOWANCES[trigger]
        self.allowances[trigger] = _Allowance(count, now + seconds)

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


class Customers:
    """All users known to the account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, Customer] = {}
        self._bubbles = 0
        self._waiting: set[asyncio.Event] = set()
        self.listeners: list[Callable[[str, Bubble], None]] = []

    def __contains__(self, openid: str) -> bool:
        return openid in self._known

    def known(self) -> list[Customer]:
        return list(self._known.values())

    def meet(self, openid: str) -> Customer:
        """The customer with *openid*; a new one follows the account from now on."""
        customer = self._known.get(openid)
        if customer is None:
            customer = self._known[openid] = Customer(openid, followed_at=self._clock())
        return customer

    def get(self, openid: object) -> Customer:
        """
        Raises:
            PlatformError: 40003, no such user.
        """
        if not isinstance(openid, str) or openid not in self._known:
            raise PlatformError(40003)
        return self._known[openid]

    def show(
        self,
        openid: str,
        author: Literal["user", "account", "system"],
        kind: str,
        text: str,
        **more: Any,
    ) -> Bubble:
        """Put a bubble on the phone of *openid* and tell whoever waits for it."""
        self._bubbles += 1
        bubble = Bubble(self._bubbles, self._clock(), author, kind, text, **more)
        self.meet(openid).bubbles.append(bubble)
        for listener in self.listeners:
            listener(openid, bubble)
        for news in self._waiting:
            news.set()
        return bubble

    async def wait_for(
        self, openid: str, wanted: Callable[[Bubble], bool], timeout: float = 10.0
    ) -> Bubble:
        """The first bubble on the phone of *openid* that is *wanted*, now or soon.

        Raises:
            TimeoutError: none came in time.
        """
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for bubble in self.meet(openid).bubbles:
                        if wanted(bubble):
                            return bubble
                    news.clear()
                    await news.wait()
        finally:
            self._waiting.discard(news)
