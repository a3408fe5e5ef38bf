"""A hub with one QQ bot, and the simulator that it talks to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import listening, replies, worker
from hub.core import Core
from hub.intake import Committer
from hub.replies import Author, Pace, ReplyRequest, accept
from hub.running import opened
from hub.web.app import make_app, serve
from sandbox.qq import QqSimulator
from tests.corekit import eventually

CONFIG = """
[hub]
data_dir = "{folder}"
port = 0

[accounts.bot]
channel = "qq"
app_id = "{app_id}"
secret = "{secret}"
api_base = "{api_base}"
{more}
"""
PACE = Pace(poll_s=0.05, retries_s=(0.05, 0.1, 0.2, 0.4, 0.8), sweep_s=0.2, stopped_s=0.3)


@dataclass
class World:
    """A hub with one account, and the platform that it talks to."""

    core: Core
    simulator: QqSimulator
    config: Path
    url: str

    async def rows(self, direction: str = "inbound") -> list[Any]:
        return await self.core.db.fetch(
            "SELECT m.id, m.conversation_id, m.seq, m.status, m.external_id, m.body, c.thread_key "
            "FROM messages m JOIN conversations c ON c.id = m.conversation_id "
            "WHERE m.direction = $1 ORDER BY m.created_at, m.conversation_id, m.seq",
            direction,
        )

    async def bodies(self, direction: str = "inbound") -> list[dict[str, Any]]:
        return [msgspec.json.decode(row["body"]) for row in await self.rows(direction)]

    async def arrived(self, count: int) -> list[dict[str, Any]]:
        """The messages that came in, once there are *count*."""

        async def enough() -> bool:
            return len(await self.rows()) >= count

        await eventually(enough, timeout=30)
        return await self.bodies()

    async def place(self, name: str = "", group: str = "") -> Any:
        """The conversation with *name* alone, or with *group*."""
        key = f"group:{self.simulator.openid(group)}" if group else ""
        key = key or f"c2c:{self.simulator.openid(name)}"
        found = await self.core.db.fetch("SELECT id FROM conversations WHERE thread_key = $1", key)
        return {"id": found[0]["id"]}

    async def reply(self, place: Any, request: ReplyRequest | str) -> Any:
        """Accept a reply in *place*; its id."""
        asked = ReplyRequest(text=request) if isinstance(request, str) else request
        accepted = await self.core.db.transaction(
            lambda tx: accept(self.core, tx, place, asked, author=Author("mia"))
        )
        accepted.ring(self.core)
        return accepted.message_id

    async def status(self, message: Any, *wanted: str) -> dict[str, Any]:
        """The reply *message*, once its status is one of *wanted*."""

        async def reached() -> bool:
            rows = await self.core.db.fetch("SELECT status FROM messages WHERE id = $1", message)
            return rows[0]["status"] in wanted

        await eventually(reached, timeout=30)
        rows = await self.core.db.fetch("SELECT body FROM messages WHERE id = $1", message)
        return msgspec.json.decode(rows[0]["body"], type=dict[str, Any])

    def said(self, name: str = "", group: str = "") -> list[str]:
        """What the bot has said on that phone."""
        bubbles = self.simulator.phone(name, group=group)
        return [one.text for one in bubbles if one.author == "account"]


@asynccontextmanager
async def world_of(
    folder: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    *services: str,
    more: str = "",
) -> AsyncIterator[World]:
    """A hub whose web server runs, and those *services* of a worker; *more* are settings."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(listening, "MIN_PAUSE_S", 0.05)
    monkeypatch.setattr(listening, "LOOK_S", 0.1)
    monkeypatch.setattr(worker, "ReplyService", lambda core: replies.ReplyService(core, PACE))
    simulator = QqSimulator(time_scale=0.5)
    await simulator.start()
    made = simulator.credentials
    config = folder / "hub.toml"
    config.write_text(
        CONFIG.format(
            folder=folder,
            app_id=made.app_id,
            secret=made.secret,
            api_base=simulator.api_base,
            more=more,
        )
    )
    async with opened(config, "test") as core:
        committer = Committer(core.db, core.bells, max_events=1000, max_bytes=1 << 20, wait_s=1.0)
        await committer.start()
        (server,) = await serve(core, make_app(core, committer))
        if "gateway" not in more:
            simulator.callback_url = f"http://127.0.0.1:{server.port}/in/qq/bot"
        stop = asyncio.Event()
        work = asyncio.create_task(_work(core, services, stop))
        try:
            yield World(core, simulator, config, f"http://127.0.0.1:{server.port}")
        finally:
            stop.set()
            await work
            await server.stop()
            await committer.stop()
            await simulator.stop()


async def _work(core: Core, services: tuple[str, ...], stop: asyncio.Event) -> None:
    async def stopped() -> None:
        await stop.wait()

    if services:
        await worker.run(core, services, stopped())
    else:
        await stopped()
