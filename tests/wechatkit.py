"""A hub with accounts of WeChat official accounts, and the simulators that they talk to."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub import ledger
from hub.replies import Accepted, ReplyRequest
from sandbox.wechat import WeChatSimulator
from tests import hubkit
from tests.corekit import eventually
from tests.hubkit import ChannelWorld, alone, running

PACE = hubkit.PACE._replace(reconcile_s=0.2, answer_s=0.05)
OPENID = "oAlice_0123456789abcdefghijk"


@dataclass
class World(ChannelWorld):
    """A hub with one account, ``shop``, and the platform that it talks to."""

    simulator: WeChatSimulator

    async def conversations(self) -> list[Any]:
        return await self.core.db.fetch("SELECT * FROM conversations ORDER BY id")

    async def filed(self, count: int = 1) -> list[Any]:
        """The conversations, once there are *count*."""

        async def enough() -> bool:
            return len(await self.conversations()) >= count

        await eventually(enough)
        return await self.conversations()

    async def reply(self, text: str | None = None, number: int = 0, **content: Any) -> Accepted:
        """Accept a reply to the *number*-th conversation."""
        place = (await self.filed(number + 1))[number]["id"]
        return await self.accept(place, ReplyRequest(text=text, **content))

    async def status(self, reply: Accepted, *wanted: str) -> dict[str, Any]:
        return await super().status(reply.message_id, *wanted)

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
    alone(monkeypatch, url, PACE)
    platform = WeChatSimulator(**simulator)
    await platform.start()
    config = folder / "hub.toml"
    config.write_text(_config(folder, platform, settings) + more)
    try:
        async with running(config, services) as (core, port):
            platform.callback_url = f"http://127.0.0.1:{port}/in/wechat/shop"
            yield World(core, platform)
    finally:
        await platform.stop()


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
