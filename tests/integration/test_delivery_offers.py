"""Lanes that filing hands to the deliverer beside it: no claim between, and the same promises."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from hub import delivery
from hub.core import Core
from hub.delivery import Deliverer
from hub.delivery.offers import Offers
from hub.delivery.target import Target
from hub.ids import new_id, show_id
from hub.ingest import filing
from hub.settings import Route
from hub.store import Database, lanes
from hub.store.breakers import open_breaker
from hub.store.models import Lane
from hub.store.queues import pause
from tests.corekit import (
    Desk,
    background,
    eventually,
    file_all,
    opened,
    running_desk,
    settings_for,
    store,
    twin,
)

ONLY_MESSAGES = ("message.received", "delivery.gap")


class Claims:
    """Counts what was claimed rather than handed over; *allowed* false: nothing can be claimed."""

    def __init__(self) -> None:
        self.lanes = 0
        self.allowed = True

    async def claim(self, *arguments: Any) -> list[lanes.ClaimedLane]:
        claimed = await lanes.claim_lanes(*arguments) if self.allowed else []
        self.lanes += len(claimed)
        return claimed


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Claims:
    """What the deliverers claim."""
    counted = Claims()
    monkeypatch.setattr(delivery, "claim_lanes", counted.claim)
    return counted


@asynccontextmanager
async def scene(
    database_url: str, **settings: Any
) -> AsyncIterator[tuple[Core, Desk, Deliverer, Callable[..., Any]]]:
    """A running deliverer, and a function that files what somebody says beside it."""
    async with running_desk() as desk:
        made = settings_for(desk.url, events=ONLY_MESSAGES, **settings)
        async with opened(database_url, made) as core:
            deliverer = Deliverer(core)

            async def say(*texts: str, who: str = "ann") -> None:
                said = [{"from": who, "text": one, "id": f"{who}-{one}"} for one in texts]
                await store(core, *said)
                await file_all(core, deliverer)

            async with background(deliverer.run()):
                await eventually(lambda: not deliverer._offers.closed)
                yield core, desk, deliverer, say


async def idle() -> bool:
    """True when no lane has work or a holder."""
    return not await Lane.raw("SELECT * FROM lanes WHERE wanted > handled OR lease_until > now()")


async def test_what_is_filed_is_delivered_without_a_claim(
    database_url: str, claims: Claims
) -> None:
    """In order, numbered from 1, and the lane is free again afterwards."""
    async with scene(database_url) as (_, desk, _deliverer, say):
        claims.allowed = False
        await say("one", "two")
        await eventually(idle)
        await say("three")
        await eventually(idle)
        assert desk.messages == ["one", "two", "three"]
        assert list(desk.by_lane.values()) == [[1, 2, 3]]


async def test_a_lane_in_which_something_waits_is_not_taken(
    database_url: str, claims: Claims
) -> None:
    """While the first request runs, what is said next waits for its turn."""
    async with scene(database_url) as (_, desk, _deliverer, say):
        release = asyncio.Event()

        async def answer(said: Any) -> int:
            await release.wait()
            return 200

        desk.answer = answer
        await say("one")
        await eventually(lambda: desk.seen)
        await say("two")
        await say("three")
        await asyncio.sleep(0.1)
        assert desk.messages == ["one"]
        release.set()
        await eventually(idle)
        assert desk.messages == ["one", "two", "three"]
        assert claims.lanes == 1


async def test_no_more_is_taken_than_there_is_room_for(database_url: str) -> None:
    """One batch of many conversations never has more under way than the destination allows."""
    async with scene(database_url, max_in_flight=2) as (core, desk, deliverer, _):
        under_way = most = 0

        async def answer(said: Any) -> int:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            return 200

        desk.answer = answer
        await store(
            core, *({"from": who, "text": who, "id": who} for who in "abcdefghijklmnopqrst")
        )
        await file_all(core, deliverer)
        await eventually(idle)
        assert sorted(desk.messages) == list("abcdefghijklmnopqrst")
        assert most == 2


async def test_who_waits_already_is_not_overtaken(database_url: str) -> None:
    """With more waiting than there is room for, a new conversation goes behind."""
    async with scene(database_url, max_in_flight=1) as (core, desk, deliverer, say):
        release = asyncio.Event()

        async def answer(said: Any) -> int:
            await release.wait()
            return 200

        desk.answer = answer
        await say("first", who="a")
        await eventually(lambda: desk.seen)
        for who in "bcd":
            await store(core, {"from": who, "text": who, "id": who})
            await file_all(core, deliverer)
        release.set()
        await eventually(idle)
        assert desk.messages == ["first", "b", "c", "d"]


async def test_a_paused_queue_is_left_alone(database_url: str) -> None:
    """What is filed for it waits in its lane."""
    routes = [Route(queue="sales", text="buy")]
    async with scene(database_url, queues=("inbox", "sales"), routes=routes) as made:
        core, desk, deliverer, say = made
        await pause(core.db, "sales", True, core.clock())
        await eventually(lambda: "sales" in deliverer._offers.rules.paused)
        await say("buy one", who="bob")
        await say("hello")
        await eventually(lambda: desk.messages == ["hello"])
        await asyncio.sleep(0.1)
        assert desk.messages == ["hello"]


def hold_looks(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Looks at the breakers begin, which the first event tells, and go on with the second."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    known = delivery.breakers

    async def held(db: Database) -> Any:
        begun.set()
        await go_on.wait()
        return await known(db)

    monkeypatch.setattr(delivery, "breakers", held)
    return begun, go_on


async def test_whoever_begins_takes_nothing_before_it_has_looked(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination may be down, or a queue paused, since long before the process was started."""
    looks, look = hold_looks(monkeypatch)
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await pause(core.db, "inbox", True, core.clock())
            deliverer = Deliverer(core)
            async with background(deliverer.run()):
                await looks.wait()
                await store(core, {"from": "ann", "text": "one", "id": "1"})
                await file_all(core, deliverer)
                assert not deliverer._serving
                look.set()
                await eventually(lambda: not deliverer._offers.closed)
                await pause(core.db, "inbox", False, core.clock())
                await eventually(idle)
            assert desk.messages == ["one"]


async def test_a_commit_whose_answer_was_lost_keeps_no_lane(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane is the deliverer's and nobody serves it: it is given back long before its lease ends."""
    commit = Database.transaction

    async def unheard(self: Database, work: Any) -> Any:
        await commit(self, work)
        raise ConnectionResetError("the answer to the commit was lost")

    async with scene(database_url) as (_, desk, _deliverer, say):
        monkeypatch.setattr(Database, "transaction", unheard)
        with pytest.raises(ConnectionResetError):
            await say("one")
        assert desk.messages == []
        monkeypatch.setattr(Database, "transaction", commit)
        await eventually(idle, timeout=5.0)
        assert desk.messages == ["one"]


async def test_whoever_stops_meanwhile_gives_back_what_it_is_handed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that ends while the deliverer ends: another one delivers, at once."""
    commit = Database.transaction
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(self: Database, work: Any) -> Any:
        async def held(tx: Any) -> Any:
            filed = await work(tx)
            begun.set()
            await release.wait()
            return filed

        return await commit(self, held)

    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            deliverer = Deliverer(core)
            running = asyncio.create_task(deliverer.run())
            await eventually(lambda: not deliverer._offers.closed)
            await store(core, {"from": "ann", "text": "one", "id": "1"})
            monkeypatch.setattr(Database, "transaction", slow)
            filing = asyncio.create_task(file_all(core, deliverer))
            await begun.wait()
            running.cancel()
            await asyncio.sleep(0.05)
            release.set()
            await filing
            await asyncio.gather(running, return_exceptions=True)
            assert desk.messages == []
            async with background(Deliverer(twin(core, "other")).run()):
                await eventually(idle, timeout=5.0)
            assert desk.messages == ["one"]


async def test_what_is_taken_while_lost_lanes_are_looked_for_is_served() -> None:
    """A filing that hangs puts that off, and must not put off what others file meanwhile."""
    plan = settings_for("http://127.0.0.1:9/").destinations["desk"]
    desk, served = Target(plan), []
    offers = Offers("p", {"desk": desk}, lambda _target, lane, _since: served.append(lane))
    offers.stopped, desk.is_known = False, True
    lane = lanes.ClaimedLane(1, "desk", new_id(), 1, [])
    with offers.offer():  # it hangs
        with offers.offer() as quick:
            assert quick.wants("desk", "inbox")
            looking = offers.none(0.01)
            assert await looking.__aenter__() is False
            assert not quick.wants("desk", "inbox")
            quick.hand([lane])
        assert served == [lane]
        assert not offers.unsure
        await looking.__aexit__(None, None, None)
    await desk.fetcher.close()


async def test_a_destination_that_is_changed_gets_nothing_before_it_is_looked_at(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been down, which the new settings do not change."""
    async with scene(database_url) as (core, desk, deliverer, say):
        await open_breaker(core.db, "desk", "answered 500", 60.0)
        await eventually(lambda: deliverer._targets["desk"].open)
        looks, look = hold_looks(monkeypatch)
        changed = core.settings.destinations["desk"]._replace(timeout_s=3.0)
        core.settings = core.settings._replace(destinations={"desk": changed})
        await eventually(lambda: deliverer._targets["desk"].plan == changed)
        await looks.wait()
        await say("one")
        assert not deliverer._serving
        look.set()
        await eventually(lambda: deliverer._targets["desk"].open)
        assert desk.messages == []


async def test_two_filings_at_once_take_a_lane_once(database_url: str) -> None:
    """Two processes file for the same conversations all the time: each message comes once, in order."""
    async with scene(database_url) as (core, desk, deliverer, _):
        other = twin(core, "two")
        beside = Deliverer(other)
        async with background(beside.run()):
            await eventually(lambda: not beside._offers.closed)
            for number in range(40):
                said = [
                    {"from": who, "text": f"{who}{number}", "id": f"{who}{number}"} for who in "ab"
                ]
                await store(core, *said)
                await asyncio.gather(file_all(core, deliverer), file_all(other, beside))
            await eventually(idle)
        for who in "ab":
            heard = [text for text in desk.messages if text.startswith(who)]
            assert heard == [f"{who}{number}" for number in range(40)]


async def test_a_transaction_that_is_done_again_hands_over_what_it_committed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a deadlock nothing of the undone try is delivered."""
    outbound, tries = filing._outbound, 0

    async def deadlocked(*arguments: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise asyncpg.DeadlockDetectedError
        return await outbound(*arguments)

    monkeypatch.setattr(filing, "_outbound", deadlocked)
    async with scene(database_url) as (core, desk, deliverer, say):
        await say("one")
        await eventually(idle)
        await say("two")
        await eventually(idle)
        assert desk.messages == ["one", "two"]
        events = await core.db.fetch("SELECT id FROM events WHERE type = 'message.received'")
        assert {own for own, _, _ in desk.seen} == {show_id("evt", row["id"]) for row in events}
        assert deliverer._targets["desk"].promised == 0


async def test_a_filing_that_hangs_holds_up_no_delivery(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a lost claim the deliverer goes on, though a transaction beside it does not end."""
    commit, begun, release = Database.transaction, asyncio.Event(), asyncio.Event()

    async def slow(self: Database, work: Any) -> Any:
        async def held(tx: Any) -> Any:
            filed = await work(tx)
            begun.set()
            await release.wait()
            return filed

        return await commit(self, held)

    async with scene(database_url) as (core, desk, deliverer, say):
        monkeypatch.setattr(Database, "transaction", slow)
        filing = asyncio.create_task(say("late", who="ann"))
        await begun.wait()
        monkeypatch.setattr(Database, "transaction", commit)
        deliverer._unsure = True
        await store(core, {"from": "bob", "text": "soon", "id": "bob"})
        await file_all(core)
        await eventually(lambda: desk.messages == ["soon"], timeout=10.0)
        release.set()
        await filing
        await eventually(idle)
        assert desk.messages == ["soon", "late"]
