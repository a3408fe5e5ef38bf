"""Platform access tokens: one owner, sealed in the database, one refresh at a time for all processes.

Within a process callers share one flight; between processes a lease names the one that refreshes, and
the others look at the database until its token is there. No transaction is open while a platform is
asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from hub.channel import Token
from hub.errors import Unreachable
from hub.seal import CannotOpen, Sealer
from hub.store import AWAY, Database, leases
from hub.store.platform_tokens import load_token, save_token

__all__ = ["AccountTokens", "Tokens"]

Fetch = Callable[[], Awaitable[Token]]

MARGIN_S = 300.0
"""A token is not used in its last five minutes; one that lives shorter, not in its second half."""

LEAST_S = 5.0
"""A platform that gives the same token until its last seconds is not asked more often than that."""

FETCH_S = 20.0
"""A platform that has not answered by then failed; well below the lease's 30 s."""

WAIT_S = 10.0
"""How long a process waits for another one's refresh."""

CACHE_S = 60.0
POLL_S = 0.05
PURPOSE = "platform-token"

_log = structlog.get_logger("hub.tokens")


class _Known(NamedTuple):
    value: str
    until: float  # by the loop's clock


class _Flight(NamedTuple):
    unlike: str | None
    task: asyncio.Task[str]


class Tokens:
    """The tokens of all accounts, for one process."""

    def __init__(self, db: Database, sealer: Sealer, holder: str) -> None:
        """*holder* names this process in leases."""
        self._db = db
        self._sealer = sealer
        self._holder = holder
        self._known: dict[str, _Known] = {}
        self._flights: dict[str, _Flight] = {}

    def of(self, scope: str) -> "AccountTokens":
        """The tokens of one account; *scope* changes with its credentials."""
        return AccountTokens(self, scope)

    async def get(self, token_id: str, fetch: Fetch, *, unlike: str | None = None) -> str:
        """The token, from memory, the database or *fetch*; see ``hub.channel.TokenStore``.

        A platform may answer with the token that it called expired: then that is the answer.

        Raises:
            SendError: what *fetch* raised; the next call tries again.
            Unreachable: another process has been refreshing for too long, or the database is away.
        """
        while True:
            known = self._known.get(token_id)
            now = asyncio.get_running_loop().time()
            if known is not None and known.until > now and known.value != unlike:
                return known.value
            flight = self._flights.get(token_id) or self._take_off(token_id, fetch, unlike)
            value = await asyncio.shield(flight.task)
            # A flight that began before the token was called expired may bring that very token.
            if value != unlike or flight.unlike == unlike:
                return value

    def _take_off(self, token_id: str, fetch: Fetch, unlike: str | None) -> _Flight:
        task = asyncio.create_task(self._fly(token_id, fetch, unlike), name=f"token-{token_id}")
        flight = _Flight(unlike, task)
        self._flights[token_id] = flight

        def landed(done: asyncio.Task[str]) -> None:
            del self._flights[token_id]
            if not done.cancelled():
                done.exception()  # whoever waited has it; perhaps nobody waits any more

        task.add_done_callback(landed)
        return flight

    async def _fly(self, token_id: str, fetch: Fetch, unlike: str | None) -> str:
        try:
            return await self._stored_or_fetched(token_id, fetch, unlike)
        except AWAY as error:
            raise Unreachable(f"no token: {type(error).__name__}") from error

    async def _stored_or_fetched(self, token_id: str, fetch: Fetch, unlike: str | None) -> str:
        lease = f"token:{token_id}"
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while True:
            epoch = None
            value = await self._stored(token_id, unlike)
            if value is None:
                epoch = await leases.acquire(self._db, lease, self._holder)
            if epoch is not None:
                try:
                    value = await self._refresh(token_id, fetch, unlike, lease, epoch)
                finally:
                    await leases.release(self._db, lease, epoch)
            if value is not None:
                return value
            if loop.time() > deadline:
                raise Unreachable("another process has not refreshed the token in time")
            await asyncio.sleep(POLL_S)

    async def _stored(self, token_id: str, unlike: str | None) -> str | None:
        """The database's token, unless it is *unlike*; None also for one that does not open."""
        stored = await load_token(self._db, token_id)
        if stored is None:
            return None
        try:
            value = self._sealer.open(PURPOSE, stored.sealed, token_id).decode()
        except CannotOpen as error:
            _log.warning("token_not_opened", name=token_id, reason=error.detail)
            return None
        if value == unlike:
            return None
        self._remember(token_id, value, stored.good_for)
        return value

    async def _refresh(
        self, token_id: str, fetch: Fetch, unlike: str | None, lease: str, epoch: int
    ) -> str | None:
        """A fresh token, stored; None when the lease was lost meanwhile."""
        value = await self._stored(token_id, unlike)  # stored between our look and our lease
        if value is not None:
            return value
        try:
            async with asyncio.timeout(FETCH_S):
                token = await fetch()
        except TimeoutError as error:
            raise Unreachable(f"no token in {FETCH_S:g} s") from error
        good_for = _good_for(token)
        sealed = self._sealer.seal(PURPOSE, token.value.encode(), token_id)
        if not await save_token(self._db, token_id, sealed, good_for, lease, epoch):
            return None
        self._remember(token_id, token.value, good_for)
        _log.info("token_refreshed", name=token_id, good_for_s=round(good_for))
        return token.value

    def _remember(self, token_id: str, value: str, good_for: float) -> None:
        until = asyncio.get_running_loop().time() + min(good_for, CACHE_S)
        self._known[token_id] = _Known(value, until)


def _good_for(token: Token) -> float:
    """How many seconds *token* is used; where its platform says when it changes, until then."""
    if token.margin_s is None:
        return max(token.expires_in - MARGIN_S, token.expires_in / 2, 0.0)
    return max(token.expires_in - token.margin_s, LEAST_S)


class AccountTokens:
    """The tokens of one account; what a channel gets as ``tools.tokens``."""

    def __init__(self, tokens: Tokens, scope: str) -> None:
        self._tokens = tokens
        self._scope = scope

    async def get(self, name: str, fetch: Fetch, *, unlike: str | None = None) -> str:
        """As ``hub.channel.TokenStore`` says."""
        return await self._tokens.get(f"{self._scope}/{name}", fetch, unlike=unlike)
