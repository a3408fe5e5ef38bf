"""Web processes to compare the hub with: the same server, verification and parsing, other ends.

python -m bench.variants null    what is proven genuine is forgotten
python -m bench.variants relay   it is delivered from memory, in order within each conversation
"""

import asyncio
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from hub.core import Core, now
from hub.destination import Event
from hub.feed import with_order
from hub.fetch import Fetcher
from hub.guard import ON_PREMISE
from hub.ids import new_id, show_id
from hub.model import InboundEvent, Message, public_json
from hub.running import config_path, opened, until_stopped
from hub.web.app import make_app, serve

IN_FLIGHT = 64


class Variant(Protocol):
    """What stands in the committer's place."""

    filling: float

    async def store(self, account: str, channel: str, events: Sequence[InboundEvent]) -> None: ...


class Null:
    """Stores nothing."""

    filling = 0.0

    def __init__(self, core: Core) -> None:
        self.taken = 0

    async def store(self, account: str, channel: str, events: Sequence[InboundEvent]) -> None:
        self.taken += len(events)


class Relay:
    """Parses, signs and posts from memory: what a hub is that keeps no promise."""

    filling = 0.0

    def __init__(self, core: Core) -> None:
        self._core = core
        (plan,) = core.settings.destinations.values()
        self._timeout_s = plan.timeout_s
        self._courier = plan.kind.courier(plan.target)
        self._fetcher = Fetcher(ON_PREMISE, limit=IN_FLIGHT)
        self._waiting: dict[str, deque[bytes]] = {}
        self._numbers: dict[str, tuple[int, int]] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._deliver()) for _ in range(IN_FLIGHT)]

    async def store(self, account: str, channel: str, events: Sequence[InboundEvent]) -> None:
        plan = self._core.settings.accounts[account]
        for event in events:
            for one in plan.channel.normalize(event, plan.account):
                if isinstance(one, Message) and one.conversation is not None:
                    self._add(one.conversation.thread_key or "", one)

    def _add(self, key: str, message: Message) -> None:
        shown: Mapping[str, Any] = {
            "type": "message.received",
            "timestamp": now(),
            "data": {"message": public_json(message)},
        }
        if key in self._waiting:
            self._waiting[key].append(msgspec.json.encode(shown))
        else:
            self._waiting[key] = deque([msgspec.json.encode(shown)])
            self._ready.put_nowait(key)

    async def _deliver(self) -> None:
        while True:
            key = await self._ready.get()
            queue = self._waiting[key]
            while queue:
                lane, n = self._numbers.get(key, (len(self._numbers) + 1, 0))
                self._numbers[key] = (lane, n + 1)
                await self._post(with_order(queue.popleft(), lane, n + 1))
            del self._waiting[key]

    async def _post(self, body: bytes) -> None:
        event = Event(id=show_id("evt", new_id()), type="message.received", body=body)
        call = self._courier.request(event, now())
        status, _, _ = await self._fetcher.post(call.url, call.body, call.headers, self._timeout_s)
        if status >= 300:
            raise RuntimeError(f"the receiver answered {status}")


async def run(make: Any) -> None:
    """Serve as ``hub web`` does, with another end."""
    async with opened(config_path(None), "web") as core:
        made = make_app(core, make(core))
        listening = await serve(core, made)
        await until_stopped()
        for one in listening:
            await one.stop()


if __name__ == "__main__":
    asyncio.run(run({"null": Null, "relay": Relay}[sys.argv[1]]))
