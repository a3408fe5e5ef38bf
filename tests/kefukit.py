"""A hub with one account of WeChat customer service, and the simulator that it talks to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub import listening
from hub.replies import ReplyRequest
from sandbox.wechat_kefu import KefuSimulator
from tests.hubkit import ChannelWorld, alone, running

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


@dataclass
class World(ChannelWorld):
    """A hub with one account, and the platform that it talks to."""

    simulator: KefuSimulator
    desk: str

    async def reply(self, text: str, number: int = 0) -> Any:
        """Accept a reply to the *number*-th conversation; its id."""
        found = await self.core.db.fetch("SELECT id FROM conversations ORDER BY id")
        return (await self.accept(found[number]["id"], ReplyRequest(text=text))).message_id

    def shown(self, customer: str) -> list[str]:
        """What the account has said on the customer's phone."""
        return [one.text for one in self.simulator.phone(customer) if one.author == "account"]


@asynccontextmanager
async def world_of(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, *services: str
) -> AsyncIterator[World]:
    """A hub whose web server runs, and those *services* of a worker."""
    alone(monkeypatch, url)
    monkeypatch.setattr(listening, "MIN_PAUSE_S", 0.05)
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
    try:
        async with running(config, services) as (core, port):
            simulator.callback_url = f"http://127.0.0.1:{port}/in/wechat_kefu/shop"
            yield World(core, simulator, desk)
    finally:
        await simulator.stop()
