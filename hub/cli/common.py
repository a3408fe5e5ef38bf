"""What several commands share."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hub.core import Core
from hub.embedded import running_servers
from hub.errors import ConfigError
from hub.running import config_path, opened
from hub.settings import Settings, load
from hub.store import UnsafeDatabase
from hub.store.probe import NoDatabase, probe

__all__ = [
    "connect_to_running",
    "database_url",
    "fail",
    "number",
    "parser",
    "reach_database",
    "with_core",
]

SERVICES = ("web", "worker", "listen")
"""Commands that run on, and wait for a database that is only starting."""


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


def database_url(settings: Settings) -> str:
    """Where PostgreSQL is.

    Raises:
        ConfigError: nothing says it.
    """
    if settings.hub.database_url is None:
        raise ConfigError(
            [
                f"no hub runs in {data_dir()} and DATABASE_URL is not set: "
                "start one with `hub up`, or say where PostgreSQL is"
            ]
        )
    return settings.hub.database_url.reveal()


async def reach_database(url: str, *, may_be_starting: bool = False) -> None:
    """Returns when PostgreSQL answers at *url*, or is away and *may_be_starting*.

    Raises:
        ConfigError: it cannot be used, in one sentence that shows no password.
    """
    try:
        await probe(url)
    except NoDatabase as error:
        if not (may_be_starting and error.is_away):
            raise ConfigError([f"DATABASE_URL: {error}"]) from error


def _keep_what_stays() -> None:
    """Modules, settings and classes stay as long as the process: the garbage collector need not walk them
    again and again. What messages leave is mostly freed at once, so it may look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def with_core(config: str | None, kind: str, work: Callable[[Core], Awaitable[Any]]) -> int:
    """Run *work* with an opened core; the exit status, 0 unless *work* gives another."""
    connect_to_running()
    path = config_path(config)

    async def run() -> int:
        url = database_url(load(path))
        await reach_database(url, may_be_starting=kind in SERVICES)
        async with opened(path, kind) as core:
            _keep_what_stays()
            return await work(core) or 0

    try:
        return asyncio.run(run())
    except UnsafeDatabase as error:
        return fail(f"hub {kind}: {error}")


def number(text: str) -> int:
    """An argument that counts something: 1 or more."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is less than 1")
    return count


def fail(text: str) -> int:
    """Say *text* on standard error; the exit status of a failure."""
    print(text, file=sys.stderr)
    return 1
