"""Step 3, route: which queue a conversation goes to.

Rules are data: the first whose every field fits wins. Regular expressions run on RE2, so a pattern
cannot stall the hub.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import re2

from hub.settings import Route, Settings

__all__ = ["Choice", "Explained", "Router", "router_of"]

TEXT_LIMIT = 10_000


class _Facts(Protocol):
    @property
    def channel(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...


class Choice(NamedTuple):
    """Where a conversation goes; a sticky choice leaves one in the queue that it has."""

    queue: str
    sticky: bool


class Explained(NamedTuple):
    """What a rule said: *number* counts from 1; 0 is the default queue."""

    number: int
    queue: str
    fits: bool
    reason: str


class _Rule(NamedTuple):
    route: Route
    pattern: Any | None

    def misfit(self, facts: _Facts) -> str | None:
        """Why the rule does not take a message with those facts; None: it does."""
        for name in ("channel", "account", "kind"):
            wanted = getattr(self.route, name)
            if wanted is not None and wanted != getattr(facts, name):
                return f"{name} is {getattr(facts, name)!r}, not {wanted!r}"
        if self.pattern is not None and not self.pattern.search(facts.text[:TEXT_LIMIT]):
            return f"the text does not match {self.route.text!r}"
        return None


class Router:
    """The rules in force."""

    def __init__(self, routes: Sequence[Route], default_queue: str) -> None:
        self._rules = [_Rule(r, re2.compile(r.text) if r.text else None) for r in routes]
        self._default = default_queue

    def choose(self, facts: _Facts) -> Choice:
        """The queue for a message with those facts."""
        for rule in self._rules:
            if rule.misfit(facts) is None:
                return Choice(rule.route.queue, rule.route.sticky)
        return Choice(self._default, True)

    def explain(self, facts: _Facts) -> list[Explained]:
        """What each rule says, up to the one that wins."""
        told = []
        for number, rule in enumerate(self._rules, 1):
            misfit = rule.misfit(facts)
            told.append(Explained(number, rule.route.queue, misfit is None, misfit or "takes it"))
            if misfit is None:
                return told
        return [*told, Explained(0, self._default, True, "no rule takes it: the default queue")]


@lru_cache(maxsize=4)
def _router(routes: tuple[Route, ...], default_queue: str) -> Router:
    return Router(routes, default_queue)


def router_of(settings: Settings) -> Router:
    """The router of those settings."""
    return _router(tuple(settings.routes), settings.hub.default_queue)
