"""Delivery out of order: a push that is overtaken by the one after it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

LONGEST_WAIT_SECONDS = 10.0


class Mixer:
    """Lets the next *pairs* of pushes change places: the first waits until the second has ended.

    When no second one comes within ten seconds the first goes its way.
    """

    def __init__(self) -> None:
        self.pairs = 0
        self._overtaken: asyncio.Event | None = None

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn."""
        waiting, self._overtaken = self._overtaken, None
        if waiting is None and self.pairs > 0:
            self.pairs -= 1
            await self._be_overtaken()
        try:
            yield
        finally:
            if waiting is not None:
                waiting.set()

    async def _be_overtaken(self) -> None:
        mine = self._overtaken = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await mine.wait()
        if self._overtaken is mine:
            self._overtaken = None
