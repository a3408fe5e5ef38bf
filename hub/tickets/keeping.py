"""Keeping what is leased while a helpdesk is spoken to, however long it takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from hub.store import AWAY

__all__ = ["keeping"]


@asynccontextmanager
async def keeping(keep: Callable[[], Awaitable[bool]], every_s: float) -> AsyncIterator[None]:
    """Renew a lease by *keep* every so often; ends the work when that says that it is another's."""
    work = asyncio.current_task()

    async def renew() -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                ours = await keep()
            except AWAY:  # it is ours until its lease ends, and may be kept again before
                continue
            if not ours and work is not None:
                work.cancel()
                return

    task = asyncio.create_task(renew(), name="keep-lease")
    try:
        yield
    finally:
        task.cancel()
