"""arq as it is used here: it survives its Redis, and loses no more than a doorbell."""

import asyncio
import contextlib
from pathlib import Path

from hub import embedded
from hub.jobs import Cron, Job, Jobs
from hub.supervise import keep_running
from tests.corekit import background, eventually


async def test_a_job_runs_with_its_argument(redis_url: str) -> None:
    """The name and one id are all that travels."""
    jobs, ran = Jobs(redis_url), []

    async def run(argument: str) -> None:
        ran.append(argument)

    async with background(jobs.run([Job("fetch", run)], [])):
        assert await jobs.enqueue("fetch", "42")
        await eventually(lambda: ran == ["42"])
    await jobs.close()


async def test_the_same_job_can_be_asked_for_again_at_once(redis_url: str) -> None:
    """Random job ids and no kept results: no doorbell is swallowed by an earlier one."""
    jobs, ran = Jobs(redis_url), []

    async def run(argument: str) -> None:
        ran.append(argument)
        if len(ran) == 1:
            await jobs.enqueue("fetch", argument)

    async with background(jobs.run([Job("fetch", run)], [])):
        await jobs.enqueue("fetch", "42")
        await eventually(lambda: ran == ["42", "42"])
    await jobs.close()


async def test_a_job_that_fails_does_not_end_the_worker(redis_url: str) -> None:
    """The next job runs; what failed is the database's to ask for again."""
    jobs, ran = Jobs(redis_url), []

    async def run(argument: str) -> None:
        if argument == "bad":
            raise RuntimeError("no")
        ran.append(argument)

    async with background(jobs.run([Job("fetch", run)], [])):
        await jobs.enqueue("fetch", "bad")
        await jobs.enqueue("fetch", "good")
        await eventually(lambda: ran == ["good"])
    await jobs.close()


async def test_the_clock_runs_jobs(redis_url: str) -> None:
    """A cron of every second runs within two."""
    jobs, ran = Jobs(redis_url), []

    async def tick() -> None:
        ran.append(1)

    every = Cron("tick", tick, second=set(range(60)))
    async with background(jobs.run([], [every])):
        await eventually(lambda: ran, 4.0)
    await jobs.close()


async def test_the_worker_comes_back_after_redis_was_away(tmp_path_factory: object) -> None:
    """arq ends at any Redis error; the supervisor starts it again, and enqueueing never raises."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(_short_folder()))
        server = embedded.start_redis(folder, unsafe=True)
        stack.callback(server.stop)
        jobs, ran = Jobs(server.url), []

        async def run(argument: str) -> None:
            ran.append(argument)

        serving = keep_running("jobs", lambda: jobs.run([Job("fetch", run)], []))
        async with background(serving):
            await jobs.enqueue("fetch", "before")
            await eventually(lambda: ran == ["before"])
            server.kill()
            assert await jobs.enqueue("fetch", "lost") is False
            await asyncio.to_thread(server.restart)
            await eventually(lambda: _asked_and_ran(jobs, ran), 15.0)
        await jobs.close()


async def _asked_and_ran(jobs: Jobs, ran: list[str]) -> bool:
    await jobs.enqueue("fetch", "after")
    await asyncio.sleep(0.3)
    return "after" in ran


def _short_folder() -> contextlib.AbstractContextManager[str]:
    import tempfile

    return tempfile.TemporaryDirectory(prefix="hub-test-")
