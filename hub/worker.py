"""The worker: files, delivers, replies, listens, and the jobs that arq runs.

The only place that knows arq's side of things; each job is thin: load by id, call a service.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from uuid import UUID

import structlog

from hub import housekeeping, identity, media
from hub.agents import AgentReply, AgentService
from hub.children import Parsers
from hub.core import Core
from hub.delivery import Deliverer
from hub.errors import Rejected
from hub.ingest import Ingester
from hub.jobs import Cron, Job, Jobs
from hub.listening import Listening
from hub.replies import (
    Accepted,
    AttachmentRequest,
    Author,
    InvalidReply,
    ReplyRequest,
    ReplyService,
    accept,
)
from hub.routing import Loads, router_of
from hub.store import Transaction
from hub.supervise import keep_running

__all__ = ["SERVICES", "ask_for_files", "run"]

SERVICES = ("ingest", "deliver", "reply", "listen", "agents", "jobs")
"""What a worker may do; a process does all of it unless told otherwise."""

FIFTHS = set(range(0, 60, 5))
STOP_S = 12.0
RETIRE_S = 2 * 3600
FILES_HERE = 8
"""So many files are fetched at once without Redis; arq runs as many jobs."""
LONG_QUEUE = 100

_log = structlog.get_logger("hub.worker")

Serve = Callable[[], Awaitable[None]]


async def run(core: Core, wanted: tuple[str, ...], stop: Awaitable[None]) -> None:
    """Run the *wanted* services until *stop* returns, then let what is under way end."""
    async with AsyncExitStack() as stack:
        services = _services(core, stack)
        tasks = [
            asyncio.create_task(keep_running(name, serve), name=name)
            for name, serve in services.items()
            if name.split("-")[0] in wanted
        ]
        try:
            await stop
        finally:
            for task in tasks:
                task.cancel()
            late = (await asyncio.wait(tasks, timeout=STOP_S))[1] if tasks else ()
            for task in late:
                _log.warning("service_slow_to_stop", service=task.get_name())


def _services(core: Core, stack: AsyncExitStack) -> dict[str, Serve]:
    parsers = Parsers()
    stack.push_async_callback(parsers.close)
    loads = Loads(core.db)
    deliverer = Deliverer(core)
    ingester = Ingester(
        core,
        lambda settings: router_of(settings, loads).choose,
        parsers,
        core.media.keep,
        deliverer.offer,
    )
    replies = ReplyService(core)
    services: dict[str, Serve] = {
        "ingest": ingester.run,
        "ingest-loads": lambda: loads.run(lambda: core.settings),
        "ingest-identity": lambda: identity.run(core),
        "deliver": deliverer.run,
        "reply": replies.run,
        "listen": Listening(core).run,
        "agents": AgentService(core, say).run,
    }
    redis_url = core.settings.hub.redis_url
    if redis_url is not None:
        jobs = Jobs(redis_url.reveal())
        stack.push_async_callback(jobs.close)
        services["jobs"] = lambda: jobs.run(_jobs(core), _crons(core, jobs, deliverer))
        services["jobs-media"] = lambda: _fetch_when_rung(core, jobs)
    else:
        _log.warning("no_redis", detail="files are not fetched and nothing is retired without it")
    return services


async def say(core: Core, tx: Transaction, conversation_id: UUID, reply: AgentReply) -> Accepted:
    """Accept what an agent of a connected helpdesk wrote.

    Raises:
        SendError: the channel cannot say it; Rejected when nothing could.
    """
    request = ReplyRequest(
        text=reply.text,
        html=reply.html,
        attachments=tuple(AttachmentRequest(id=one) for one in reply.files),
    )
    author = Author(reply.author, reply.token_id)
    try:
        return await accept(core, tx, {"id": conversation_id}, request, author=author)
    except InvalidReply as error:
        raise Rejected(error.detail) from error


async def _fetch_when_rung(core: Core, jobs: Jobs) -> None:
    """Ask for the files of new messages as soon as they are filed; platforms keep them briefly."""
    while True:
        await core.bells.wait("media", 30.0)
        await ask_for_files(core, jobs)


async def ask_for_files(core: Core, jobs: Jobs) -> None:
    """Have the files fetched that are due: by any worker, or by this one while Redis is away.

    What waits is asked for again and again, so a queue that is long already is left alone.
    """
    due = await media.due(core.db)
    waiting = await jobs.waiting() if due else 0
    if waiting is None:
        async with asyncio.TaskGroup() as group:
            for attachment in due[:FILES_HERE]:
                group.create_task(media.fetch_pending(core, attachment))
    elif waiting < LONG_QUEUE:
        for attachment in due:
            await jobs.enqueue("fetch_file", str(attachment))


def _jobs(core: Core) -> list[Job]:
    async def fetch_file(argument: str) -> None:
        await media.fetch_pending(core, UUID(argument))

    return [Job("fetch_file", fetch_file)]


def _crons(core: Core, jobs: Jobs, deliverer: Deliverer) -> list[Cron]:
    async def sweep() -> None:
        for kind in ("ingest", "deliver", "reply"):
            core.bells.ring(kind)
        await ask_for_files(core, jobs)

    async def expire() -> None:
        while await deliverer.expire():
            pass
        await housekeeping.expire(core)

    async def retire() -> None:
        await housekeeping.retire(core)

    return [
        Cron("sweep", sweep, second=FIFTHS),
        Cron("expire", expire, second={7}),
        Cron("retire", retire, second={0}, minute={10}, hour={3}, timeout_s=RETIRE_S),
    ]
