"""The whole hub in the test's own process: web, every service, real database, real Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub import worker
from hub.core import Core
from hub.intake import Committer
from hub.replies import await_reply
from hub.running import opened
from hub.web.app import make_app
from hub.web.server import Listening, listen

__all__ = ["WholeHub", "whole_hub"]


@dataclass
class WholeHub:
    """A running hub."""

    core: Core
    listening: Listening

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.port}"


@asynccontextmanager
async def whole_hub(
    patch: pytest.MonkeyPatch,
    folder: Path,
    config: str,
    *,
    database_url: str,
    redis_url: str | None = None,
    port: int = 0,
    services: tuple[str, ...] = worker.SERVICES,
) -> AsyncIterator[WholeHub]:
    """A hub that runs *services* with the settings *config* until the block ends."""
    patch.setenv("DATABASE_URL", database_url)
    if redis_url is None:
        patch.delenv("REDIS_URL", raising=False)
    else:
        patch.setenv("REDIS_URL", redis_url)
    path = folder / "hub.toml"
    path.write_text(config, encoding="utf-8")
    async with opened(path, "hub") as core:
        committer = Committer(core.db, core.bells, max_events=1000, max_bytes=1 << 26, wait_s=4.0)
        await committer.start()
        made = make_app(core, committer, await_reply=await_reply)
        listening = await listen(
            made.callbacks, "127.0.0.1", port, intake=made.intake.answer, max_connections=200
        )
        made.metrics.gates.append(listening.gate)
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(core, services, stop.wait()))
        try:
            yield WholeHub(core, listening)
        finally:
            stop.set()
            await listening.stop()
            await work
            await committer.stop()
