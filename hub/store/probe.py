"""Whether PostgreSQL answers, in one sentence that shows no password."""

from urllib.parse import urlsplit

import asyncpg

from hub.store.database import AWAY

__all__ = ["NoDatabase", "probe"]

PROBE_S = 5.0


class NoDatabase(Exception):
    """PostgreSQL cannot be used; *is_away*: it may only be starting."""

    def __init__(self, text: str, *, is_away: bool) -> None:
        super().__init__(text)
        self.is_away = is_away


async def probe(url: str) -> None:
    """Returns when PostgreSQL at *url* lets us in.

    Raises:
        NoDatabase: it does not.
    """
    try:
        dsn = url.replace("asyncpg://", "postgresql://", 1)
        await (await asyncpg.connect(dsn, timeout=PROBE_S)).close()
    except (*AWAY, asyncpg.PostgresError, ValueError) as error:
        reason = str(error) or "it does not answer"
        is_away = isinstance(error, AWAY) and not isinstance(error, ValueError)
        raise NoDatabase(f"PostgreSQL {_place(url)}: {reason}", is_away=is_away) from error


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"at {parts.hostname}:{parts.port or 5432}" if parts.hostname else "there"
    except ValueError:
        return "there"
