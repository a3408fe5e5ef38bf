"""What several commands share."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hub.core import Core
from hub.embedded import running_servers
from hub.running import config_path, opened

__all__ = ["connect_to_running", "parser", "with_core"]


def parser(name: str, about: str, *, json: bool = False) -> argparse.ArgumentParser:
    """A parser with what every command takes."""
    made = argparse.ArgumentParser(prog=f"hub {name}", description=about)
    made.add_argument("--config", metavar="FILE", help="the settings (HUB_CONFIG; config/hub.toml)")
    if json:
        made.add_argument("--json", action="store_true", help="for programs")
    return made


def data_dir() -> Path:
    """Where the embedded servers and the demo keep what is theirs."""
    return Path(os.environ.get("HUB_DATA_DIR", "var")).absolute()


def connect_to_running() -> None:
    """Where no database is configured, use the servers and settings of the ``hub up`` that runs here."""
    var = data_dir()
    if "DATABASE_URL" not in os.environ and (urls := running_servers(var)):
        os.environ["DATABASE_URL"], redis = urls
        os.environ.setdefault("REDIS_URL", redis)
        demo = var / "demo.toml"
        if config_path(None) is None and demo.exists():
            os.environ["HUB_CONFIG"] = str(demo)


def with_core(config: str | None, kind: str, work: Callable[[Core], Awaitable[Any]]) -> int:
    """Run *work* with an opened core; the exit status, 0 unless *work* gives another."""
    connect_to_running()

    async def run() -> int:
        async with opened(config_path(config), kind) as core:
            return await work(core) or 0

    return asyncio.run(run())


def fail(text: str) -> int:
    """Say *text* on standard error; the exit status of a failure."""
    print(text, file=sys.stderr)
    return 1
