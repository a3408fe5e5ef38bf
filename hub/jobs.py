"""arq, the way this hub uses it: slow work and the clock; never the only place that knows of work.

Every job's argument is an id at most, job ids are random, results are not kept, time-outs are short,
and Redis may be lost at any time: the database says what is still to be done, and the sweep asks for it
again. arq ends a worker at any Redis error, so whoever runs one starts it anew.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Any, NamedTuple

import msgspec
from arq import cron, func
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.asyncio.connection import ConnectionPool

from hub.supervise import end

__all__ = ["Cron", "Job", "Jobs"]

QUEUE = "hub:slow"
JOB_TIMEOUT_S = 120
POLL_S = 0.5


class Job(NamedTuple):
    """A job by name: gets one id."""

    name: str
    run: Callable[[str], Awaitable[None]]


class Cron(NamedTuple):
    """A job by the clock (UTC): at those seconds, or minutes, or hours."""

    name: str
    run: Callable[[], Awaitable[None]]
    second: set[int]
    minute: set[int] | None = None
    hour: set[int] | None = None
    timeout_s: int = JOB_TIMEOUT_S


def _encode(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=repr)


def _decode(data: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.msgpack.decode(data)
    return decoded


def connect(redis_url: str) -> ArqRedis:
    """A connection that survives restarts of Redis; arq's own reading of URLs loses passwords."""
    pool: Any = ConnectionPool.from_url(
        redis_url,
        max_connections=16,
        socket_timeout=10,
        socket_connect_timeout=3,
        health_check_interval=30,
    )
    return ArqRedis(
        pool, job_serializer=_encode, job_deserializer=_decode, default_queue_name=QUEUE
    )


class Jobs:
    """Enqueues jobs, and runs them in a worker."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._redis = connect(redis_url)

    async def enqueue(self, name: str, argument: str) -> bool:
        """Ask for the job *name*; False: Redis is away, and the sweep will ask again."""
        try:
            # Shielded, for a cancellation that comes in there can get lost: see hub.supervise.end.
            await asyncio.shield(self._redis.enqueue_job(name, argument))
        except Exception:
            return False
        return True

    async def waiting(self) -> int | None:
        """How many jobs wait; None: Redis is away."""
        try:
            return int(await asyncio.shield(self._redis.zcard(QUEUE)))
        except Exception:
            return None

    async def run(self, jobs: Sequence[Job], crons: Sequence[Cron]) -> None:
        """Run a worker until cancelled, or until Redis fails it; then start it again."""
        redis = connect(self._url)
        worker = Worker(
            functions=[func(_with_argument(job), name=job.name) for job in jobs],
            cron_jobs=[_cron(one) for one in crons],
            queue_name=QUEUE,
            redis_pool=redis,
            handle_signals=False,
            max_jobs=8,
            job_timeout=JOB_TIMEOUT_S,
            keep_result=0,
            poll_delay=POLL_S,
            max_tries=3,
            log_results=False,
            timezone=UTC,
            job_serializer=_encode,
            job_deserializer=_decode,
        )
        main = asyncio.create_task(worker.main(), name="arq")
        try:
            await asyncio.wait([main])
            if main.cancelled():  # by one of its jobs: not a wish of ours, so it is started again
                raise RuntimeError("arq ended with a job that was cancelled")
            main.result()
        finally:
            await end(main)
            tasks = list(worker.tasks.values())
            with contextlib.suppress(Exception, asyncio.CancelledError):  # it cancels its own jobs
                await worker.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(Exception):
                await redis.aclose(close_connection_pool=True)

    async def close(self) -> None:
        """Leave Redis."""
        with contextlib.suppress(Exception):
            await self._redis.aclose(close_connection_pool=True)


def _with_argument(job: Job) -> Any:
    async def run(_context: Any, argument: str) -> None:
        await job.run(argument)

    run.__qualname__ = job.name
    return run


def _cron(one: Cron) -> Any:
    async def run(_context: Any) -> None:
        await one.run()

    work: Any = run
    work.__qualname__ = one.name
    return cron(
        work,
        name=f"cron:{one.name}",
        hour=one.hour,
        minute=one.minute,
        second=one.second,
        max_tries=1,
        keep_result=0,
        timeout=one.timeout_s,
    )
