"""Ending tasks that lose a cancellation, as redis-py's do on Python 3.11."""

import asyncio

from hub.supervise import end


async def test_a_task_that_swallows_a_cancellation_ends() -> None:
    """It is cancelled again."""
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end(task)

    assert task.cancelled()


async def test_a_task_that_never_ends_is_left() -> None:
    """A shutdown has an end."""
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task, seconds=0.3)

    assert not task.done()
    released.set()
    await task
