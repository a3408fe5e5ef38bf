"""A hub with one OneBot account, and the implementation that it talks to."""

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
from sandbox.onebot import Group, OneBotSimulator
from tests.corekit import eventually

CONFIG = """
[hub]
data_dir = "{folder}"
port = 0

[accounts.shop]
channel = "onebot"
self_id = {self_id}
groups = "{groups}"
{more}
"""
SIGNED = 'secret = "{secret}"\n'
TOKEN = 'access_token = "{access_token}"\n'
WAYS = {
    "reverse": TOKEN,
    "forward": TOKEN + 'websocket_url = "{forward_url}"\n',
    "http": SIGNED + TOKEN + 'api_base = "{api_base}"\n',
    "both": SIGNED + TOKEN,
}
PACE = Pace(poll_s=0.05, retries_s=(0.05, 0.1, 0.2), sweep_s=0.2, stopped_s=0.3)
LIN, MIA, STRANGER = 12345678, 87654321, 55555555


@dataclass
class World:
    """A hub with one account, and the implementation."""

    core: Core
    simulator: OneBotSimulator
    group: Group

    async def rows(self, kind: str = "inbound") -> list[Any]:
        return await self.core.db.fetch(
            "SELECT m.id, m.conversation_id, m.seq, m.status, m.external_id, m.body, c.thread_key "
            "FROM messages m JOIN conversations c ON c.id = m.conversation_id "
            "WHERE m.direction = $1 ORDER BY m.conversation_id, m.seq",
            kind,
        )

    async def bodies(self, kind: str = "inbound") -> list[dict[str, Any]]:
        return [msgspec.json.decode(row["body"]) for row in await self.rows(kind)]

    async def arrived(self, count: int) -> list[dict[str, Any]]:
        """The messages that came in, once there are *count*."""

        async def enough() -> bool:
            return len(await self.rows()) >= count

        await eventually(enough, 30.0)
        return await self.bodies()

    async def notices(self, kind: str) -> list[dict[str, Any]]:
        """The notices of one kind, once there are any."""

        async def some() -> Any:
            return await self.core.db.fetch("SELECT 1 FROM notices WHERE kind = $1", kind)

        await eventually(some, 30.0)
        rows = await self.core.db.fetch("SELECT body FROM notices WHERE kind = $1", kind)
        return [msgspec.json.decode(row["body"]) for row in rows]

    async def reply(self, thread: str, **content: Any) -> Any:
        """Accept a reply in the conversation *thread*; its id."""
        (place,) = await self.core.db.fetch(
            "SELECT id FROM conversations WHERE thread_key = $1", thread
        )
        request = ReplyRequest(**content)
        accepted = await self.core.db.transaction(
            lambda tx: accept(self.core, tx, {"id": place["id"]}, request, author=Author("mia"))
        )
        accepted.ring(self.core)
        return accepted.message_id

    async def status(self, message: Any, *wanted: str) -> dict[str, Any]:
        """The reply *message*, once its status is one of *wanted*."""

        async def reached() -> bool:
            rows = await self.core.db.fetch("SELECT status FROM messages WHERE id = $1", message)
            return rows[0]["status"] in wanted

        await eventually(reached, 30.0)
        rows = await self.core.db.fetch("SELECT body FROM messages WHERE id = $1", message)
        return msgspec.json.decode(rows[0]["body"], type=dict[str, Any])

    def shown(self, user_id: int = LIN) -> list[str]:
        """What the account has said on a friend's phone."""
        return [one.text for one in self.simulator.phone(user_id) if one.author == "account"]


@asynccontextmanager
async def world_of(
    folder: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    way: str = "reverse",
    *services: str,
    groups: str = "addressed",
    roles: Any = ("Universal",),
    time_scale: float = 0.05,
) -> AsyncIterator[World]:
    """A hub whose web server runs, and those *services* of a worker; all that a way needs by default."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(listening, "MIN_PAUSE_S", 0.05)
    monkeypatch.setattr(listening, "LOOK_S", 0.2)
    monkeypatch.setattr(worker, "ReplyService", lambda core: replies.ReplyService(core, PACE))
    simulator = OneBotSimulator(roles=roles, time_scale=time_scale)
    simulator.world.befriend(LIN, "小不点")
    simulator.world.befriend(MIA, "Mia")
    group = simulator.world.found(20002000, "灯友会", {LIN: "老王", MIA: "Mia", STRANGER: "路人"})
    await simulator.start()
    config = folder / "hub.toml"
    made = simulator.credentials
    facts = {
        "self_id": made.self_id,
        "secret": made.secret,
        "access_token": made.access_token,
        "api_base": simulator.api_base,
        "forward_url": simulator.forward_url,
    }
    more = WAYS[way].format(**facts)
    config.write_text(CONFIG.format(folder=folder, groups=groups, more=more, **facts))
    wanted = services or ("ingest", "reply", "listen")
    async with opened(config, "test") as core:
        committer = Committer(core.db, core.bells, max_events=1000, max_bytes=1 << 20, wait_s=1.0)
        await committer.start()
        (server,) = await serve(core, make_app(core, committer))
        door = f"127.0.0.1:{server.port}/in/onebot/shop"
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(core, wanted, _until(stop)))
        if way in ("reverse", "both"):
            simulator.websocket_url = f"ws://{door}"
            simulator.connect()
        if way in ("http", "both"):
            simulator.post_url = f"http://{door}"
        try:
            if way != "http":
                await simulator.connected()
            yield World(core, simulator, group)
        finally:
            await simulator.disconnect()
            stop.set()
            await work
            await server.stop()
            await committer.stop()
            await simulator.stop()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
