"""The connection to PostgreSQL, transactions that are tried again, and migrations."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import structlog
from tortoise import Tortoise
from tortoise.backends.base.config_generator import expand_db_url
from tortoise.connection import get_connection
from tortoise.migrations.api import migrate as run_migrations

__all__ = ["AWAY", "TROUBLE", "Database", "Transaction", "UnsafeDatabase", "migrate"]

T = TypeVar("T")

MIGRATION_LOCK = 0x48554200
SESSION = {"idle_in_transaction_session_timeout": "10s", "jit": "off"}
"""Settings of each connection. A process that is stopped within a transaction keeps its locks no longer
than this, well below a lease: others that wait for them would lose theirs. Statements here are small: to
compile one takes longer than to run it."""

AT_HAND = 3
TRIES = 6
STATEMENT_S = 60.0
"""A statement not answered by then: the connection broke without a word."""
RETRY = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
    TimeoutError,
)
"""What says that the database is away or cannot write now, and may be back in a moment."""
TROUBLE = (*AWAY, *RETRY, asyncpg.SyntaxOrAccessError, asyncpg.ObjectNotInPrerequisiteStateError)
"""What says nothing about the rows: besides AWAY, locks, and a schema that is not migrated."""

_log = structlog.get_logger("hub.store")


class UnsafeDatabase(RuntimeError):
    """The database may lose what it has confirmed; the hub's promise cannot be kept on it."""


class _Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """A connection without the statement that asyncpg sends whenever one goes back to the pool.

    It clears what a session was told, and ours are told nothing; that round trip is half of the time of a
    small statement. What is open is still rolled back.
    """

    def get_reset_query(self) -> str:
        return ""


def _config(url: str, pool: int, timeout_s: float | None = None) -> dict[str, Any]:
    separator = "&" if "?" in url else "?"
    url = url.replace("postgresql://", "asyncpg://", 1).replace("postgres://", "asyncpg://", 1)
    connection = expand_db_url(f"{url}{separator}minsize=1&maxsize={pool}")
    connection["credentials"] |= {
        "server_settings": dict(SESSION),
        "connection_class": _Connection,
    }
    if timeout_s is not None:
        connection["credentials"]["command_timeout"] = timeout_s
    return {
        "connections": {"default": connection},
        "apps": {
            "hub": {
                "models": ["hub.store.models"],
                "migrations": "hub.store.migrations",
                "default_connection": "default",
            }
        },
        "use_tz": True,
        "timezone": "UTC",
    }


def _dsn(url: str) -> str:
    return url.replace("asyncpg://", "postgresql://", 1)


async def migrate(url: str) -> None:
    """Bring the schema of the database at *url* up to date; several processes may try at once."""
    raw = await asyncpg.connect(_dsn(url))  # Tortoise closes its own connections while it migrates
    try:
        await raw.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await run_migrations(config=_config(url, 2))
        # A dump restored into another cluster brings ids that this cluster has yet to reach.
        await raw.execute("UPDATE events SET xid = '3' WHERE xid > pg_current_xact_id()")
    finally:
        await Tortoise.close_connections()
        await raw.close()


class Database:
    """One process's connections; made by :meth:`open`."""

    def __init__(self, *, unsafe: bool, pool: int = 10) -> None:
        self.unsafe = unsafe
        self.statements = 0
        self._keeps = min(AT_HAND, pool // 3)
        self._at_hand: list[tuple[Any, asyncpg.Connection]] = []

    @classmethod
    async def open(cls, url: str, *, pool: int = 10) -> "Database":
        """Connect, and refuse a database that may lose confirmed writes.

        Raises:
            UnsafeDatabase: fsync or synchronous_commit is off (``HUB_UNSAFE_DATABASE=1`` lets it pass).
        """
        config = _config(url, pool, STATEMENT_S)
        await Tortoise.init(config=config, _enable_global_fallback=True)
        self = cls(unsafe=False, pool=pool)
        row = (
            await self.fetch(
                "SELECT current_setting('fsync') AS fsync, "
                "current_setting('synchronous_commit') AS synchronous_commit, "
                "current_setting('full_page_writes') AS full_page_writes"
            )
        )[0]
        weak = [f"{name} is off" for name, value in row.items() if value == "off"]
        if weak and os.environ.get("HUB_UNSAFE_DATABASE") != "1":
            await self.close()
            raise UnsafeDatabase(f"PostgreSQL may lose confirmed writes: {', '.join(weak)}")
        self.unsafe = bool(weak)
        if weak:
            _log.warning("unsafe_database", settings=weak)
        return self

    async def close(self) -> None:
        """Give the connections back."""
        kept, self._at_hand = self._at_hand, []
        for holder, _ in kept:
            await holder.__aexit__(None, None, None)
        await Tortoise.close_connections()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A raw connection, for the hand-written statements.

        A few stay at hand between statements: taking one from the pool and giving it back costs more
        processor time than a small statement. After any error it goes back and is looked at there.
        """
        holder, raw = await self._take()
        try:
            yield raw
        except BaseException as error:
            await holder.__aexit__(type(error), error, error.__traceback__)
            raise
        if len(self._at_hand) < self._keeps:
            self._at_hand.append((holder, raw))
        else:
            await holder.__aexit__(None, None, None)

    async def _take(self) -> tuple[Any, asyncpg.Connection]:
        while self._at_hand:
            holder, raw = self._at_hand.pop()
            if not raw.is_closed():
                return holder, raw
            await holder.__aexit__(None, None, None)
        holder = get_connection("default").acquire_connection()
        return holder, await holder.__aenter__()

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of one statement, in a transaction of its own."""
        self.statements += 1
        async with self.connection() as raw:
            rows: list[asyncpg.Record] = await raw.fetch(sql, *values)
            return rows

    async def transaction(self, work: Callable[["Transaction"], Awaitable[T]]) -> T:
        """The result of *work* in one transaction, done again after a deadlock; it must be repeatable."""
        for attempt in range(1, TRIES + 1):
            try:
                async with self.connection() as raw, raw.transaction():
                    return await work(Transaction(raw, self))
            except RETRY:
                if attempt == TRIES:
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311
        raise AssertionError("unreachable")


class Transaction:
    """An open transaction, and the only thing that the statements of this package need."""

    def __init__(self, raw: asyncpg.Connection, database: Database) -> None:
        self._raw = raw
        self._database = database

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of one statement."""
        self._database.statements += 1
        rows: list[asyncpg.Record] = await self._raw.fetch(sql, *values)
        return rows
