"""Taking in: group commit, overload, and what a database that comes and goes does."""

import asyncio
from typing import Any

import asyncpg
import pytest

from hub import intake
from hub.core import Core
from hub.intake import Committer, Overloaded
from hub.store.models import Inbox
from tests.corekit import event, eventually, opened, settings_for


def committer(core: Core, **limits: Any) -> Committer:
    return Committer(
        core.db, core.bells, **{"max_events": 5000, "max_bytes": 1 << 26, "wait_s": 4.0} | limits
    )


async def test_what_has_returned_is_committed(database_url: str) -> None:
    """Each call returns after its rows are visible to another connection."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        await service.store("shop", "test", [event({"text": "a", "id": "1"})])
        assert await Inbox.all().count() == 1
        await service.stop()


async def test_many_callers_share_few_statements(database_url: str) -> None:
    """1,000 concurrent requests are one commit each for some hundred of them."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        before = core.db.statements
        events = [event({"text": "a", "id": str(n)}) for n in range(1000)]
        await asyncio.gather(*(service.store("shop", "test", [one]) for one in events))
        assert await Inbox.all().count() == 1000
        assert core.db.statements - before <= 10
        await service.stop()


async def test_rows_have_the_order_of_arrival(database_url: str) -> None:
    """What is stored later has a higher number."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        events = [event({"text": "a", "id": str(n)}) for n in range(200)]
        await asyncio.gather(*(service.store("shop", "test", [one]) for one in events))
        stored = [row.dedupe_key for row in await Inbox.all().order_by("id")]
        assert stored == [one.dedupe_key for one in events]
        await service.stop()


async def test_a_short_absence_of_the_database_costs_no_refusal(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors that say «away» are waited out within the time of the caller."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        real, failures = intake.insert_events, 3

        async def flaky(*arguments: Any) -> int:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise asyncpg.CannotConnectNowError("the database system is starting up")
            return await real(*arguments)

        monkeypatch.setattr(intake, "insert_events", flaky)
        await service.store("shop", "test", [event({"text": "a", "id": "1"})])
        assert await Inbox.all().count() == 1
        await service.stop()


async def test_a_long_absence_is_told_in_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After wait_s the caller is told to put the platform off; nothing piles up behind."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core, wait_s=0.3)
        await service.start()

        async def away(*arguments: Any) -> int:
            raise ConnectionRefusedError

        monkeypatch.setattr(intake, "insert_events", away)
        started = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded):
            await service.store("shop", "test", [event({"text": "a", "id": "1"})])
        assert asyncio.get_running_loop().time() - started < 1.0
        monkeypatch.undo()
        await service.store("shop", "test", [event({"text": "b", "id": "2"})])
        assert await Inbox.all().count() == 1
        await service.stop()


async def test_a_full_queue_waits_for_room_then_refuses(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is bounded by count and by bytes; whoever finds no room waits, then is refused."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core, max_events=2, wait_s=0.4)
        await service.start()
        gate = asyncio.Event()
        real = intake.insert_events

        async def slow(*arguments: Any) -> int:
            await gate.wait()
            return await real(*arguments)

        monkeypatch.setattr(intake, "insert_events", slow)
        calls = [
            asyncio.create_task(service.store("shop", "test", [event({"text": "a", "id": str(n)})]))
            for n in range(6)
        ]
        await asyncio.sleep(0.1)
        assert service.filling <= 1.0
        await eventually(lambda: service.refused > 0, 2.0)
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(one, Overloaded) for one in results)
        await service.stop()


async def test_who_waited_for_room_is_told_in_its_own_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time began before that of somebody who found room later; so it hears of its end first."""
    gates = [asyncio.Event() for _ in range(3)]
    begun = 0

    async def slow(*arguments: Any) -> int:
        nonlocal begun
        begun += 1
        await gates[begun - 1].wait()
        return 0

    monkeypatch.setattr(intake, "insert_events", slow)
    async with opened(database_url, settings_for()) as core:
        service = committer(core, max_events=2, wait_s=2.0)
        await service.start()
        refused: list[str] = []

        async def say(name: str, count: int = 1) -> None:
            try:
                events = [event({"text": name, "id": f"{name}{n}"}) for n in range(count)]
                await service.store("shop", "test", events)
            except Overloaded:
                refused.append(name)

        callers = [asyncio.create_task(say("first"))]
        await eventually(lambda: begun == 1)
        callers += [asyncio.create_task(say("fills", 2)), asyncio.create_task(say("waits"))]
        await asyncio.sleep(1.0)
        gates[0].set()
        await eventually(lambda: begun == 2)
        callers.append(asyncio.create_task(say("late")))
        await asyncio.sleep(0)
        gates[1].set()
        await asyncio.gather(*callers)
        assert refused == ["waits", "late"]
        gates[2].set()
        await service.stop()


async def test_one_refused_event_does_not_take_its_neighbours(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is about one row is given to that row's caller alone."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        real = intake.insert_events

        async def picky(db: Any, arrived: Any) -> int:
            if any(b"poison" in one.event.body for one in arrived):
                raise asyncpg.DataError("no")
            return await real(db, arrived)

        monkeypatch.setattr(intake, "insert_events", picky)
        said = [event({"text": text, "id": text}) for text in ("good", "poison", "fine")]
        results = await asyncio.gather(
            *(service.store("shop", "test", [one]) for one in said), return_exceptions=True
        )
        assert [isinstance(one, Overloaded) for one in results] == [False, True, False]
        assert await Inbox.all().count() == 2
        await service.stop()


async def test_a_very_long_key_is_stored(database_url: str) -> None:
    """A key too long for an index is kept as its hash, and still guards against repeats."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        for _ in range(2):
            await service.store("shop", "test", [event({"text": "a", "event": "k" * 100_000})])
        assert (await Inbox.get()).dedupe_key.startswith("sha256:")
        await service.stop()


async def test_stop_commits_what_waits(database_url: str) -> None:
    """At the end everything that was taken in is committed."""
    async with opened(database_url, settings_for()) as core:
        service = committer(core)
        await service.start()
        calls = [
            asyncio.create_task(service.store("shop", "test", [event({"text": "a", "id": str(n)})]))
            for n in range(50)
        ]
        await asyncio.sleep(0)
        await service.stop()
        await asyncio.gather(*calls)
        assert await Inbox.all().count() == 50
