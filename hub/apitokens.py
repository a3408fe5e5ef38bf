"""Keys to the API: ``hub_live_<id>_<secret>``.

Only the sha256 of a token is stored. A token has scopes (``read``, ``reply``, ``admin``, which includes the
others) and a list of queues, ``*`` for all: what it may see and say.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, Literal, get_args
from uuid import UUID

from msgspec import Struct

from hub.core import now
from hub.errors import HubError
from hub.ids import new_id, read_id, show_id
from hub.rates import Bucket
from hub.store import Database
from hub.store.tokens import (
    TokenRow,
    find_token,
    insert_token,
    list_tokens,
    revoke_token,
    touch_token,
)

__all__ = [
    "ALL_QUEUES",
    "MAX_RATE",
    "SCOPES",
    "BadToken",
    "Caller",
    "Made",
    "NotLookedUp",
    "Scope",
    "TokenFacts",
    "Tokens",
    "create",
    "listing",
    "revoke",
]

Scope = Literal["read", "reply", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ALL_QUEUES: Final = "*"

MAX_RATE: Final = 100_000.0

_PREFIX = "hub_live_"
_CACHED_S = 5.0
_CACHED_TOKENS = 1000
_TOUCH_EVERY = timedelta(minutes=1)
_MISSES_RATE, _MISSES_BURST = 20.0, 100.0


class BadToken(HubError):
    """The token is missing, unknown, expired or revoked."""


class NotLookedUp(BadToken):
    """So many unknown tokens were tried that this one was not looked up; try again."""


class Caller(Struct, frozen=True):
    """Who calls: *queues* None means all of them; *requests_per_s* None: as often as the hub's others."""

    token_id: UUID
    name: str
    scopes: frozenset[str]
    queues: tuple[str, ...] | None
    requests_per_s: float | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the token has *scope*."""
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, queue: str | None) -> bool:
        """Whether the token is for *queue*; what belongs to no queue is for everyone."""
        return queue is None or self.queues is None or queue in self.queues


class TokenFacts(Struct, frozen=True, kw_only=True):
    """What may be shown of a token."""

    id: str
    name: str
    scopes: tuple[str, ...]
    queues: tuple[str, ...]
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    requests_per_s: float | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class Made(Struct, frozen=True):
    """A new token: *token* is seen this once."""

    token: str
    facts: TokenFacts


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _id_of(token: str) -> UUID | None:
    if not token.startswith(_PREFIX):
        return None
    return read_id("tok", "tok_" + token.removeprefix(_PREFIX).partition("_")[0])


def _facts(row: TokenRow) -> TokenFacts:
    state: Literal["active", "expired", "revoked"] = "active"
    if row.revoked_at is not None:
        state = "revoked"
    elif row.expired:
        state = "expired"
    return TokenFacts(
        id=show_id("tok", row.id),
        name=row.name,
        scopes=row.scopes,
        queues=row.queues,
        state=state,
        created_at=row.created_at,
        requests_per_s=row.requests_per_s,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


async def create(
    db: Database,
    name: str,
    *,
    scopes: Iterable[str] = ("read", "reply"),
    queues: Iterable[str] = (ALL_QUEUES,),
    requests_per_s: float | None = None,
    expires_at: datetime | None = None,
    at: datetime | None = None,
) -> Made:
    """Make a token; *requests_per_s* None: as often as the hub's others, 0: as often as it likes.

    Raises:
        ValueError: an unknown scope, no scope or no queue, a rate below nothing.
    """
    wanted, lines = sorted(set(scopes)), sorted(set(queues))
    if unknown := set(wanted) - set(SCOPES):
        raise ValueError(f"found scope {', '.join(sorted(unknown))}; known are {', '.join(SCOPES)}")
    if not wanted or not lines:
        raise ValueError("a token has at least one scope and one queue")
    if requests_per_s is not None and not 0 <= requests_per_s <= MAX_RATE:
        raise ValueError(f"a rate is at least 0 and at most {MAX_RATE:,.0f} requests a second")
    token_id = new_id()
    token = f"{_PREFIX}{show_id('tok', token_id).removeprefix('tok_')}_{secrets.token_urlsafe(32)}"
    await insert_token(
        db,
        token_id,
        name[:64],
        _digest(token),
        wanted,
        lines,
        at or now(),
        expires_at,
        requests_per_s,
    )
    row = await find_token(db, token_id)
    if row is None:
        raise LookupError("the token was removed while it was made")
    return Made(token, _facts(row))


async def listing(db: Database) -> list[TokenFacts]:
    """All tokens, the oldest first."""
    return [_facts(row) for row in await list_tokens(db)]


async def revoke(db: Database, token_id: UUID, at: datetime | None = None) -> bool:
    """End the token; False when there is no such one, or it was ended before.

    Other processes take it for good for at most 5 s more.
    """
    return await revoke_token(db, token_id, at or now())


class _Known(Struct):
    row: TokenRow
    until: float


class Tokens:
    """Knows callers by their tokens; what it found is good for 5 s."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._known: dict[UUID, _Known] = {}
        self._misses = Bucket(_MISSES_RATE, _MISSES_BURST, clock())

    async def caller(self, authorization: str | None) -> Caller:
        """Who sends that ``Authorization`` header.

        Raises:
            BadToken: nobody known; NotLookedUp: nobody can tell now.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token_id = _id_of(token.strip())
        if scheme.lower() != "bearer" or token_id is None:
            raise BadToken
        row = await self._find(token_id)
        same = hmac.compare_digest(_digest(token.strip()), row.hash if row else "0" * 64)
        if row is None or not same or row.expired or row.revoked_at is not None:
            raise BadToken
        queues = None if ALL_QUEUES in row.queues else row.queues
        return Caller(row.id, row.name, frozenset(row.scopes), queues, row.requests_per_s)

    async def _find(self, token_id: UUID) -> TokenRow | None:
        known = self._known.get(token_id)
        if known is not None and self._clock() < known.until:
            return known.row
        if known is None and self._misses.take(self._clock()) > 0:
            raise NotLookedUp  # somebody guesses; the database is spared
        row = await find_token(self._db, token_id)
        if row is None:
            self._known.pop(token_id, None)
            return None
        await self._touch(row)
        if len(self._known) >= _CACHED_TOKENS:
            self._known.pop(next(iter(self._known)))
        self._known[token_id] = _Known(row, self._clock() + _CACHED_S)
        return row

    async def _touch(self, row: TokenRow) -> None:
        at = now()
        if row.last_used_at is None or at - row.last_used_at >= _TOUCH_EVERY:
            await touch_token(self._db, row.id, at)
