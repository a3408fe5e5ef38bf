"""A hub with one QQ bot, and the simulator that it talks to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub import listening
from hub.replies import ReplyRequest
from sandbox.qq import QqSimulator
from tests import hubkit
from tests.hubkit import ChannelWorld, alone, running

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
PACE = hubkit.PACE._replace(retries_s=(0.05, 0.1, 0.2, 0.4, 0.8))


@dataclass
class World(ChannelWorld):
    """A hub with one account, and the platform that it talks to."""

    simulator: QqSimulator
    config: Path
    url: str

    order = "m.created_at, m.conversation_id, m.seq"

    async def place(self, name: str = "", group: str = "") -> Any:
        """The conversation with *name* alone, or with *group*."""
        key = f"group:{self.simulator.openid(group)}" if group else ""
        key = key or f"c2c:{self.simulator.openid(name)}"
        found = await self.core.db.fetch("SELECT id FROM conversations WHERE thread_key = $1", key)
        return {"id": found[0]["id"]}

    async def reply(self, place: Any, request: ReplyRequest | str) -> Any:
        """Accept a reply in *place*; its id."""
        asked = ReplyRequest(text=request) if isinstance(request, str) else request
        return (await self.accept(place["id"], asked)).message_id

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
    alone(monkeypatch, url, PACE)
    monkeypatch.setattr(listening, "MIN_PAUSE_S", 0.05)
    monkeypatch.setattr(listening, "LOOK_S", 0.1)
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
    try:
        async with running(config, services) as (core, port):
            if "gateway" not in more:
                simulator.callback_url = f"http://127.0.0.1:{port}/in/qq/bot"
            yield World(core, simulator, config, f"http://127.0.0.1:{port}")
    finally:
        await simulator.stop()
