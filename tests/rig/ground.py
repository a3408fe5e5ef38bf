"""What a hub stands on: durable servers, a database of its own for each trial, and a configuration."""

import asyncio
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg

from hub import apitokens
from hub.embedded import Server, Servers, start_servers
from hub.store import Database, migrate
from sandbox.wechat import WeChatCredentials

T = TypeVar("T")

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "HUB_UNSAFE_DATABASE", "HUB_FAILPOINT", "HUB_CONFIG")


def plain_url(url: str) -> str:
    """*url* with the scheme that asyncpg knows."""
    return urlsplit(url)._replace(scheme="postgresql").geturl()


class Ground:
    """PostgreSQL and Valkey as they run in production: every commit is on disk before it is confirmed.

    Servers end with the thread that started them, so all of it happens in one that lives as long.
    """

    def __init__(self, keep: Path | None = None) -> None:
        """Everything lies below *keep*, which stays, or a folder that is removed at the end."""
        self._folder = None if keep else tempfile.TemporaryDirectory(prefix="hub-proof-")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="servers")
        self._servers: Servers | None = None
        self.path = keep.absolute() if keep else Path(self._folder.name)  # type: ignore[union-attr]
        self.path.mkdir(parents=True, exist_ok=True)

    async def __aenter__(self) -> Self:
        self._servers = await self.do(lambda: start_servers(self.path / "var"))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.do(self.servers.stop)
        self._thread.shutdown()
        if self._folder is not None:
            self._folder.cleanup()

    async def do(self, work: Callable[[], T]) -> T:
        """The result of *work* in the servers' own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @property
    def servers(self) -> Servers:
        """Both servers."""
        assert self._servers is not None
        return self._servers

    @property
    def postgres(self) -> Server:
        """The database server."""
        return self.servers.postgres

    @property
    def redis(self) -> Server:
        """The server of the doorbells."""
        return self.servers.redis

    async def new_database(self, name: str) -> str:
        """The URL of a new database with the hub's tables."""
        server = await asyncpg.connect(plain_url(self.servers.database_url))
        try:
            await server.execute(f"CREATE DATABASE {name}")
        finally:
            await server.close()
        url = urlsplit(self.servers.database_url)._replace(path=f"/{name}").geturl()
        await migrate(url)
        return url

    async def drop_database(self, name: str) -> None:
        """Throw a trial's database away."""
        server = await asyncpg.connect(plain_url(self.servers.database_url))
        try:
            await server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await server.close()


async def new_token(url: str) -> str:
    """An API token that may do everything, for the hub of the database at *url*."""
    db = await Database.open(url, pool=1)
    try:
        return (await apitokens.create(db, "proof", scopes=apitokens.SCOPES)).token
    finally:
        await db.close()


class Desk(NamedTuple):
    """A helpdesk as the configuration names it."""

    name: str
    url: str
    secret: str
    queues: Sequence[str] = ("*",)
    events: Sequence[str] = ()
    max_in_flight: int = 16
    timeout_s: float = 15.0


class Shop(NamedTuple):
    """A WeChat account as the configuration names it; its queue has its name."""

    name: str
    credentials: WeChatCredentials
    api_base: str

    @property
    def settings(self) -> dict[str, Any]:
        """The account's own settings."""
        return {
            "channel": "wechat",
            "app_id": self.credentials.app_id,
            "app_secret": self.credentials.app_secret,
            "token": self.credentials.token,
            "aes_key": self.credentials.aes_key,
            "original_id": self.credentials.original_id,
            "mode": "safe",
            "api_base": self.api_base,
        }


def configuration(
    shops: Sequence[Shop],
    desks: Sequence[Desk],
    hub: Mapping[str, Any] | None = None,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    connected: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """``hub.toml`` for WeChat accounts in safe mode, *others*, and the helpdesks that serve them, of which
    some are *connected*."""
    settings: dict[str, Any] = {"log_level": "info"} | dict(hub or {})
    tables = [_table("hub", settings)]
    accounts = {shop.name: shop.settings for shop in shops} | dict(others or {})
    for name, values in accounts.items():
        tables += [_table(f"accounts.{name}", values), _table(f"queues.{name}", {})]
        tables.append(_table("[routes]", {"account": name, "queue": name}))
    for desk in desks:
        told: dict[str, Any] = {"type": "webhook", "allow_private": True} | desk._asdict()
        del told["name"]
        tables.append(_table(f"destinations.{desk.name}", told))
    tables += [_table(f"destinations.{name}", one) for name, one in (connected or {}).items()]
    return "\n".join(tables)


def _table(name: str, values: Mapping[str, Any]) -> str:
    # JSON's strings, numbers, booleans and lists of strings are TOML's too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def bare_environment() -> dict[str, str]:
    """The environment of a process that knows our modules and no hub."""
    own = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    return own | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(ROOT)])}


def environment(ground: Ground, database_url: str, config: Path, port: int) -> dict[str, str]:
    """The environment of a hub process: nothing of ours but what it needs."""
    return bare_environment() | {
        "DATABASE_URL": database_url,
        "REDIS_URL": ground.servers.redis_url,
        "HUB_CONFIG": str(config),
        "HUB_HOST": "127.0.0.1",
        "HUB_PORT": str(port),
        "HUB_DATA_DIR": str(ground.path / "data"),
        "HUB_SECRET_KEY": secrets.token_hex(32),
    }
