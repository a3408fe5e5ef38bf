"""A hub with one account of WeChat customer service, and the simulator that it talks to."""

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
from sandbox.wechat_kefu import KefuSimulator
from tests.corekit import eventually

CONFIG = """
[hub]
data_dir = "{folder}"
port = 0

[accounts.shop]
channel = "wechat_kefu"
corp_id = "{corp_id}"
secret = "{secret}"
token = "{token}"
aes_key = "{aes_key}"
api_base = "{api_base}"
poll_s = 1
welcome_text = "您好，欢迎！"
goodbye_text = "再见"
"""
PACE = Pace(poll_s=0.05, retries_s=(0.05, 0.1, 0.2), sweep_s=0.2, stopped_s=0.3)


@dataclass
class World:
    """A hub with one account, and the platform that it talks to."""

    core: Core
    simulator: KefuSimulator
    desk: str

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

        await eventually(enough)
        return await self.bodies()

    async def reply(self, text: str, number: int = 0) -> Any:
        """Accept a reply to the *number*-th conversation; its id."""
        found = await self.core.db.fetch("SELECT id FROM conversations ORDER BY id")
        place = {"id": found[number]["id"]}
        accepted = await self.core.db.transaction(
            lambda tx: accept(self.core, tx, place, ReplyRequest(text=text), author=Author("mia"))
        )
        accepted.ring(self.core)
        return accepted.message_id

    async def status(self, message: Any, *wanted: str) -> dict[str, Any]:
        """The reply *message*, once its status is one of *wanted*."""

        async def reached() -> bool:
            rows = await self.core.db.fetch("SELECT status FROM messages WHERE id = $1", message)
            return rows[0]["status"] in wanted

        await eventually(reached)
        rows = await self.core.db.fetch("SELECT body FROM messages WHERE id = $1", message)
        return msgspec.json.decode(rows[0]["body"], type=dict[str, Any])

    def shown(self, customer: str) -> list[str]:
        """What the account has said on the customer's phone."""
        return [one.text for one in self.simulator.phone(customer) if one.author == "account"]


@asynccontextmanager
async def world_of(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, *services: str
) -> AsyncIterator[World]:
    """A hub whose web server runs, and those *services* of a worker."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(listening, "MIN_PAUSE_S", 0.05)
    monkeypatch.setattr(worker, "ReplyService", lambda core: replies.ReplyService(core, PACE))
    simulator = KefuSimulator(time_scale=0.1)
    await simulator.start()
    desk = simulator.desks.open("售前")
    made = simulator.credentials
    config = folder / "hub.toml"
    config.write_text(
        CONFIG.format(
            folder=folder,
            corp_id=made.corp_id,
            secret=made.secret,
            token=made.token,
            aes_key=made.aes_key,
            api_base=simulator.api_base,
        )
    )
    async with opened(config, "test") as core:
        committer = Committer(core.db, core.bells, max_events=1000, max_bytes=1 << 20, wait_s=1.0)
        await committer.start()
        (server,) = await serve(core, make_app(core, committer))
        simulator.callback_url = f"http://127.0.0.1:{server.port}/in/wechat_kefu/shop"
        stop = asyncio.Event()
        work = asyncio.create_task(_work(core, services, stop))
        try:
            yield World(core, simulator, desk)
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
