"""Both servers together."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hub.embedded._postgres import start_postgres
from hub.embedded._process import Server, read_state
from hub.embedded._redis import start_redis


@dataclass(frozen=True)
class Servers:
    """PostgreSQL and Redis, running; as a context manager it stops them at the end."""

    postgres: Server
    redis: Server

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        return self.redis.url

    @property
    def versions(self) -> dict[str, str]:
        return {"postgres": self.postgres.version, "redis": self.redis.version}

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def start_servers(var: Path, *, unsafe: bool = False, prefer_path_redis: bool = False) -> Servers:
    """Start both below *var*, which is made if need be; about half a second, two at the first time.

    Raises:
        AlreadyRunning: another hub runs with *var*.
        ServerError: one of them does not start.
    """
    postgres = start_postgres(var, unsafe=unsafe)
    try:
        redis = start_redis(var, unsafe=unsafe, prefer_path=prefer_path_redis)
    except BaseException:
        postgres.stop()
        raise
    return Servers(postgres, redis)


def running_servers(var: Path) -> tuple[str, str] | None:
    """The URLs of the database and of Redis that some process has started below *var*, if it lives."""
    noted = [read_state(var.absolute() / "run" / name) for name in ("postgres.json", "redis.json")]
    urls = [state.url for state in noted if state is not None and state.server.is_alive]
    return (urls[0], urls[1]) if len(urls) == len(noted) else None
