"""Step 3, route: which queue a conversation goes to.

Rules are data: the first whose every field fits wins. Regular expressions run on RE2, so a pattern
cannot stall the hub. A queue that is closed, or has too much open, hands on to its overflow queue.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import re2

from hub.hours import Hours
from hub.settings import QueueSettings, Route, Settings
from hub.store import Database
from hub.store.queues import open_conversations

__all__ = ["Choice", "Explained", "Loads", "Router", "router_of"]

TEXT_LIMIT = 10_000
LOOK_S = 5.0


class _Facts(Protocol):
    @property
    def channel(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def sender(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def knows_contact(self) -> bool: ...
    @property
    def at(self) -> datetime | None: ...


class Choice(NamedTuple):
    """Where a conversation goes; a sticky choice leaves one in the queue that it has."""

    queue: str
    sticky: bool


class Explained(NamedTuple):
    """What a rule said: *number* counts from 1; 0 is the default queue, -1 a queue that hands on."""

    number: int
    queue: str
    fits: bool
    reason: str


class _Rule:
    """A route, made ready."""

    def __init__(self, route: Route, time_zone: str) -> None:
        self.route = route
        self._patterns = {
            name: re2.compile(pattern)
            for name in ("text", "subject", "sender")
            if (pattern := getattr(route, name))
        }
        self._hours = Hours(route.hours, route.time_zone or time_zone) if route.hours else None

    def misfit(self, facts: _Facts) -> str | None:
        """Why the rule does not take a message with those facts; None: it does."""
        route = self.route
        for name in ("channel", "account", "kind"):
            wanted = getattr(route, name)
            if wanted is not None and wanted != getattr(facts, name):
                return f"{name} is {getattr(facts, name)!r}, not {wanted!r}"
        for name, pattern in self._patterns.items():
            if not pattern.search((getattr(facts, name) or "")[:TEXT_LIMIT]):
                return f"the {name} does not match {getattr(route, name)!r}"
        if route.tag is not None and route.tag not in facts.tags:
            return f"it has no tag {route.tag!r}"
        if route.contact is not None and (route.contact == "known") != facts.knows_contact:
            return f"the contact is {'known' if facts.knows_contact else 'new'}"
        if self._hours is not None and (facts.at is None or not self._hours.is_open(facts.at)):
            return f"it is not {', '.join(route.hours)}"
        return None


class _Queue:
    """A queue, made ready."""

    def __init__(self, settings: QueueSettings, time_zone: str) -> None:
        self.settings = settings
        self._hours = Hours(
            settings.hours,
            settings.time_zone or time_zone,
            settings.holidays,
            settings.workdays,
        )

    def refusal(self, at: datetime | None, load: int) -> str | None:
        """Why it takes nothing now; None: it does."""
        if at is not None and not self._hours.is_open(at):
            return "it is closed"
        most = self.settings.max_open
        if most is not None and load >= most:
            return f"{load} conversations are open in it, at most {most} should be"
        return None


def _no_load(_queue: str) -> int:
    return 0


class Router:
    """The rules in force; *load* tells how many conversations are open in a queue."""

    def __init__(
        self,
        routes: Sequence[Route],
        default_queue: str,
        queues: Mapping[str, QueueSettings] | None = None,
        time_zone: str = "UTC",
        load: Callable[[str], int] = _no_load,
    ) -> None:
        self._rules = [_Rule(route, time_zone) for route in routes]
        self._default = default_queue
        self._queues = {
            name: _Queue(one, time_zone) for name, one in (queues or {}).items() if one.overflow
        }
        self._load = load

    def choose(self, facts: _Facts) -> Choice:
        """The queue for a message with those facts."""
        for rule in self._rules:
            if rule.misfit(facts) is None:
                return Choice(self._hand_on(rule.route.queue, facts)[-1][0], rule.route.sticky)
        return Choice(self._hand_on(self._default, facts)[-1][0], True)

    def _hand_on(self, queue: str, facts: _Facts) -> list[tuple[str, str | None]]:
        """The queues that are asked, each with why it hands on; the last takes it, willing or not."""
        asked: list[tuple[str, str | None]] = []
        while True:
            found = self._queues.get(queue)
            refusal = found.refusal(facts.at, self._load(queue)) if found else None
            following = found.settings.overflow if found and refusal else None
            if following is None or following in [name for name, _ in asked]:
                return [*asked, (queue, None)]
            asked.append((queue, refusal))
            queue = following

    def explain(self, facts: _Facts) -> list[Explained]:
        """What each rule says, up to the one that wins, and which queues hand on from there."""
        told = []
        for number, rule in enumerate(self._rules, 1):
            misfit = rule.misfit(facts)
            told.append(Explained(number, rule.route.queue, misfit is None, misfit or "takes it"))
            if misfit is None:
                return told + self._explain_queues(rule.route.queue, facts)
        default = Explained(0, self._default, True, "no rule takes it: the default queue")
        return [*told, default, *self._explain_queues(self._default, facts)]

    def _explain_queues(self, queue: str, facts: _Facts) -> list[Explained]:
        asked = self._hand_on(queue, facts)
        return [
            Explained(-1, after, True, f"{name} hands on: {reason}")
            for (name, reason), (after, _) in pairwise(asked)
        ]


class Loads:
    """How many conversations are open in the queues that hand on when there are too many."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: Mapping[str, int] = {}

    def __call__(self, queue: str) -> int:
        """As it was a few seconds ago."""
        return self._counts.get(queue, 0)

    async def look(self, settings: Settings) -> None:
        """Count now; asks for nothing where no queue wants it."""
        names = [name for name, one in settings.queues.items() if one.max_open is not None]
        self._counts = await open_conversations(self._db, names) if names else {}

    async def run(self, settings: Callable[[], Settings]) -> None:
        """Count until cancelled."""
        while True:
            await self.look(settings())
            await asyncio.sleep(LOOK_S)


_made: dict[int, tuple[Settings, Any, Router]] = {}


def router_of(settings: Settings, load: Callable[[str], int] = _no_load) -> Router:
    """The router of those settings; made once for the same ones."""
    found = _made.get(id(settings))
    if found is not None and found[0] is settings and found[1] is load:
        return found[2]
    made = Router(
        settings.routes, settings.hub.default_queue, settings.queues, settings.hub.time_zone, load
    )
    if len(_made) > 8:
        _made.clear()
    _made[id(settings)] = (settings, load, made)
    return made
