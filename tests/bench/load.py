"""The platform as a process: builds signed and encrypted pushes beforehand, then only sends them.

Reads one JSON command a line and answers each with one: ``prepare``, ``closed``, ``open``, ``sent``.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from bench.wire import Caller
from sandbox.wechat import WeChatSimulator, messages

ROOM = 4096
"""Connections that open-loop load may have."""


class Platform:
    """One account's customers; a push's number is its ticket."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.host, self.port, self.path = "127.0.0.1", int(spec["port"]), str(spec["path"])
        self.simulator = WeChatSimulator(**spec["credentials"])
        self.pushes: list[tuple[int, bytes]] = []
        self.started: dict[int, float] = {}
        self.took: list[float] = []
        self.statuses: dict[int, int] = {}
        self.callers: list[Caller] = []
        self.idle: list[Caller] = []

    def prepare(self, first: int, count: int, conversations: int) -> None:
        """Build *count* pushes, numbered from *first*, in turn from each of the conversations."""
        self.pushes = []
        for number in range(first, first + count):
            who = f"oBench{number % conversations:06d}"
            stamped = self.simulator.builder.stamp(messages.text(who, f"m{number} from {who}"))
            query, headers, body = self.simulator.build_push(stamped)
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            request = (
                f"POST {self.path}?{query} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
                f"{head}Content-Length: {len(body)}\r\n\r\n"
            )
            self.pushes.append((number, request.encode() + body))

    async def connect(self, count: int, done: Any) -> list[Caller]:
        """*count* connections."""
        loop = asyncio.get_running_loop()
        made = [
            (await loop.create_connection(lambda: Caller(done), self.host, self.port))[1]
            for _ in range(count)
        ]
        self.callers += made
        return made

    def begin(self) -> None:
        """Forget the run before."""
        self.started, self.took, self.statuses = {}, [], {}

    def finish(self, started: float, ended: float) -> dict[str, Any]:
        """Hang up, and say how it went."""
        for caller in self.callers:
            caller.close()
        self.callers, self.idle = [], []
        ranked = sorted(self.took)
        return {
            "sent": len(self.took),
            "statuses": self.statuses,
            "started": started,
            "seconds": ended - started,
            "p50_ms": 1000 * ranked[len(ranked) // 2] if ranked else None,
            "p99_ms": 1000 * ranked[int(len(ranked) * 0.99)] if ranked else None,
        }

    def note(self, status: int, ticket: int) -> None:
        """A push was answered."""
        self.took.append(time.monotonic() - self.started[ticket])
        self.statuses[status] = self.statuses.get(status, 0) + 1

    async def closed(self, connections: int, seconds: float | None) -> dict[str, Any]:
        """Each sender pushes when its last push was answered; a conversation has one sender."""
        self.begin()
        finished = asyncio.get_running_loop().create_future()
        queues: dict[Caller, deque[tuple[int, bytes]]] = {}
        busy = connections
        deadline = float("inf")

        def following(caller: Caller) -> None:
            nonlocal busy
            queue = queues[caller]
            now = time.monotonic()
            if not queue or now > deadline:
                busy -= 1
                if busy == 0:
                    finished.set_result(now)
                return
            number, request = queue.popleft()
            self.started[number] = now
            caller.send(request, number)

        def done(caller: Caller, status: int, ticket: int) -> None:
            self.note(status, ticket)
            following(caller)

        callers = await self.connect(connections, done)
        for caller in callers:
            queues[caller] = deque()
        for place, push in enumerate(self.pushes):
            queues[callers[place % connections]].append(push)
        started = time.monotonic()
        if seconds is not None:
            deadline = started + seconds
        for caller in callers:
            following(caller)
        return self.finish(started, await finished)

    async def open(self, rate: float) -> dict[str, Any]:
        """Push at a fixed rate, whatever is answered; times count from when a push was due."""
        self.begin()
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        left = len(self.pushes)

        def done(caller: Caller, status: int, ticket: int) -> None:
            nonlocal left
            self.note(status, ticket)
            self.idle.append(caller)
            left -= 1
            if left == 0:
                finished.set_result(time.monotonic())

        self.idle = await self.connect(64, done)
        started = time.monotonic() + 0.1
        for place, (number, request) in enumerate(self.pushes):
            due = started + place / rate
            while (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if not self.idle:
                if len(self.callers) >= ROOM:
                    raise RuntimeError("the hub does not keep up with that rate")
                self.idle += await self.connect(16, done)
            self.started[number] = due
            self.idle.pop().send(request, number)
        return self.finish(started, await finished)


async def serve() -> None:
    """Take commands until standard input ends."""
    loop = asyncio.get_running_loop()
    platform: Platform | None = None
    gc.disable()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        what = command.pop("do")
        answer: Any = {}
        if what == "target":
            platform = Platform(command)
        elif platform is None:
            raise RuntimeError("no target yet")
        elif what == "prepare":
            platform.prepare(**command)
        elif what == "closed":
            answer = await platform.closed(**command)
        elif what == "open":
            answer = await platform.open(**command)
        elif what == "sent":
            answer = list(platform.started.items())
        gc.collect()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
