"""Replies inside the HTTP answer to a callback, for platforms that take them there."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from hub.channel import AwaitReply, Response
from hub.core import Core
from hub.errors import SendError, Unreachable, WindowClosed
from hub.failpoints import failpoint
from hub.model import Draft, Receipt
from hub.replies.composing import read_draft
from hub.replies.pace import Pace
from hub.replies.records import Changed, Fenced, Holder
from hub.replies.saying import LaneRun, Ready
from hub.replies.tries import Try, age_s, results_of
from hub.store import AWAY, replies
from hub.store.inbox import short_key

__all__ = ["await_reply"]

LOOK_S, LONGEST_LOOK_S = 0.05, 0.25
REPEATED_S = 30.0
"""For how long a platform may repeat an event that it got no answer to: WeChat, thrice in 15 s."""

MOST = 20
"""How many replies are looked at for one answer."""

NEXT_TIME = "the rest goes out in the answer to the customer's next message"
_log = structlog.get_logger("hub.replies")


async def await_reply(core: Core, account: str, awaited: AwaitReply) -> Response | None:
    """The answer that carries what is queued in time in the conversation of the event; or None.

    The conversation's lane is held while this waits, so that no worker sends the reply first, and the
    reply is written down as sent before it is returned: whoever looks at the lane later does not send
    it again. Never raises for what the database does: the answer can wait no longer than *within*.
    """
    deadline = time.monotonic() + awaited.within.total_seconds()
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + _left(deadline)):
            conversation_id = await _conversation(core, account, awaited.dedupe_key)
            if conversation_id is None:
                return None
            holder = await _hold(core, account, conversation_id, deadline)
    except TimeoutError:
        return None
    except AWAY as error:
        _log.warning("database_away", error=type(error).__name__)
        return None
    try:
        return await _Answer(holder, awaited).make(deadline)
    except Fenced:
        return None
    except AWAY as error:
        _log.warning("database_away", error=type(error).__name__)
        return None
    except Exception:
        _log.exception("answer_not_made", account=account)
        return None
    finally:
        await asyncio.shield(_release(holder))


async def _pauses() -> AsyncIterator[None]:
    """Between looks at the database: short at first, since replies of robots come at once."""
    pause = LOOK_S
    while True:
        yield
        await asyncio.sleep(pause)
        pause = min(pause * 1.2, LONGEST_LOOK_S)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


async def _conversation(core: Core, account: str, dedupe_key: str) -> UUID | None:
    """Where the event was filed, as soon as it is; None for one that came long ago.

    Platforms repeat an event for seconds. Later only somebody who has recorded it does, who would get
    what is meant for the customer.
    """
    async for _ in _pauses():
        found = await replies.conversation_of_event(core.db, account, short_key(dedupe_key))
        if found is not None:
            conversation_id, came = found
            return conversation_id if age_s(came, core.clock()) < REPEATED_S else None
    raise AssertionError  # it looks for ever; whoever waits ends it


async def _hold(core: Core, account: str, conversation_id: UUID, deadline: float) -> Holder:
    """The conversation's lane, as soon as nobody else has it."""
    pace = Pace(lease_s=_left(deadline) + 5.0, send_s=_left(deadline))
    name = f"{core.name}:answer"
    while True:
        asked = time.monotonic()
        lane = await replies.claim_one(core.db, name, pace.lease_s, account, conversation_id)
        if lane is not None:
            return Holder(core, lane, pace, asked)
        await asyncio.sleep(LOOK_S)


async def _release(holder: Holder) -> None:
    try:
        await replies.release(holder.core.db, holder.lane, drained=False, pause_s=0.0)
    except AWAY as error:  # the lease runs out by itself
        _log.warning("database_away", error=type(error).__name__)
    holder.core.bells.ring("reply")
    if holder.destinations:
        holder.core.bells.ring("deliver")


class _Part(NamedTuple):
    """A draft that goes into the answer, and the reply that it is of."""

    message: Any
    row: Any
    draft: Draft


class _Answer:
    """One answer in the making, while the conversation's lane is ours."""

    def __init__(self, holder: Holder, awaited: AwaitReply) -> None:
        self._holder = holder
        self._core = holder.core
        self._awaited = awaited
        self._key = short_key(awaited.dedupe_key)
        self._parts: list[_Part] = []
        self._rest: dict[UUID, Any] = {}  # replies that are partly in the answer
        self._results: dict[str, Any] = {}
        self._only_in_answer = False

    async def make(self, deadline: float) -> Response | None:
        """The answer, or None when nothing that it can carry is there in time."""
        place = self._holder.lane.conversation_id
        if said := await replies.said_in_answer(self._core.db, place, self._key):
            return self._again(said)
        async for _ in _pauses():
            if _left(deadline) <= 0:
                break
            waiting = await replies.waiting_messages(
                self._core.db, [place], self._core.clock(), MOST
            )
            if waiting:
                await self._gather(waiting)
                in_time = self._parts and _left(deadline) > 0
                return await self._say() if in_time else None
        return None

    def _again(self, said: Sequence[Any]) -> Response:
        """What was said when this event came the first time: the platform never got it."""
        drafts = [read_draft(row) for row in said]
        return self._awaited.render(drafts, results_of(said))

    async def _gather(self, waiting: Sequence[Any]) -> None:
        """As many replies as the answer can carry, in their order."""
        run = LaneRun(self._holder)
        for message in waiting:
            ready = await run.ready(message)
            if ready is None or not self._add(ready):
                return

    def _add(self, ready: Ready) -> bool:
        """Take what fits of one reply; False when the answer is full."""
        before = list(self._parts)
        results = {**self._results, **ready.results}
        for row, draft in ready.says:
            parts = [*self._parts, _Part(ready.message, row, draft)]
            if not self._fits(parts, results):
                if not ready.only_in_answer:
                    self._parts = before  # the lane says it in one piece
                elif len(self._parts) > len(before):
                    self._rest[ready.message["id"]] = ready.message
                return False
            self._parts, self._results = parts, results
        self._only_in_answer |= ready.only_in_answer
        return bool(ready.says)

    def _fits(self, parts: Sequence[_Part], results: Mapping[str, Any]) -> bool:
        try:
            self._awaited.render([part.draft for part in parts], results)
        except SendError:
            return False
        return True

    async def _say(self) -> Response | None:
        """Commit the intent, render, and write down that it is said; the caller sends the answer next."""
        tried: list[Try] = []
        try:
            for message, row, draft in self._parts:
                tried.append(await self._holder.begin(message, row, draft, windowed=False))
            failpoint("reply.passive")
            response = self._awaited.render([part.draft for part in self._parts], self._results)
        except Changed:
            await self._give_back(tried)
            return None
        await self._write_down(tried)
        return response

    async def _give_back(self, tried: Sequence[Try]) -> None:
        for one in tried:
            await self._holder.again(
                one, Unreachable("not said in the answer"), refund=False, counts=False
            )

    async def _write_down(self, tried: Sequence[Try]) -> None:
        results = {**self._results, "answer_to": self._key}
        for one in tried:
            await self._holder.took(one.message, one.row, Receipt(status="sent", results=results))
        if self._only_in_answer:
            await self._holder.answered()
        for message in self._rest.values():
            with contextlib.suppress(Changed):
                await self._holder.hold(message, WindowClosed(NEXT_TIME))
