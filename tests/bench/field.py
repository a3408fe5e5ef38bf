"""A hub under load: its processes, the platform that pushes and the helpdesk that takes."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from rig.ground import Desk, Ground, Shop, configuration, environment
from rig.process import Process, cpu_s, tree_cpu_s, until_ready

from sandbox.helpdesk import new_webhook_secret
from sandbox.http import free_port
from sandbox.wechat import WeChatCredentials

SHOP = "shop"
DRAIN_S = 120.0
HUB = {"log_level": "warning", "api_requests_per_s": 100_000}
"""Calls of the API are counted, and there are many of them."""


class Received(NamedTuple):
    """One message as the helpdesk had it."""

    at: float
    number: int
    conversation: str
    n: int


class Field:
    """One database, one receiver, and the processes that a measurement starts."""

    def __init__(
        self, ground: Ground, name: str, events: Sequence[str] = ("message.received",)
    ) -> None:
        """*events*: what the helpdesk takes; none are all."""
        self.ground = ground
        self.events = events
        self.name = name
        self.folder: Path = ground.path / name
        self.credentials = WeChatCredentials()
        self.stack = AsyncExitStack()
        self.database_url = ""
        self.config = self.folder / "hub.toml"
        self.receiver = self._helper("receiver", "bench.receiver")
        self.shop = Shop(SHOP, self.credentials, "http://127.0.0.1:9")
        self.secret = new_webhook_secret()
        self.port = 0
        self._next = 1

    def _helper(self, name: str, *module: str) -> Process:
        env = environment(self.ground, "", self.config, 0)
        return Process(name, module, env, self.folder / f"{name}.log", speaks=True)

    async def speaker(self, name: str, *module: str) -> Process:
        """A process of the bench itself, which answers over its pipes."""
        return await self.start(self._helper(name, *module))

    async def __aenter__(self) -> Self:
        self.folder.mkdir()
        self.database_url = await self.ground.new_database(f"bench_{self.name}")
        await self.start(self.receiver)
        self.port = int(await self.receiver.hear())
        desk = Desk(
            "desk",
            f"http://127.0.0.1:{self.port}/webhook",
            self.secret,
            events=self.events,
            max_in_flight=64,
        )
        self.config.write_text(configuration([self.shop], [desk], HUB))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stack.aclose()
        await self.ground.drop_database(f"bench_{self.name}")

    async def start(self, process: Process) -> Process:
        """Start *process*; it ends with the field."""
        await process.start()
        self.stack.push_async_callback(process.terminate)
        return process

    async def web(self, *module: str) -> tuple[Process, int]:
        """A web process (``hub web`` unless told otherwise), ready, and its port."""
        port = free_port()
        name = module[-1] if module else "web"
        env = environment(self.ground, self.database_url, self.config, port)
        process = Process(name, module or ("hub", "web"), env, self.folder / f"{name}.log")
        await self.start(process)
        await until_ready(port, process)
        return process, port

    async def worker(self, number: int = 1) -> Process:
        """A ``hub worker``."""
        env = environment(self.ground, self.database_url, self.config, 0)
        name = f"worker{number}"
        return await self.start(Process(name, ("hub", "worker"), env, self.folder / f"{name}.log"))

    async def load(self, port: int) -> "Load":
        """A platform that pushes to the web process at *port*."""
        process = await self.speaker(f"load-{port}", "bench.load")
        spec = {
            "do": "target",
            "port": port,
            "path": f"/in/wechat/{SHOP}",
            "credentials": asdict(self.credentials),
        }
        await process.ask(json.dumps(spec))
        return Load(self, process)

    def numbers(self, count: int) -> int:
        """The first of *count* numbers that no other push has."""
        first, self._next = self._next, self._next + count
        return first

    async def received(self) -> int:
        """How many messages the helpdesk has."""
        return int(await self.receiver.ask("count"))

    async def drained(self, count: int, seconds: float = DRAIN_S) -> list[Received]:
        """What the helpdesk got, once there are *count* of them.

        Raises:
            RuntimeError: there are not, after *seconds*.
        """
        deadline = time.monotonic() + seconds
        while (have := await self.received()) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: {have} of {count} messages arrived")
            await asyncio.sleep(0.05)
        report = json.loads(await self.receiver.ask("report"))
        return [Received(*one) for one in report]


class Load:
    """The platform's process; each call is one command."""

    def __init__(self, field: Field, process: Process) -> None:
        self.field = field
        self.process = process

    async def _ask(self, **command: Any) -> Any:
        return json.loads(await self.process.ask(json.dumps(command), 600))

    async def prepare(self, count: int, conversations: int) -> None:
        """Build pushes; this takes a while and is never measured."""
        first = self.field.numbers(count)
        await self._ask(do="prepare", first=first, count=count, conversations=conversations)

    async def closed(self, connections: int = 64, seconds: float | None = None) -> dict[str, Any]:
        """Send what was prepared, for *seconds* at most."""
        return _checked(await self._ask(do="closed", connections=connections, seconds=seconds))

    async def open(self, rate: float) -> dict[str, Any]:
        """Send what was prepared at a fixed rate."""
        return _checked(await self._ask(do="open", rate=rate))

    async def sent(self) -> Mapping[int, float]:
        """When each push of the last run was sent, or due."""
        return dict(await self._ask(do="sent"))


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if set(answer["statuses"]) - {"200"}:
        raise RuntimeError(f"not every push was answered 200: {answer['statuses']}")
    return answer


def check_order(received: list[Received], count: int) -> None:
    """Each message once, and each conversation in order.

    Raises:
        RuntimeError: they were not.
    """
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in received:
        numbers[one.conversation].append(one.number)
    if len({one.number for one in received}) != count or len(received) != count:
        raise RuntimeError(f"{len(received)} arrived of {count}")
    wrong = [name for name, found in numbers.items() if found != sorted(found)]
    if wrong:
        raise RuntimeError(f"{len(wrong)} conversations out of order")


class Usage:
    """Processor seconds of named processes over a stretch of time."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {
            name: tree_cpu_s(pid) if name == "postgres" else cpu_s(pid)
            for name, pid in self._pids.items()
        }

    def spent(self) -> dict[str, float]:
        """What each took since."""
        now = self._now()
        return {name: round(now[name] - self._before[name], 2) for name in now}
