"""A hub with one OneBot account, and the implementation that it talks to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import listening
from hub.replies import ReplyRequest
from sandbox.onebot import Group, OneBotSimulator
from tests.corekit import eventually
from tests.hubkit import ChannelWorld, alone, running

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
LIN, MIA, STRANGER = 12345678, 87654321, 55555555


@dataclass
class World(ChannelWorld):
    """A hub with one account, and the implementation."""

    simulator: OneBotSimulator
    group: Group

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
        return (await self.accept(place["id"], ReplyRequest(**content))).message_id

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
    alone(monkeypatch, url)
    monkeypatch.setattr(listening, "MIN_PAUSE_S", 0.05)
    monkeypatch.setattr(listening, "LOOK_S", 0.2)
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
    try:
        async with running(config, wanted) as (core, port):
            door = f"127.0.0.1:{port}/in/onebot/shop"
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
    finally:
        await simulator.stop()
