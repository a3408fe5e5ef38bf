"""Doorbells: they make waiting work start at once, and nothing is lost when one is.

Within the process a bell is an event; other processes hear it by Redis publish/subscribe. Whoever
waits also wakes by itself every few seconds and looks at the database, which holds the facts.
"""

import asyncio
import contextlib
import secrets
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool

from hub.supervise import end

__all__ = ["Bells"]

CHANNEL = "hub:bells"
QUIET_S = 0.003
"""Rings that come so soon after one that was sent are sent together."""

_log = structlog.get_logger("hub.bells")


class Bells:
    """The doorbells of one process; *redis_url* None keeps them inside the process."""

    def __init__(self, redis_url: str | None) -> None:
        self._id = secrets.token_hex(8)
        self._url = redis_url
        self._redis: Redis | None = None
        self._events: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._facts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self._outgoing: dict[str, list[Mapping[str, Any]]] = {}
        self._due = asyncio.Event()
        self._hears = redis_url is None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect, and keep trying while Redis is away."""
        if self._url is None:
            return
        pool: Any = ConnectionPool.from_url(
            self._url, socket_timeout=10, socket_connect_timeout=3, health_check_interval=30
        )
        self._redis = Redis(connection_pool=pool)
        self._tasks = [
            asyncio.create_task(self._send_forever(self._redis), name="bells-out"),
            asyncio.create_task(self._hear_forever(self._redis), name="bells-in"),
        ]

    async def stop(self) -> None:
        """Leave Redis."""
        await end(*self._tasks)
        if self._redis is not None:
            with contextlib.suppress(Exception):
                await self._redis.aclose(close_connection_pool=True)

    def ring(self, kind: str, facts: Mapping[str, Any] | None = None) -> None:
        """Wake whoever waits for *kind*, here and elsewhere; returns at once and cannot fail."""
        self._note(kind, [facts] if facts else [])
        if self._redis is not None:
            waiting = self._outgoing.setdefault(kind, [])
            if facts and len(waiting) < 100:
                waiting.append(facts)
            self._due.set()

    def ring_here(self, kind: str) -> None:
        """Wake whoever waits for *kind* in this process only."""
        self._events[kind].set()

    @property
    def is_deaf(self) -> bool:
        """Whether bells of other processes do not reach this one now."""
        return not self._hears

    async def wait(self, kind: str, timeout: float) -> list[Mapping[str, Any]]:
        """Returns when *kind* was rung since the last wait, or after *timeout* seconds.

        The facts that came with the rings are returned, oldest first.
        """
        event = self._events[kind]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await event.wait()
        event.clear()
        return self._facts.pop(kind, [])

    def _note(self, kind: str, facts: list[Mapping[str, Any]]) -> None:
        if facts:
            self._facts[kind] = (self._facts[kind] + facts)[-100:]
        self._events[kind].set()

    async def _send_forever(self, redis: Redis) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            outgoing, self._outgoing = self._outgoing, {}
            for kind, facts in outgoing.items():
                try:
                    await redis.publish(CHANNEL, msgspec.json.encode([self._id, kind, facts]))
                except Exception as error:  # the sweep finds what this bell would have
                    _log.debug("bell_lost", kind=kind, error=type(error).__name__)
            await asyncio.sleep(QUIET_S)

    async def _hear_forever(self, redis: Redis) -> None:
        pause = 0.1
        while True:
            try:
                async with redis.pubsub() as heard:
                    await heard.subscribe(CHANNEL)
                    pause = 0.1
                    self._hears = True
                    for kind in list(self._events):  # what was rung while we were away
                        self._events[kind].set()
                    while True:
                        message = await heard.get_message(ignore_subscribe_messages=True, timeout=5)
                        if message:
                            self._heard(message["data"])
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._hears = False
                _log.info("bells_away", error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _heard(self, data: bytes) -> None:
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            sender, kind, facts = msgspec.json.decode(data)
            if sender != self._id:
                self._note(kind, facts)
