"""No service may die silently: what ends is counted, told and started again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

__all__ = ["end", "keep_running", "restarts"]

MIN_PAUSE_S, MAX_PAUSE_S = 0.2, 10.0
INSIST_S = 0.2

restarts: Counter[str] = Counter()
"""How often each service of this process was started again."""

_log = structlog.get_logger("hub.supervise")


async def keep_running(name: str, serve: Callable[[], Awaitable[None]]) -> None:
    """Run *serve* until cancelled; when it ends or raises, start it again after a growing pause."""
    pause = MIN_PAUSE_S
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await serve()
            _log.error("service_ended", service=name)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            _log.error("service_cancelled_itself", service=name)
        except Exception:
            _log.exception("service_failed", service=name)
        restarts[name] += 1
        if asyncio.get_running_loop().time() - started > 60:
            pause = MIN_PAUSE_S
        await asyncio.sleep(pause)
        pause = min(pause * 2, MAX_PAUSE_S)


async def end(*tasks: "asyncio.Task[None]", seconds: float = 5.0) -> None:
    """Cancel *tasks* until they have ended.

    Once is not enough for those that use redis-py with a time limit: ``asyncio.wait_for`` of Python 3.11
    swallows a cancellation that comes at the moment when what it waits for is done (one in twenty here).
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := [one for one in tasks if not one.done()]) and loop.time() < deadline:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=INSIST_S)
