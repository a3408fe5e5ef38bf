"""``/in/{kind}/{destination}/{secret}``: where connected helpdesks call.

A callback is written down and answered; the ticket is read and the agent's words are said later, by a
worker. Most helpdesks call once, wait for a few seconds, and never again: what is lost here is found by
the poller.
"""

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import structlog
from aiohttp import web

from hub.channel import IntakeRequest, NotAuthentic, NotRecognised, Response
from hub.conversations import change
from hub.core import Core
from hub.destination import Callback, Seen
from hub.store import AWAY, Transaction
from hub.store.heard import ask_again, enter
from hub.store.tickets import lock_ticket, note_assignee, note_state, own_refs
from hub.tickets import RunningDesk

__all__ = ["MAX_CALLBACK_BYTES", "answer_callback", "find_desk"]

MAX_CALLBACK_BYTES = 8 << 20
"""Some helpdesks send a ticket's whole history each time."""

_log = structlog.get_logger("hub.web.callbacks")


def find_desk(core: Core, path: str) -> RunningDesk | None:
    """The connector behind *path*; None alike for one that is unknown, off or wrongly asked for."""
    parts = path.split("/")
    if len(parts) != 5:
        return None
    running = core.desks.get(core, parts[3])
    wanted = running.secret.encode() if running is not None else b""
    given = unquote(parts[4]).encode("utf-8", "replace")
    same = hmac.compare_digest(given, wanted or bytes(32))
    if running is None or not wanted or not same or running.plan.target.kind != parts[2]:
        return None
    return running


async def answer_callback(
    core: Core,
    running: RunningDesk,
    request: web.BaseRequest,
    headers: Mapping[str, str],
    body: bytes,
) -> tuple[str, Response]:
    """The outcome and the answer; what the callback says is on disk by then."""
    path, _, query = request.raw_path.partition("?")
    asked = IntakeRequest(request.method, path, query, headers, body, core.clock(), request.remote)
    try:
        callback = await running.desk.accept(asked)
    except NotAuthentic:
        return "not_authentic", Response(403, b"forbidden")
    except NotRecognised:
        return "not_recognised", Response(400, b"bad request")
    except Exception as error:
        _log.error("callback_broken", destination=running.name, error=type(error).__name__)
        return "adapter_broken", Response(400, b"bad request")
    try:
        await _keep(core, running.name, callback)
    except AWAY:
        return "overloaded", Response(503, b"busy", {"Retry-After": "2"})
    except Exception as error:  # numbers that no row can hold, say
        _log.error("callback_broken", destination=running.name, error=type(error).__name__)
        return "adapter_broken", Response(400, b"bad request")
    return "taken", callback.response


async def _keep(core: Core, destination: str, callback: Callback) -> None:
    """Have tickets looked at, and keep what the callback says; another's ticket is not our business."""
    for seen in filter(None, (callback.seen, *callback.more)):
        if not await ask_again(core.db, destination, seen.ticket):
            continue
        if seen.items:
            own = await own_refs(core.db, destination, [one.ref for one in seen.items])
            states = [_state(callback, seen, index, own) for index in range(len(seen.items))]
            await enter(core.db, destination, seen.ticket, seen.items, states, core.clock())
        if callback.proven and callback.final:
            await _take_over(core, destination, seen)
        core.bells.ring("agents")


async def _take_over(core: Core, destination: str, seen: Seen) -> None:
    """The state and the assignee that a callback tells, where a look at the ticket would not."""

    async def work(tx: Transaction) -> frozenset[str]:
        found = await lock_ticket(tx, destination, seen.ticket)
        if found is None:
            return frozenset()
        conversation_id, ticket = found
        changes: dict[str, Any] = {}
        if seen.state is not None and seen.state != ticket.state:
            changes["state"] = seen.state
            await note_state(tx, destination, seen.ticket, seen.state)
        if seen.knows_assignee and seen.assignee != ticket.assignee:
            changes["assignee"] = seen.assignee
            await note_assignee(tx, destination, seen.ticket, seen.assignee)
        if not changes:
            return frozenset()
        return await change(tx, core.settings, conversation_id, changes, core.clock())

    if await core.db.transaction(work):
        core.bells.ring("deliver")


def _state(callback: Callback, seen: Seen, index: int, own: set[str]) -> str:
    item = seen.items[index]
    if item.kind != "reply" or item.ref in own:
        return "left" if callback.proven else "hint"
    return "waiting" if callback.proven else "hint"
