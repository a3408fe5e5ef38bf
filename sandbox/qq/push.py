"""Pushing events to the callback, as the platform does it.

Source: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html
"""

import asyncio
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

import aiohttp

from sandbox.http import read_limited
from sandbox.journal import Clock, Journal
from sandbox.qq.signing import Signer
from sandbox.wechat.mixing import Mixer

__all__ = ["PushResult", "Pusher"]

TRIES = 3
SECONDS_PER_TRY = 5.0
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PushResult:
    """How a push ended; any 2xx is an acknowledgement."""

    event: dict[str, Any]
    status: int | None
    answer: bytes
    tries: int

    @property
    def acked(self) -> bool:
        """From here on the event must not be lost."""
        return self.status is not None and 200 <= self.status < 300


class Pusher:
    """Three tries, each signed anew. *twice* of the next events are pushed again after their end."""

    def __init__(
        self, app_id: str, signer: Signer, journal: Journal, clock: Clock, *, time_scale: float
    ) -> None:
        self._app_id = app_id
        self._signer = signer
        self._journal = journal
        self._clock = clock
        self.seconds_per_try = SECONDS_PER_TRY * time_scale
        self.twice = 0
        self.mixed = Mixer()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def push(self, event: dict[str, Any], to: str) -> PushResult:
        """Push until it is acknowledged or three tries have failed; never raises for either."""
        body = json.dumps(event, ensure_ascii=False).encode()
        async with self.mixed.turn():
            result = await self._push(event, body, to)
        if self.twice > 0:
            self.twice -= 1
            await self._push(event, body, to)
        self._journal.write("push", t=event.get("t"), acked=result.acked, tries=result.tries)
        return result

    async def _push(self, event: dict[str, Any], body: bytes, to: str) -> PushResult:
        status, answer = None, b""
        for number in range(1, TRIES + 1):
            status, answer = await self._once(body, to)
            if status is not None and 200 <= status < 300:
                return PushResult(event, status, answer, number)
            if number < TRIES:
                await asyncio.sleep(self.seconds_per_try / 5)
        return PushResult(event, status, answer, TRIES)

    async def _once(self, body: bytes, to: str) -> tuple[int | None, bytes]:
        timestamp = str(int(self._clock()))
        signed = {
            "X-Signature-Ed25519": self._signer.sign(timestamp, body),
            "X-Signature-Timestamp": timestamp,
            "X-Signature-Method": "Ed25519",
        }
        return await self._post(body, to, signed)

    async def _post(self, body: bytes, to: str, signed: dict[str, str]) -> tuple[int | None, bytes]:
        headers = {
            "User-Agent": "QQBot-Callback",
            "Content-Type": "application/json",
            "X-Bot-Appid": self._app_id,
            **signed,
        }
        session = self._session or aiohttp.ClientSession()
        self._session = session
        try:
            async with (
                asyncio.timeout(self.seconds_per_try),
                session.post(to, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status, await read_limited(answer.content, READ_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None, b""

    async def check_address(self, to: str) -> bool:
        """What the console does when the callback URL is saved: is the secret known there?"""
        plain, stamp = secrets.token_urlsafe(15), str(int(self._clock()))
        asked = {"d": {"plain_token": plain, "event_ts": stamp}, "op": 13}
        status, answer = await self._post(json.dumps(asked).encode(), to, {})
        try:
            found = json.loads(answer)
            right = self._signer.sign(stamp, plain.encode())
            same = found["plain_token"] == plain and hmac.compare_digest(found["signature"], right)
        except (ValueError, KeyError, TypeError):
            return False
        return status == 200 and same
