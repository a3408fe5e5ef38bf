"""A helpdesk's program as a process: a plain aiohttp loop that posts replies, each with a key of its own.

Reads one JSON command a line and answers each with one: ``{"port": …}`` chooses the server and opens the
connections, ``{"first": …, "count": …, "seconds": …}`` posts.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import aiohttp

SENDERS = 64
TEXT = "m{number}: thank you, we have found your order and send the missing part today."


class Agents:
    """Replies to some conversations in turn, by 64 senders: each posts when its last one was answered."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._base = f"http://127.0.0.1:{spec['port']}"
        self._token: str = spec["token"]
        self._conversations: list[str] = list(spec["conversations"])
        connector = aiohttp.TCPConnector(limit=SENDERS)
        self._session = aiohttp.ClientSession(connector=connector)
        self._took: list[float] = []
        self._statuses: Counter[int] = Counter()

    async def post(self, first: int, count: int, seconds: float) -> dict[str, Any]:
        """Post replies numbered from *first*, at most *count* of them, for *seconds*."""
        self._took, self._statuses = [], Counter()
        waiting = deque(range(first, first + count))
        started = time.monotonic()
        until = started + seconds
        await asyncio.gather(*(self._send(waiting, until) for _ in range(SENDERS)))
        ranked = sorted(self._took)
        return {
            "sent": len(ranked),
            "statuses": self._statuses,
            "seconds": time.monotonic() - started,
            "p99_ms": 1000 * ranked[int(len(ranked) * 0.99)] if ranked else None,
        }

    async def _send(self, waiting: deque[int], until: float) -> None:
        while waiting and (now := time.monotonic()) < until:
            number = waiting.popleft()
            conversation = self._conversations[number % len(self._conversations)]
            async with self._session.post(
                f"{self._base}/v1/conversations/{conversation}/messages",
                data=json.dumps({"text": TEXT.format(number=number)}).encode(),
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Content-Type": "application/json",
                    "Idempotency-Key": f"bench-{number}",
                },
            ) as answer:
                await answer.read()
            self._statuses[answer.status] += 1
            self._took.append(time.monotonic() - now)


async def serve() -> None:
    """Take commands until standard input ends."""
    loop = asyncio.get_running_loop()
    agents: Agents | None = None
    gc.disable()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        answer: Any = {}
        if "port" in command:
            agents = Agents(command)
        elif agents is not None:
            answer = await agents.post(**command)
        gc.collect()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
