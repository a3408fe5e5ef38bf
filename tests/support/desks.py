"""A hub with a connected helpdesk, for tests: the test channel, real database, real HTTP."""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import msgspec
from aiohttp import web

from hub import delivery
from hub.agents import AgentService
from hub.conversations import change
from hub.core import Core
from hub.delivery import Deliverer, replay
from hub.destination import Destination, Target
from hub.ids import read_id
from hub.media import Media
from hub.model import Secret
from hub.settings import DestinationPlan, Settings
from hub.store import Transaction
from hub.store.breakers import ensure_destinations
from hub.web.app import make_app
from hub.web.server import Listening, listen
from hub.worker import say
from tests import corekit
from tests.apikit import CHANNEL, MemoryIntake, TextSender

__all__ = [
    "DeskWorld",
    "assign_all",
    "calls",
    "change_all",
    "dead",
    "desk_world",
    "plan_of",
    "said",
]


def plan_of(
    kind: Destination, settings: Any, name: str = "desk", **changes: Any
) -> DestinationPlan:
    """A destination of *kind*."""
    plan = DestinationPlan(
        Target(name, kind.key, settings), kind, True, ("*",), (), 16, 5.0, True, None
    )
    return plan._replace(**changes)


async def assign_all(core: Core, assignee: str | None) -> None:
    """Assign every conversation, as the API does."""
    await change_all(core, {"assignee": assignee})


async def change_all(core: Core, changes: Mapping[str, Any]) -> None:
    """Change every conversation, as the API does."""
    for row in await core.db.fetch("SELECT id FROM conversations"):

        async def work(tx: Transaction, own: Any = row["id"]) -> frozenset[str]:
            return await change(tx, core.settings, own, changes, core.clock())

        if await core.db.transaction(work):
            core.bells.ring("deliver")


class DeskWorld:
    """The hub's processes, as far as a connector goes."""

    def __init__(self, core: Core, listening: Listening) -> None:
        self.core = core
        self.listening = listening
        self.agents = AgentService(core, say)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.port}"

    def callback_url(self, name: str = "desk") -> str:
        running = self.core.desks.get(self.core, name)
        assert running is not None
        return self.url + running.callback_path

    async def say(self, *said: dict[str, Any]) -> None:
        """Customers write; everything is filed."""
        await corekit.store(self.core, *said)
        await corekit.file_all(self.core)

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[Deliverer]:
        deliverer = Deliverer(self.core)
        async with corekit.background(deliverer.run()):
            yield deliverer

    async def delivered(self, timeout: float = 20.0) -> None:
        """Hand over what waits, and wait until nothing does."""

        async def none_waits() -> bool:
            rows = await self.core.db.fetch(
                "SELECT 1 FROM lanes WHERE kind = 'deliver' AND wanted > handled LIMIT 1"
            )
            return not rows

        async with self.delivering():
            await corekit.eventually(none_waits, timeout)

    async def look(self) -> None:
        """Look at every ticket now, as the poller does when its time has come."""
        await self.core.db.fetch(
            "UPDATE tickets SET look_at = '-infinity', lease_until = '-infinity'"
        )
        await self.look_due()

    async def look_due(self) -> None:
        """Look at what callbacks have asked for."""
        while await self.agents.once():
            await self.agents.settled()

    async def said(self) -> list[tuple[str, str]]:
        """The replies that were accepted, in order: text and status."""
        rows = await self.core.db.fetch(
            "SELECT body->>'text' AS text, status FROM messages WHERE direction = 'outbound' "
            "ORDER BY conversation_id, seq"
        )
        return [(row["text"], row["status"]) for row in rows]

    async def assignees(self) -> list[str | None]:
        rows = await self.core.db.fetch(
            "SELECT assignee FROM conversations ORDER BY created_at, id"
        )
        return [row["assignee"] for row in rows]

    async def assign(self, assignee: str | None) -> None:
        await assign_all(self.core, assignee)

    async def replay(self) -> int:
        """Every dead letter again, as an operator does it."""
        rows = await self.core.db.fetch("SELECT id FROM deliveries WHERE state = 2")
        return await replay(self.core, [row["id"] for row in rows])

    async def attach(self, content: bytes, filename: str) -> str:
        """A stored file of the first message; its id."""

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        made = await self.core.media.upload(
            pieces(), filename=filename, mime_type=None, token_id=None, at=self.core.clock()
        )
        await self.core.db.fetch(
            "UPDATE attachments SET message_id = (SELECT id FROM messages ORDER BY id LIMIT 1) "
            "WHERE id = $1",
            read_id("att", made.id or ""),
        )
        return made.id or ""

    async def states(self) -> list[str]:
        rows = await self.core.db.fetch("SELECT state FROM conversations ORDER BY created_at, id")
        return [row["state"] for row in rows]


@asynccontextmanager
async def desk_world(
    database_url: str,
    plans: Sequence[DestinationPlan],
    settings: Settings | None = None,
    *,
    reachable: bool = False,
) -> AsyncIterator[DeskWorld]:
    """A hub with the helpdesks of *plans* on an account of the test channel.

    *reachable*: it knows its own address, as ``hub.public_url`` tells it.
    """
    given = settings or corekit.settings_for()
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(delivery, "BETWEEN_TRIES_S", (0.0, 0.2, 0.2)),
    ):
        hub = msgspec.structs.replace(given.hub, data_dir=folder, secret_key=Secret("k" * 40))
        chosen = given._replace(hub=hub, destinations={one.target.name: one for one in plans})
        async with corekit.opened(database_url, chosen) as core:
            core.accounts = {  # type: ignore[assignment]
                name: SimpleNamespace(
                    plan=plan._replace(channel=CHANNEL),
                    adapter=None,
                    socket=None,
                    sender=TextSender(),
                )
                for name, plan in chosen.accounts.items()
            }
            core.media = Media(core.db, Path(folder), 1 << 20)
            await ensure_destinations(core.db, list(chosen.destinations))
            web = make_app(core, MemoryIntake())
            listening = await listen(
                web.callbacks, "127.0.0.1", 0, intake=web.intake.answer, max_connections=100
            )
            web.metrics.gates.append(listening.gate)
            if reachable:
                public = f"http://127.0.0.1:{listening.port}"
                hub = msgspec.structs.replace(hub, public_url=public)
                core.settings = chosen._replace(hub=hub)
            try:
                yield DeskWorld(core, listening)
            finally:
                await listening.stop()
                await core.desks.close()
                await core.media.close()


def calls(method: str, part: str, asked: web.Request) -> bool:
    return asked.method == method and part in asked.path


async def said(world: DeskWorld) -> list[str]:
    """The texts of the replies that were accepted, in order."""
    return [text for text, _ in await world.said()]


async def dead(world: DeskWorld) -> list[str]:
    """Why deliveries were set aside."""
    rows = await world.core.db.fetch("SELECT error FROM deliveries WHERE state = 2")
    return [row["error"] for row in rows]
