"""A hub with accounts of WeChat official accounts, and the simulators that they talk to."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import ledger, replies, worker
from hub.core import Core
from hub.intake import Committer
from hub.replies import Accepted, Author, Pace, ReplyRequest, accept, await_reply
from hub.running import opened
from hub.web.app import make_app, serve
from sandbox.wechat import WeChatSimulator
from tests.corekit import eventually

PACE = Pace(
    poll_s=0.05,
    retries_s=(0.05, 0.1, 0.2),
    sweep_s=0.2,
    stopped_s=0.3,
    reconcile_s=0.2,
    answer_s=0.05,
)
OPENID = "oAlice_0123456789abcdefghijk"


@dataclass
class World:
    """A hub with one account, ``shop``, and the platform that it talks to."""

    core: Core
    simulator: WeChatSimulator

    async def conversations(self) -> list[Any]:
        return await self.core.db.fetch("SELECT * FROM conversations ORDER BY id")

    async def filed(self, count: int = 1) -> list[Any]:
        """The conversations, once there are *count*."""

        async def enough() -> bool:
            return len(await self.conversations()) >= count

        await eventually(enough)
        return await self.conversations()

    async def bodies(self, direction: str = "inbound") -> list[dict[str, Any]]:
        rows = await self.core.db.fetch(
            "SELECT body FROM messages WHERE direction = $1 ORDER BY conversation_id, seq",
            direction,
        )
        return [msgspec.json.decode(row["body"], type=dict[str, Any]) for row in rows]

    async def arrived(self, count: int = 1) -> list[dict[str, Any]]:
        """The customers' messages, once there are *count*."""

        async def enough() -> bool:
            return len(await self.bodies()) >= count

        await eventually(enough)
        return await self.bodies()

    async def reply(self, text: str | None = None, number: int = 0, **content: Any) -> Accepted:
        """Accept a reply to the *number*-th conversation."""
        place = {"id": (await self.filed(number + 1))[number]["id"]}
        request = ReplyRequest(text=text, **content)
        accepted = await self.core.db.transaction(
            lambda tx: accept(self.core, tx, place, request, author=Author("mia"))
        )
        accepted.ring(self.core)
        return accepted

    async def status(self, reply: Accepted, *wanted: str) -> dict[str, Any]:
        """The message of *reply*, once its status is one of *wanted*."""
        sql = "SELECT status, body FROM messages WHERE id = $1"

        async def reached() -> bool:
            rows = await self.core.db.fetch(sql, reply.message_id)
            return rows[0]["status"] in wanted

        await eventually(reached)
        rows = await self.core.db.fetch(sql, reply.message_id)
        return msgspec.json.decode(rows[0]["body"], type=dict[str, Any])

    async def allowances(self, conversation: Any) -> dict[str, int | None]:
        """What is left of each kind of allowance."""
        known = await ledger.known(self.core.db, [conversation])
        return {one.trigger: one.remaining for one in known.get(conversation, ())}

    def shown(self, openid: str = OPENID) -> list[str]:
        """What the account has said on the customer's phone."""
        return [one.text for one in self.simulator.phone(openid) if one.author == "account"]


@asynccontextmanager
async def world_of(
    folder: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: str = "",
    *,
    more: str = "",
    services: tuple[str, ...] = ("ingest", "reply"),
    **simulator: Any,
) -> AsyncIterator[World]:
    """A hub whose web server runs, and those *services* of a worker.

    *settings* are further lines of the account, *more* further tables of the configuration.
    """
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(worker, "ReplyService", lambda core: replies.ReplyService(core, PACE))
    platform = WeChatSimulator(**simulator)
    await platform.start()
    config = folder / "hub.toml"
    config.write_text(_config(folder, platform, settings) + more)
    async with opened(config, "test") as core:
        committer = Committer(core.db, core.bells, max_events=1000, max_bytes=1 << 20, wait_s=1.0)
        await committer.start()
        (server,) = await serve(core, make_app(core, committer, await_reply=await_reply))
        platform.callback_url = f"http://127.0.0.1:{server.port}/in/wechat/shop"
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(core, services, _until(stop)))
        try:
            yield World(core, platform)
        finally:
            stop.set()
            await work
            await server.stop()
            await committer.stop()
            await platform.stop()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def _config(folder: Path, platform: WeChatSimulator, settings: str) -> str:
    made = platform.credentials
    values: Mapping[str, Any] = {
        "channel": "wechat",
        "app_id": made.app_id,
        "app_secret": made.app_secret,
        "token": made.token,
        "aes_key": made.aes_key,
        "api_base": platform.api_base,
        "mode": platform.builder.mode,
    }
    lines = [f'{name} = "{value}"' for name, value in values.items()]
    return "\n".join(
        ["[hub]", f'data_dir = "{folder}"', "port = 0", "", "[accounts.shop]", *lines, settings, ""]
    )
