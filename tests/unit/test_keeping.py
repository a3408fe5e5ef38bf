"""A lease that is kept while somebody works."""

import asyncio

import pytest

from hub.tickets.keeping import keeping


async def test_a_database_that_is_away_for_a_moment_ends_nothing() -> None:
    """The lease lives longer than that, and is renewed again."""
    answers: list[bool | Exception] = [True, ConnectionRefusedError(), True]
    told = asyncio.Event()

    async def keep() -> bool:
        if not answers:
            told.set()
            return True
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with asyncio.timeout(10), keeping(keep, 0.01):
        await told.wait()


async def test_who_has_lost_it_stops() -> None:
    """What it holds is another's by now."""

    async def keep() -> bool:
        return False

    async def work() -> None:
        async with keeping(keep, 0.01):
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.create_task(work()), 10)
