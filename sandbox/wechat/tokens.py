"""Access tokens: the classic call and the stable one, with their odd rules.

Source: https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken
"""

import secrets
from dataclasses import dataclass

from sandbox.journal import Clock
from sandbox.wechat.errors import PlatformError

LIFETIME_SECONDS = 7200
OVERLAP_SECONDS = 300
"""After a renewal the old token still works for this long."""

FORCED_PER_DAY = 20
FORCED_APART_SECONDS = 30
DAY_SECONDS = 86_400


@dataclass(slots=True)
class _Token:
    value: str
    good_until: float
    revoked: bool = False


class TokenOffice:
    """Gives out access tokens and says whether one is good."""

    def __init__(self, clock: Clock, lifetime: float = LIFETIME_SECONDS) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._known: dict[str, _Token] = {}
        self._classic: _Token | None = None
        self._stable: _Token | None = None
        self._forced_at: list[float] = []

    def classic(self) -> tuple[str, int]:
        """``/cgi-bin/token``: every call makes a new token; the old one soon ends."""
        self._retire(self._classic)
        self._classic = self._make()
        return self._as_answer(self._classic)

    def stable(self, *, force_refresh: bool = False) -> tuple[str, int]:
        """``/cgi-bin/stable_token``: the same token for all while it is good.

        Raises:
            PlatformError: 45011 or 45009, too many forced refreshes.
        """
        if force_refresh:
            self._count_forced()
            self._end(self._stable)
            self._stable = None
        elif self._stable is not None and self._remaining(self._stable) <= OVERLAP_SECONDS:
            self._stable = None  # the old one stays good until its own end
        if self._stable is None:
            self._stable = self._make()
        return self._as_answer(self._stable)

    def check(self, value: str | None) -> None:
        """
        Raises:
            PlatformError: 41001 none given, 40001 unknown or revoked, 42001 expired.
        """
        if not value:
            raise PlatformError(41001)
        token = self._known.get(value)
        if token is None or token.revoked:
            raise PlatformError(40001)
        if token.good_until <= self._clock():
            raise PlatformError(42001)

    def expire_all(self) -> None:
        """All tokens are over now (42001), as after two hours."""
        for token in self._known.values():
            token.good_until = min(token.good_until, self._clock())

    def revoke_all(self) -> None:
        """All tokens are worthless now (40001), as after a change of the app secret."""
        for token in self._known.values():
            token.revoked = True
        self._stable = self._classic = None

    def _make(self) -> _Token:
        token = _Token(
            f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(96)}",
            self._clock() + self._lifetime,
        )
        self._known[token.value] = token
        return token

    def _retire(self, token: _Token | None) -> None:
        if token is not None:
            token.good_until = min(token.good_until, self._clock() + OVERLAP_SECONDS)

    def _end(self, token: _Token | None) -> None:
        if token is not None:
            token.revoked = True

    def _remaining(self, token: _Token) -> float:
        return token.good_until - self._clock()

    def _as_answer(self, token: _Token) -> tuple[str, int]:
        return token.value, int(self._remaining(token))

    def _count_forced(self) -> None:
        now = self._clock()
        self._forced_at = [at for at in self._forced_at if at > now - DAY_SECONDS]
        if self._forced_at and now - self._forced_at[-1] < FORCED_APART_SECONDS:
            raise PlatformError(45011)
        if len(self._forced_at) >= FORCED_PER_DAY:
            raise PlatformError(45009)
        self._forced_at.append(now)
