"""What a phone shows: chats made of bubbles, and whoever waits for the next one."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Author = Literal["user", "account", "system"]

KEPT_BUBBLES = 200


@dataclass(frozen=True, slots=True)
class Bubble:
    """One line in a chat.

    ``media_url`` ends with the id of a file that the app can show; ``choices`` are
    ``(id, label)`` to tap; ``details`` may hold ``title``, ``description``, ``url`` and
    ``footer``, which the page shows, and anything else, which it does not.
    ``sender`` names the person in a group chat.
    """

    number: int
    at: float
    author: Author
    kind: str
    text: str
    media_url: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    sender: str | None = None


class Screens:
    """The chats of a platform, each under the id that the platform gives the person or the group."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bubbles: dict[str, deque[Bubble]] = {}
        self._count = 0
        self._waiting: set[asyncio.Event] = set()
        self.listeners: list[Callable[[str, Bubble], None]] = []

    def bubbles(self, key: str) -> deque[Bubble]:
        """The newest bubbles of one chat, oldest first."""
        return self._bubbles.setdefault(key, deque(maxlen=KEPT_BUBBLES))

    def show(self, key: str, author: Author, kind: str, text: str, **more: Any) -> Bubble:
        """Put a bubble into the chat *key* and tell whoever waits for it."""
        self._count += 1
        bubble = Bubble(self._count, self._clock(), author, kind, text, **more)
        self.bubbles(key).append(bubble)
        for listener in self.listeners:
            listener(key, bubble)
        for news in self._waiting:
            news.set()
        return bubble

    def newest(self, key: str) -> int:
        """The number of the newest bubble of the chat *key*; 0 when there is none."""
        return max((bubble.number for bubble in self.bubbles(key)), default=0)

    async def wait_for_answer(self, key: str, *, after: int = 0, timeout: float = 10.0) -> Bubble:
        """The first bubble of the account in the chat *key* with a number above *after*.

        Raises:
            TimeoutError: none came.
        """
        return await self.wait_for(
            key, lambda bubble: bubble.author == "account" and bubble.number > after, timeout
        )

    async def wait_for(
        self, key: str, wanted: Callable[[Bubble], bool], timeout: float = 10.0
    ) -> Bubble:
        """The first bubble of the chat *key* that is *wanted*, now or soon.

        Raises:
            TimeoutError: none came in time.
        """
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for bubble in self.bubbles(key):
                        if wanted(bubble):
                            return bubble
                    news.clear()
                    await news.wait()
        finally:
            self._waiting.discard(news)
