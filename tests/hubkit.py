"""A hub with web server and worker in the test's process, and what the tests of a channel ask of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from hub import replies, worker
from hub.core import Core
from hub.intake import Committer
from hub.replies import Accepted, Author, Pace, ReplyRequest, accept, await_reply
from hub.running import opened
from hub.web.app import make_app, serve
from tests.corekit import eventually

__all__ = ["PACE", "ChannelWorld", "alone", "running", "served"]

PACE = Pace(poll_s=0.05, retries_s=(0.05, 0.1, 0.2), sweep_s=0.2, stopped_s=0.3)


@dataclass
class ChannelWorld:
    """A hub with one account; its kit adds the platform that it talks to."""

    core: Core

    order: ClassVar[str] = "m.conversation_id, m.seq"

    async def rows(self, direction: str = "inbound") -> list[Any]:
        """The messages of one direction, those of a conversation in their order."""
        return await self.core.db.fetch(
            "SELECT m.id, m.conversation_id, m.seq, m.status, m.external_id, m.body, c.thread_key "
            "FROM messages m JOIN conversations c ON c.id = m.conversation_id "
            f"WHERE m.direction = $1 ORDER BY {self.order}",
            direction,
        )

    async def bodies(self, direction: str = "inbound") -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(row["body"], type=dict[str, Any])
            for row in await self.rows(direction)
        ]

    async def arrived(self, count: int = 1) -> list[dict[str, Any]]:
        """The messages that came in, once there are *count*."""

        async def enough() -> bool:
            return len(await self.rows()) >= count

        await eventually(enough, timeout=30)
        return await self.bodies()

    async def accept(self, conversation_id: Any, request: ReplyRequest) -> Accepted:
        """Accept a reply in a conversation."""
        place = {"id": conversation_id}
        accepted = await self.core.db.transaction(
            lambda tx: accept(self.core, tx, place, request, author=Author("mia"))
        )
        accepted.ring(self.core)
        return accepted

    async def status(self, message: Any, *wanted: str) -> dict[str, Any]:
        """The reply with the id *message*, once its status is one of *wanted*."""
        sql = "SELECT status, body FROM messages WHERE id = $1"

        async def reached() -> bool:
            return (await self.core.db.fetch(sql, message))[0]["status"] in wanted

        await eventually(reached, timeout=30)
        rows = await self.core.db.fetch(sql, message)
        return msgspec.json.decode(rows[0]["body"], type=dict[str, Any])


def alone(monkeypatch: pytest.MonkeyPatch, url: str, pace: Pace = PACE) -> None:
    """The database at *url*, no Redis, and replies that are soon tried again."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(worker, "ReplyService", lambda core: replies.ReplyService(core, pace))


@asynccontextmanager
async def running(config: Path, services: Sequence[str]) -> AsyncIterator[tuple[Core, int]]:
    """A hub with the settings in *config*, as :func:`served` runs it; its core and its port."""
    async with opened(config, "test") as core, served(core, services) as port:
        yield core, port


@asynccontextmanager
async def served(core: Core, services: Sequence[str]) -> AsyncIterator[int]:
    """The web server of *core*, and those *services* of a worker, if any; the server's port."""
    committer = Committer(core.db, core.bells, max_events=1000, max_bytes=1 << 20, wait_s=1.0)
    await committer.start()
    (server,) = await serve(core, make_app(core, committer, await_reply=await_reply))
    stop = asyncio.Event()
    work = asyncio.create_task(_work(core, services, stop))
    try:
        yield server.port
    finally:
        stop.set()
        await work
        await server.stop()
        await committer.stop()


async def _work(core: Core, services: Sequence[str], stop: asyncio.Event) -> None:
    async def stopped() -> None:
        await stop.wait()

    if services:
        await worker.run(core, tuple(services), stopped())
    else:
        await stopped()
