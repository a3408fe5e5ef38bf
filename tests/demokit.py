"""The whole demo in this process: every platform, a hub with web and worker, and the helpdesk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub import apitokens
from hub.core import Core
from sandbox.demo import Demo, DemoPorts, DemoSecrets
from sandbox.helpdesk import PEOPLE
from sandbox.phones import App
from tests.corekit import eventually
from tests.hubkit import alone, running

LIN = PEOPLE[0]
SERVICES = ("ingest", "deliver", "reply", "listen")


@dataclass
class Stage:
    """A demo whose hub runs."""

    demo: Demo
    core: Core

    def app(self, key: str) -> App:
        return self.demo.phone.apps[key]

    async def do(self, app: str, action: str, **fields: str) -> None:
        """What Lin does in the first chat of *app*; texts go under their own field."""
        chat = self.app(app).spec.chats[0].key
        await self.demo.phone.act("lin", app, chat, action, fields)

    async def throw(self, app: str, switch: str, **fields: Any) -> None:
        """Throw a switch, with Lin's phone in hand."""
        await self.demo.phone.throw(app, switch, "lin", fields)

    def arrived(self, app: str) -> list[dict[str, Any]]:
        """What the helpdesk has of Lin's messages in *app*, as it stands on its page."""
        address = self.app(app).address(LIN)
        return [
            message
            for conversation in self.demo.desk.inbox.conversations()
            if conversation.channel == app and conversation.address == address
            for message in conversation.messages.values()
        ]

    async def has(self, app: str, count: int) -> list[dict[str, Any]]:
        """Lin's own messages in *app*, once the helpdesk has *count* of them."""

        def own() -> list[dict[str, Any]]:
            return [one for one in self.arrived(app) if one["direction"] == "inbound"]

        await eventually(lambda: len(own()) >= count, 30)
        return own()

    async def answer(self, app: str, **content: Any) -> str:
        """The helpdesk answers Lin; the id of the message."""
        address = self.app(app).address(LIN)
        (home,) = [
            one.id
            for one in self.demo.desk.inbox.conversations()
            if one.channel == app and one.address == address
        ]
        return str((await self.demo.desk.answer(home, content))["id"])

    async def status(self, message: str, *wanted: str) -> dict[str, Any]:
        """The answer as the helpdesk sees it, once its status is one of *wanted*."""

        def found() -> dict[str, Any] | None:
            known = self.demo.desk.inbox.find_message(message)
            return known[1] if known and known[1]["status"] in wanted else None

        await eventually(lambda: found() is not None, 30)
        return found() or {}

    def shown(self, app: str) -> list[str]:
        """What the account has said on Lin's phone."""
        (chat,) = self.app(app).state(LIN).values()
        return [one["text"] for one in chat["bubbles"] if one["author"] == "account"]


@asynccontextmanager
async def running_stage(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """Start the demo, then a hub with its settings."""
    alone(monkeypatch, url)
    ports = DemoPorts()
    demo = Demo(f"http://127.0.0.1:{ports['hub']}", ports, DemoSecrets())
    config = folder / "hub.toml"
    here = f'[hub]\ndata_dir = "{folder}"\nport = {ports["hub"]}\n'
    config.write_text(demo.settings_toml().replace("[hub]\n", here))
    await demo.start()
    try:
        async with running(config, SERVICES) as (core, _port):
            token = (await apitokens.create(core.db, "t", scopes=apitokens.SCOPES)).token
            await demo.join(token)
            yield Stage(demo, core)
    finally:
        await demo.stop()
