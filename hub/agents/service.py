"""Looks at tickets that are due, those with a callback first; any number of processes may run one."""

import asyncio
import time
from collections import Counter, defaultdict

import structlog

from hub.agents.reading import NotYet, Reading, Say
from hub.core import Core
from hub.errors import Rejected, SendError
from hub.store import AWAY
from hub.store import heard as rows
from hub.store.heard import Claimed
from hub.tickets import RunningDesk
from hub.tickets.keeping import keeping

__all__ = ["AgentService", "pause_s"]

POLL_S = 1.0
ROOM = 4
"""So many tickets of one helpdesk are looked at at a time."""

PAUSES_S = (2.0, 5.0, 15.0, 30.0, 60.0)
"""After failures in a row a ticket is left alone for so long."""

TICKETS = 3
"""So many tickets that fail, and none that does not, and the helpdesk itself is left alone."""

SOON_S = 5.0
"""To the next look at a ticket of which a callback knew more than could be read, or said yet."""

FILE_PAUSE_S = 15.0

KEEP_S = 20.0
"""A ticket is kept so often while it is read; files may take minutes."""

LONGEST_S = 3600.0
ASLEEP_S = 30 * 24 * 3600.0

_log = structlog.get_logger("hub.agents")


def pause_s(idle_s: float, poll_s: float) -> float:
    """How long a ticket need not be looked at: the longer nothing has happened in it, the longer.

    One that slept for a month is looked at once a day; a callback wakes it at once.
    """
    if idle_s > ASLEEP_S:
        return 24 * LONGEST_S
    return max(poll_s, min(idle_s / 20, LONGEST_S))


class AgentService:
    """Reads tickets and has agents' replies said; *say* is :func:`hub.replies.accept`."""

    def __init__(self, core: Core, say: Say) -> None:
        self._core = core
        self._say = say
        self._busy: Counter[str] = Counter()
        self._failures: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._quiet_until: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look until cancelled; what is under way is given back then."""
        try:
            while True:
                try:
                    await self.once()
                except AWAY as error:
                    _log.warning("database_away", error=type(error).__name__)
                await self._core.bells.wait("agents", POLL_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def once(self) -> int:
        """Start to look at what is due; how many tickets.

        Of a helpdesk that is left alone, only what signed callbacks brought is handled.
        """
        desks = {one.name: one for one in self._core.desks.all(self._core)}
        now = time.monotonic()
        room = {name: ROOM - self._busy[name] for name in desks if self._busy[name] < ROOM}
        alone = {name: room.pop(name) for name in [*room] if self._quiet_until.get(name, 0.0) > now}
        due = await rows.claim_due(self._core.db, self._core.name, room)
        waiting = await rows.claim_waiting(self._core.db, self._core.name, alone)
        for one in (*due, *waiting):
            self._start(desks[one.destination], one, looks=one.destination in room)
        return len(due) + len(waiting)

    async def settled(self) -> None:
        """Returns when nothing is under way; for tests."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, desk: RunningDesk, claimed: Claimed, *, looks: bool) -> None:
        self._busy[desk.name] += 1
        task = asyncio.create_task(self._look(desk, claimed, looks), name=f"ticket-{claimed.id}")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._busy[desk.name] -= 1
            if not task.cancelled() and task.exception() is not None:
                _log.error("ticket_failed", ticket=claimed.id, error=repr(task.exception()))
            self._core.bells.ring_here("agents")

        task.add_done_callback(ended)

    async def _look(self, desk: RunningDesk, claimed: Claimed, looks: bool) -> None:
        pause = pause_s(claimed.idle_s, desk.poll_s) if looks else PAUSES_S[0]
        error = None
        reading = Reading(self._core, desk, claimed, self._say)
        try:
            async with keeping(lambda: rows.fence(self._core.db, claimed), KEEP_S):
                await (reading.read() if looks else reading.say_what_waits())
            if looks:
                self._failures[desk.name].clear()
        except NotYet as failure:  # of this ticket only
            error, pause = failure.detail, FILE_PAUSE_S
        except Rejected as failure:  # of this ticket only: it was deleted there, say
            error, pause = failure.detail or failure.sentence, LONGEST_S
            _log.warning("ticket_refused", destination=desk.name, ticket=claimed.ticket.ref)
        except SendError as failure:
            error = failure.detail or failure.sentence
            pause = self._failed(desk.name, claimed.id, error)
        except AWAY:
            pause = PAUSES_S[0]
        except asyncio.CancelledError:
            pause = 0.0
            raise
        except Exception as failure:
            _log.exception("ticket_not_read", destination=desk.name, ticket=claimed.ticket.ref)
            error, pause = repr(failure), PAUSES_S[-1]
        finally:
            if reading.is_early:
                pause = min(pause, SOON_S)
            await asyncio.shield(self._give_back(claimed, pause, error))

    def _failed(self, name: str, ticket: int, error: str) -> float:
        """The pause of that ticket; one that cannot be read says nothing of the others."""
        failures = self._failures[name]
        failures[ticket] += 1
        pause = PAUSES_S[min(failures[ticket], len(PAUSES_S)) - 1]
        if len(failures) >= TICKETS:
            pause = PAUSES_S[min(failures.total() // TICKETS, len(PAUSES_S)) - 1]
            self._quiet_until[name] = time.monotonic() + pause
        _log.warning("helpdesk_not_read", destination=name, error=error, pause_s=pause)
        return pause

    async def _give_back(self, claimed: Claimed, pause: float, error: str | None) -> None:
        try:
            await rows.release(self._core.db, claimed, pause, error)
        except AWAY as away:  # its lease ends by itself
            _log.warning("database_away", error=type(away).__name__)
