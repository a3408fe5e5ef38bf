"""Queues: what waits in each, pause and resume."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from hub.store import queues as rows
from hub.web.problems import not_found
from hub.web.routes import Call, Nothing, RouteTable

table = RouteTable()
TAG = "Queues"


class Queue(Struct, frozen=True, kw_only=True):
    """A queue; *waiting* counts events of it that are not delivered, *open* its open conversations,
    *messages_per_minute* what customers wrote in the last one."""

    name: str
    title: str | None
    priority: str
    paused_at: datetime | None
    waiting: int
    oldest_at: datetime | None
    open: int
    messages_per_minute: int


class QueueList(Struct, frozen=True):
    """The queues that the token may see."""

    items: tuple[Queue, ...]


@table.add("GET", "/v1/queues", tag=TAG, scope="read", answer=QueueList)
async def list_queues(call: Call[Nothing, Nothing]) -> QueueList:
    """List the queues."""
    core = call.core
    counts = await rows.queue_counts(core.db, core.clock())
    paused = await rows.paused(core.db)
    seen = [name for name in sorted(core.settings.queues) if _may_see(call, name)]
    return QueueList(tuple(_shown(call, name, counts, paused) for name in seen))


def _may_see(call: Call[Nothing, Nothing], name: str) -> bool:
    return call.queues is None or name in call.queues


def _shown(
    call: Call[Nothing, Nothing],
    name: str,
    counts: Mapping[str, rows.QueueCounts],
    paused: Mapping[str, datetime],
) -> Queue:
    settings = call.core.settings.queues[name]
    found = counts.get(name, rows.QueueCounts())
    return Queue(
        name=name,
        title=settings.title,
        priority=settings.priority,
        paused_at=paused.get(name),
        waiting=found.waiting,
        oldest_at=found.oldest,
        open=found.open,
        messages_per_minute=found.messages,
    )


async def _set(call: Call[Nothing, Nothing], *, on: bool) -> Queue:
    core, name = call.core, call.path["name"]
    if name not in core.settings.queues or not _may_see(call, name):
        raise not_found()
    await rows.pause(core.db, name, on, core.clock())
    core.bells.ring("deliver")
    counts = await rows.queue_counts(core.db, core.clock())
    return _shown(call, name, counts, await rows.paused(core.db))


@table.add(
    "POST",
    "/v1/queues/{name}/pause",
    tag=TAG,
    scope="admin",
    body=Nothing,
    answer=Queue,
    problems=(404,),
)
async def pause_queue(call: Call[Nothing, Nothing]) -> Queue:
    """Pause a queue.

    Nothing of it is delivered until it is resumed; messages are taken in, keep their order and wait, for
    as long as `horizon_hours` allows.
    """
    return await _set(call, on=True)


@table.add(
    "POST",
    "/v1/queues/{name}/resume",
    tag=TAG,
    scope="admin",
    body=Nothing,
    answer=Queue,
    problems=(404,),
)
async def resume_queue(call: Call[Nothing, Nothing]) -> Queue:
    """Let a paused queue go on."""
    return await _set(call, on=False)
