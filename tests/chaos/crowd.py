"""Customers who write numbered messages, as busily as the platform lets them."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sandbox.wechat.push import PushResult


class Platform(Protocol):
    """What takes a customer's message to the hub."""

    async def push_text(self, openid: str, content: str, /) -> PushResult: ...


@dataclass(frozen=True, slots=True)
class Push:
    """One message of one customer, and how its push ended."""

    shop: str
    openid: str
    k: int
    message_id: str
    outcome: str
    tries: int
    status: int | None
    started: float
    ended: float

    @property
    def acked(self) -> bool:
        """The hub took responsibility."""
        return self.outcome in ("acked", "replied")


class Crowd:
    """*count* customers of each shop; each waits for the platform's verdict before the next message."""

    def __init__(
        self, shops: Mapping[str, Platform], count: int, rng: random.Random, think_s: float
    ) -> None:
        self.pushes: list[Push] = []
        self._shops = shops
        self._rng = rng
        self._think_s = think_s
        self._stopping = asyncio.Event()
        self._people = [(shop, f"o{shop}{number:02d}") for shop in shops for number in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Everybody begins to write."""
        self._tasks = [
            asyncio.create_task(self._write(shop, openid)) for shop, openid in self._people
        ]

    async def stop(self) -> None:
        """Everybody finishes the message at hand."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def _write(self, shop: str, openid: str) -> None:
        k = 0
        while not self._stopping.is_set():
            k += 1
            started = time.monotonic()
            result = await self._shops[shop].push_text(openid, f"{openid} #{k}")
            self.pushes.append(
                Push(
                    shop,
                    openid,
                    k,
                    result.message_id,
                    result.outcome,
                    result.tries,
                    result.status,
                    started,
                    time.monotonic(),
                )
            )
            await asyncio.sleep(self._rng.expovariate(1 / self._think_s))

    def acked(self) -> int:
        """How many messages the hub answers for."""
        return sum(push.acked for push in self.pushes)
