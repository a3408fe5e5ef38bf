"""What every test shares: real servers, a fresh database, and no way out to the network.

    HUB_TEST_DATABASE_URL   a PostgreSQL to use; its user must be allowed to create databases
    HUB_TEST_REDIS_URL      a Redis to use
    HUB_TEST_REDIS          "wheel": the embedded Valkey even where a redis-server is on PATH

Without them the servers of `hub.embedded` start when the first test asks for one.
"""

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis as redis_client

from hub import embedded, store

DATABASE_URL = os.environ.get("HUB_TEST_DATABASE_URL")
REDIS_URL = os.environ.get("HUB_TEST_REDIS_URL")
PREFERS_PATH = os.environ.get("HUB_TEST_REDIS") != "wheel"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what wants Redis, so that it alone can be run on another one: ``-m redis``."""
    for item in items:
        if "redis_server_url" in getattr(item, "fixturenames", ()):
            item.add_marker("redis")


# --------------------------------------------------------------------------- which servers


def pytest_report_header() -> list[str]:
    return [f"database: {_database_version()}", f"redis: {_redis_version()}"]


def _database_version() -> str:
    if DATABASE_URL is None:
        return f"PostgreSQL {embedded.find_postgres().version} (embedded)"
    try:
        version = run_async(lambda: _fetch_value(DATABASE_URL, "SHOW server_version"))
    except (OSError, asyncpg.PostgresError) as error:
        return f"HUB_TEST_DATABASE_URL does not answer: {error}"
    return f"PostgreSQL {version} (HUB_TEST_DATABASE_URL)"


def _redis_version() -> str:
    if REDIS_URL is None:
        found = embedded.find_redis(prefer_path=PREFERS_PATH)
        return f"{found.version} ({found.path})"
    try:
        with redis_client.Redis.from_url(REDIS_URL) as client:
            facts: Any = client.info("server")
    except redis_client.RedisError as error:
        return f"HUB_TEST_REDIS_URL does not answer: {error}"
    name = facts.get("server_name", "redis").capitalize()
    return f"{name} {facts.get('valkey_version') or facts['redis_version']} (HUB_TEST_REDIS_URL)"


# -------------------------------------------------------------------------------- servers


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A short path: a unix socket's has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hub-test-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres_url(servers_folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server's own database: tests want `database_url`, not this."""
    if DATABASE_URL is not None:
        yield DATABASE_URL
        return
    server = embedded.start_postgres(servers_folder, unsafe=True)
    with pytest.MonkeyPatch.context() as patch:
        # The hub refuses a server that may lose what it confirmed; here nobody minds.
        patch.setenv("HUB_UNSAFE_DATABASE", "1")
        yield server.url
    server.stop()


@pytest.fixture(scope="session")
def redis_server_url(servers_folder: Path) -> Iterator[str]:
    """The URL of a Redis that all tests share: they want `redis_url`."""
    if REDIS_URL is not None:
        yield REDIS_URL
        return
    server = embedded.start_redis(servers_folder, unsafe=True, prefer_path=PREFERS_PATH)
    yield server.url
    server.stop()


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """A Redis with nothing in it."""
    with redis_client.Redis.from_url(redis_server_url) as client:
        client.flushdb()
    return redis_server_url


# ------------------------------------------------------------------------------- databases


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> Iterator[str]:
    """The name of a database with the hub's tables and nothing in them."""
    name = f"hub_template_{secrets.token_hex(4)}"
    _execute(postgres_url, f"CREATE DATABASE {name}")
    run_async(lambda: store.migrate(_with_database(postgres_url, name)))
    yield name
    _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The URL of a database of one's own, with the hub's tables: a copy, made in some 30 ms."""
    name = f"hub_test_{secrets.token_hex(4)}"
    _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template_database}")
    yield _with_database(postgres_url, name)
    _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a database without any table, for tests of migrations."""
    name = f"hub_empty_{secrets.token_hex(4)}"
    _execute(postgres_url, f"CREATE DATABASE {name}")
    yield _with_database(postgres_url, name)
    _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _execute(url: str, statement: str) -> None:
    run_async(lambda: _fetch_value(url, statement))


async def _fetch_value(url: str, statement: str) -> Any:
    # asyncpg knows the scheme under its general name only.
    connection = await asyncpg.connect(urlsplit(url)._replace(scheme="postgresql").geturl())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def run_async(make: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine in a loop of its own, whether or not one runs here."""

    async def await_it() -> Any:
        return await make()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(await_it())).result()


# ------------------------------------------------------------------------------ the network


class NetworkRefused(OSError):
    """A test tried to reach another machine."""


def _is_local(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    return (
        name in ("", "localhost", "::", "::1", "0.0.0.0")
        or name.startswith("127.")
        or name.endswith(".localhost")
        or name == socket.gethostname()
    )


def _check(address: Any) -> None:
    # Addresses of unix sockets are text; of the internet a tuple that starts with the host.
    if isinstance(address, tuple) and not _is_local(address[0]):
        raise NetworkRefused(f"tests stay on this machine; refused: {address}")


@pytest.fixture(scope="session", autouse=True)
def only_this_machine() -> Iterator[None]:
    """Nothing reaches, or asks for the address of, any other machine."""
    connect, connect_ex, sendto = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.socket.sendto,
    )
    getaddrinfo = socket.getaddrinfo

    def checked_connect(self: socket.socket, address: Any) -> None:
        _check(address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        _check(address)
        return connect_ex(self, address)

    def checked_sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        _check(rest[-1])
        return sendto(self, data, *rest)

    def checked_getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        if not _is_local(host) and not _is_address(host):
            raise NetworkRefused(f"tests ask for no names outside this machine; refused: {host}")
        return getaddrinfo(host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked_connect)
        patch.setattr(socket.socket, "connect_ex", checked_connect_ex)
        patch.setattr(socket.socket, "sendto", checked_sendto)
        patch.setattr(socket, "getaddrinfo", checked_getaddrinfo)
        yield


def _is_address(host: Any) -> bool:
    """Whether *host* is a number already: asking for it leaves no machine."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, str(host))
        except OSError:
            continue
        return True
    return False
