"""One look at the end of the feed for all who wait for it in this process."""

import asyncio
import contextlib

from hub.store import AWAY, Database
from hub.store.api import feed_head

__all__ = ["FeedWatch"]

LOOK_S = 0.25


class FeedWatch:
    """Wakes waiters when the feed has grown; looks only while somebody waits."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._grown = asyncio.Condition()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None
        self.head = (0, 0)
        self.streams = 0
        self.stopping = False

    async def beyond(self, place: tuple[int, int], timeout_s: float) -> bool:
        """True when there are events after *place*; False when none came in *timeout_s*."""
        self._waiting += 1
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._look(), name="feed-watch")
            async with asyncio.timeout(timeout_s), self._grown:
                await self._grown.wait_for(lambda: self.stopping or self.head > place)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return not self.stopping

    async def _look(self) -> None:
        while self._waiting:
            with contextlib.suppress(*AWAY):
                head = await feed_head(self._db)
                if head != self.head:
                    self.head = head
                    async with self._grown:
                        self._grown.notify_all()
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """Let all waiters go."""
        self.stopping = True
        async with self._grown:
            self._grown.notify_all()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
