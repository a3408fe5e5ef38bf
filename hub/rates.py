"""How often somebody may call: one allowance for each, shared by all processes through Redis.

The generic cell rate algorithm (GCRA, https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm): the time at
which an allowance is whole again is all that is stored. A process takes some calls ahead and counts them down
by itself, so that most requests ask nobody; what it has not used after a second is lost. While there are
none it refuses by itself too.

While Redis is away each process counts alone: nobody is refused for that, and up to as many times the
rate goes through as there are processes.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool

__all__ = ["BURST_S", "Bucket", "Pace", "Rates"]

BURST_S = 2.0
"""As many calls as the rate allows in this time may come at once."""
SHARE = 10
"""A process takes this part of a second's calls ahead."""
GOOD_FOR_S = 1.0
REDIS_S = 0.25
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0
MOST = 2000
KEY = "hub:rate:"

TAKE = """
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local whole = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local room = math.max(0, math.floor(burst - (whole - now) / interval + 0.000001))
local given = math.min(room, wanted)
if given > 0 then
    whole = whole + given * interval
    redis.call('SET', KEYS[1], string.format('%.0f', whole), 'PX', math.ceil((whole - now) / 1000) + 1)
end
local wait = math.max(0, whole - now - (burst - 1) * interval)
return {given, room - given, math.ceil(whole - now), math.ceil(wait)}
"""
"""Takes up to *wanted* calls: how many, how many are left, when it is whole, when there is one more."""

_log = structlog.get_logger("hub.rates")


class Bucket:
    """An allowance that one process counts: *rate* per second, at most *burst* at once."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, at: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = at

    def take(self, at: float) -> float:
        """0.0 when there was one to take; else after how many seconds there is."""
        self._left = min(self._burst, self._left + (at - self._at) * self._rate)
        self._at = at
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate

    @property
    def left(self) -> int:
        """How many there were at the last taking."""
        return int(self._left)

    @property
    def whole_s(self) -> float:
        """How many seconds after it the allowance is whole again."""
        return (self._burst - self._left) / self._rate


class Pace(NamedTuple):
    """Whether a call may be made now: *wait_s* is 0. *left* may be made at once; *whole_s* from now all."""

    rate: float
    wait_s: float
    left: int
    whole_s: float

    def headers(self) -> dict[str, str]:
        """As https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ says."""
        most = burst_of(self.rate)
        return {
            "RateLimit-Policy": f'"token";q={most};w={ceil(most / self.rate)}',
            "RateLimit": f'"token";r={self.left};t={ceil(self.whole_s)}',
        }


class _Share:
    """What this process has taken ahead for one caller."""

    __slots__ = (
        "alone",
        "asking",
        "left",
        "none_until",
        "rate",
        "room",
        "until",
        "waiting",
        "whole_at",
    )

    def __init__(self, rate: float, at: float) -> None:
        self.rate = rate
        self.left = self.room = self.waiting = 0
        self.until = self.whole_at = self.none_until = at
        self.asking = asyncio.Lock()
        self.alone = Bucket(rate, burst_of(rate), at)


def burst_of(rate: float) -> int:
    """How many calls may come at once."""
    return max(1, ceil(rate * BURST_S))


class Rates:
    """Counts for one process; *redis_url* None: alone."""

    def __init__(
        self, redis_url: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._redis: Redis | None = None
        self._take: Any = None
        if redis_url is not None:
            pool: Any = ConnectionPool.from_url(
                redis_url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S
            )
            self._redis = Redis(connection_pool=pool)
            self._take = self._redis.register_script(TAKE)
        self._shares: dict[str, _Share] = {}
        self._away_until, self._pause_s = clock(), FIRST_PAUSE_S

    async def close(self) -> None:
        """Leave Redis."""
        if self._redis is not None:
            with contextlib.suppress(Exception):
                await self._redis.aclose(close_connection_pool=True)

    async def take(self, caller: str, rate: float) -> Pace:
        """One call of *caller*, who may make *rate* of them in a second."""
        share = self._share(caller, rate)
        if not self._has(share) and self._take is not None:
            share.waiting += 1
            try:
                async with share.asking:
                    if not self._has(share) and (refused := await self._ask(caller, share)):
                        return refused
            finally:
                share.waiting -= 1
        now = self._clock()
        if self._has(share):
            share.left -= 1
            return Pace(rate, 0.0, share.left + share.room, max(0.0, share.whole_at - now))
        wait_s = share.alone.take(now)
        return Pace(rate, wait_s, share.alone.left, share.alone.whole_s)

    def _share(self, caller: str, rate: float) -> _Share:
        share = self._shares.get(caller)
        if share is None or share.rate != rate:
            if len(self._shares) >= MOST:
                self._shares.pop(next(iter(self._shares)))
            share = self._shares[caller] = _Share(rate, self._clock())
        return share

    def _has(self, share: _Share) -> bool:
        return share.left > 0 and self._clock() < share.until

    async def _ask(self, caller: str, share: _Share) -> Pace | None:
        """Take some calls ahead; the refusal when there are none; None also when nobody can tell."""
        now = self._clock()
        if now < share.none_until:
            return Pace(share.rate, share.none_until - now, 0, max(0.0, share.whole_at - now))
        if now < self._away_until:
            return None
        wanted = max(int(share.rate / SHARE), share.waiting, 1)
        interval = 1_000_000 / share.rate
        try:
            found = await self._take(
                keys=[KEY + caller], args=[interval, burst_of(share.rate), wanted]
            )
        except Exception as error:  # whatever ails Redis, nobody is refused for it
            self._away_until = self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            _log.warning("rates_counted_alone", error=type(error).__name__)
            return None
        self._pause_s = FIRST_PAUSE_S
        given, room, whole_us, wait_us = found
        now = self._clock()
        share.left, share.room, share.whole_at = given, room, now + whole_us / 1e6
        if not given:
            share.none_until = now + max(wait_us, 1) / 1e6
            return Pace(share.rate, share.none_until - now, 0, whole_us / 1e6)
        share.until = now + GOOD_FOR_S
        return None
