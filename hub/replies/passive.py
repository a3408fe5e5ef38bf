"""Replies inside the HTTP answer to a callback, for platforms that take them there."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog

from hub.channel import AwaitReply, Response
from hub.core import Core
from hub.errors import Unreachable
from hub.failpoints import failpoint
from hub.model import Draft, Receipt
from hub.replies.composing import read_draft
from hub.replies.pace import Pace
from hub.replies.records import Changed, Fenced, Holder, Try
from hub.store import AWAY, outbox, replies
from hub.store.inbox import short_key
from hub.store.replies import ReplyLane

__all__ = ["await_reply"]

LOOK_S = 0.05
_log = structlog.get_logger("hub.replies")


async def await_reply(core: Core, account: str, awaited: AwaitReply) -> Response | None:
    """The answer that carries the first reply queued in time in the conversation of the event; or None.

    The conversation's lane is held while this waits, so that no worker sends the reply first, and the
    reply is written down as sent before it is returned: whoever looks at the lane later does not send
    it again. Never raises for what the database does: the answer can wait no longer than *within*.
    """
    deadline = time.monotonic() + awaited.within.total_seconds()
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + _left(deadline)):
            conversation_id = await _conversation(core, account, awaited.dedupe_key)
            holder = await _hold(core, account, conversation_id, deadline)
    except TimeoutError:
        return None
    except AWAY as error:
        _log.warning("database_away", error=type(error).__name__)
        return None
    try:
        return await _first_reply(holder, awaited, deadline)
    except Fenced:
        return None
    except AWAY as error:
        _log.warning("database_away", error=type(error).__name__)
        return None
    finally:
        await asyncio.shield(_release(holder))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


async def _conversation(core: Core, account: str, dedupe_key: str) -> UUID:
    """Where the event was filed, as soon as it is."""
    while True:
        found = await replies.conversation_of_event(core.db, account, short_key(dedupe_key))
        if found is not None:
            return found
        await asyncio.sleep(LOOK_S)


async def _hold(core: Core, account: str, conversation_id: UUID, deadline: float) -> Holder:
    """The conversation's lane, as soon as nobody else has it."""
    pace = Pace(lease_s=_left(deadline) + 5.0)
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


async def _first_reply(holder: Holder, awaited: AwaitReply, deadline: float) -> Response | None:
    while _left(deadline) > 0:
        message = await _waiting(holder.core, holder.lane)
        if message is not None:
            drafts = await outbox.drafts_of(holder.core.db, [message["id"]])
            if not _fits(message, drafts):
                return None  # the lane says it the usual way
            return await _answer(holder, awaited, message, drafts)
        await asyncio.sleep(LOOK_S)
    return None


async def _waiting(core: Core, lane: ReplyLane) -> Any:
    """The first reply that the lane would say now."""
    rows = await replies.waiting_messages(core.db, [lane.conversation_id], core.clock(), 1)
    return rows[0] if rows else None


def _fits(message: Any, drafts: Sequence[Any]) -> bool:
    """Whether the whole reply is still here and needs no other call."""
    return (
        bool(drafts)
        and message["status"] == "queued"
        and all(row["role"] == "say" and row["state"] == "queued" for row in drafts)
    )


async def _answer(
    holder: Holder, awaited: AwaitReply, message: Any, rows: Sequence[Any]
) -> Response | None:
    """Commit the intent, render, and write down that it is said; the caller sends the answer next."""
    drafts: list[Draft] = [read_draft(row) for row in rows]
    tried: list[Try] = []
    try:
        for row, draft in zip(rows, drafts, strict=True):
            tried.append(await holder.begin(message, row, draft, windowed=False))
        failpoint("reply.passive")
        response = awaited.render(drafts)
    except Changed:
        response = None
    except Exception:
        _log.exception("answer_not_rendered", account=holder.lane.account)
        response = None
    if response is None:
        for one in tried:
            await holder.again(
                one, Unreachable("not said in the answer"), refund=False, counts=False
            )
        return None
    for one in tried:
        await holder.took(message, one.row, Receipt(status="sent"))
    return response
