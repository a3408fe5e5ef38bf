"""Delivery when things go wrong: locks, ends, settings that change, and answers that are odd."""

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from hub import delivery
from hub.core import Core
from hub.delivery import Deliverer, recorder, target
from hub.delivery.recorder import Lost
from hub.settings import Settings
from hub.store import Transaction
from hub.store.breakers import ensure_destinations
from hub.store.feed import raise_wanted
from hub.store.lanes import Done, claim_lanes, record
from hub.store.models import Delivery, DestinationRow, EventRow, Lane
from tests.corekit import (
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
NOWHERE = "http://127.0.0.1:9/hook"


async def say(core: Core, *texts: str, who: str = "ann") -> None:
    """Store and file messages of one conversation."""
    await store(core, *({"from": who, "text": text, "id": f"{who}-{text}"} for text in texts))
    await file_all(core)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds become hundredths."""
    monkeypatch.setattr(target, "PROBES_S", (0.05, 0.05, 0.05))
    monkeypatch.setattr(target, "PROBE_S", 0.05)
    monkeypatch.setattr(delivery, "BETWEEN_TRIES_S", (0.0, 0.02, 0.02))
    monkeypatch.setattr(delivery, "FAULT_PAUSE_S", 0.02)
    monkeypatch.setattr(delivery, "POLL_S", 0.05)


def two_desks(url: str, **plan: Any) -> Settings:
    """Settings with two destinations, ``desk`` and ``also``."""
    settings = settings_for(url, events=ONLY_MESSAGES, **plan)
    first = settings.destinations["desk"]
    also = first._replace(target=type(first.target)("also", "webhook", first.target.settings))
    return settings._replace(destinations={"desk": first, "also": also})


async def test_recording_takes_lanes_in_the_global_order(database_url: str) -> None:
    """What files into several lanes and what records their outcomes never wait for each other."""
    async with opened(database_url, two_desks(NOWHERE)) as core:
        await say(core, "one", who="ann")
        await say(core, "one", who="bob")  # its lane for `also` is younger than ann's for `desk`
        lanes = await claim_lanes(core.db, "holder", {"desk": 9, "also": 9}, 9)
        done = [Done(lane.id, lane.epoch, 1, (), True) for lane in lanes]
        young, old = _inverted(await Lane.all())
        recording: list[asyncio.Task[Any]] = []

        async def work(tx: Transaction) -> None:
            await raise_wanted(tx, "deliver", {young: 1})
            recording.append(asyncio.create_task(record(core.db, done)))
            await asyncio.sleep(0.3)
            await raise_wanted(tx, "deliver", {old: 1})

        await core.db.transaction(work)
        assert len(recording) == 1  # nothing had to be done again
        assert len(await recording[0]) == 4


def _inverted(lanes: list[Lane]) -> tuple[tuple[str, UUID], tuple[str, UUID]]:
    """Two lanes whose order by key is not that of their numbers."""
    ordered = sorted(lanes, key=lambda lane: (lane.target, lane.conversation_id.bytes))
    for one, two in itertools.pairwise(ordered):
        if one.id > two.id:
            return (one.target, one.conversation_id), (two.target, two.conversation_id)
    raise AssertionError("no two lanes are inverted")


@pytest.mark.usefixtures("quick")
async def test_the_recorder_survives_any_error(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome that could not be written does not end all deliveries."""
    real, errors = record, [asyncpg.DeadlockDetectedError("deadlock"), RuntimeError("a bug")]

    async def flaky(*arguments: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return await real(*arguments)

    monkeypatch.setattr(recorder, "record", flaky)
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, "one", who="ann")
            async with background(Deliverer(core).run()):
                await eventually(lambda: not errors)
                await say(core, "one", who="bob")
                await eventually(lambda: Delivery.filter(state=1).exists(), 5.0)


async def test_an_outcome_of_an_earlier_claim_takes_none_from_the_later(database_url: str) -> None:
    """One process has a lane twice, after it slept: whoever has it now is heard, in any order."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, "one", "two")
            (slept,) = await claim_lanes(core.db, "slept", {"desk": 9}, 9)
            await core.db.fetch("UPDATE lanes SET lease_until = '-infinity'")
            (awake,) = await claim_lanes(core.db, "awake", {"desk": 9}, 9)
            one, two = [Done(awake.id, awake.epoch, n, (), False) for n in (1, 2)]
            late = Done(slept.id, slept.epoch, 1, (), True)
            writer = recorder.Recorder(core)
            told = [writer.add(each) for each in (late, one, late, two, late)]
            async with background(writer.run()):
                heard = await asyncio.gather(*told, return_exceptions=True)
            assert [type(each) for each in heard] == [Lost, bool, Lost, bool, Lost]
            (row,) = await core.db.fetch("SELECT handled, lease_until > now() AS held FROM lanes")
            assert (row["handled"], row["held"]) == (2, True)


async def test_the_horizon_needs_no_deliverer(database_url: str) -> None:
    """A worker that only runs jobs parks what is too old and gives its lanes back."""
    settings = settings_for(NOWHERE, events=ONLY_MESSAGES)
    async with opened(database_url, settings) as core:
        await say(core, "old")
        await core.db.fetch("UPDATE deliveries SET created_at = now() - interval '73 hours'")
        async with asyncio.timeout(5):
            assert await Deliverer(core).expire() == 1
        assert len(await claim_lanes(core.db, "next", {"desk": 9}, 9)) == 1


async def test_all_of_a_lane_that_is_too_old_is_parked(database_url: str) -> None:
    """Each has its gap in its place; also when nobody configures the destination any more."""
    settings = settings_for(NOWHERE, events=ONLY_MESSAGES)
    async with opened(database_url, settings) as core:
        await say(core, "one", "two", "three")
        await core.db.fetch("UPDATE deliveries SET created_at = now() - interval '73 hours'")
        await say(core, "young")
        core.settings = settings_for()
        await Deliverer(core).expire()
        assert await Delivery.filter(state=2).count() == 3
        waiting = [(row.n, row.event_id) for row in await Delivery.filter(state=0).order_by("n")]
        types = [(await EventRow.get(id=event)).type for _, event in waiting]
        assert [n for n, _ in waiting] == [1, 2, 3, 4]
        assert types == ["delivery.gap"] * 3 + ["message.received"]
        assert (await Lane.get()).handled == 0
        assert await Deliverer(core).expire() == 0


@pytest.mark.usefixtures("quick")
async def test_faults_of_the_destination_do_not_use_up_a_messages_tries(database_url: str) -> None:
    """After an outage a message that is refused still has its three tries."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            answers = [503, 503, 503, 503, 422, 422, 200]
            desk.answer = lambda said: answers.pop(0)
            await say(core, "one")
            async with background(Deliverer(core).run()):
                await eventually(lambda: not answers)
                await eventually(lambda: Delivery.filter(state=1).exists())
            assert await Delivery.filter(state=2).count() == 0


async def test_a_probe_that_is_refused_proves_that_the_destination_answers(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad message at the head of the probe's lane does not keep the others waiting."""
    monkeypatch.setattr(target, "PROBES_S", (0.05, 0.05, 0.05))
    monkeypatch.setattr(delivery, "FAULT_PAUSE_S", 0.02)
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            down = True

            def answer(said: Any) -> int:
                if down:
                    return 503
                return 422 if said["data"].get("message", {}).get("text") == "bad" else 200

            desk.answer = answer
            await say(core, "bad", who="ann")
            async with background(Deliverer(core).run()):
                await eventually(lambda: DestinationRow.filter(state="open").exists())
                await say(core, "good", who="bob")
                # The probe takes the lane that has waited longest: make that the bad one.
                await core.db.fetch(
                    "UPDATE lanes SET next_at = next_at - interval '1 hour' WHERE id = "
                    "(SELECT min(id) FROM lanes)"
                )
                down = False
                await eventually(lambda: "good" in desk.messages, 5.0)


async def test_new_lanes_do_not_overtake_those_that_wait(database_url: str) -> None:
    """A flood of new conversations leaves an old one its turn."""
    settings = settings_for(NOWHERE, events=ONLY_MESSAGES)
    async with opened(database_url, settings) as core:
        await say(core, "one", who="ann")
        (lane,) = await claim_lanes(core.db, "holder", {"desk": 9}, 9)
        await record(core.db, [Done(lane.id, lane.epoch, 1, (), True)])
        await say(core, "two", who="ann")
        for n in range(5):
            await say(core, "one", who=f"flood{n}")
        (first,) = await claim_lanes(core.db, "holder", {"desk": 1}, 9)
        assert first.id == lane.id


async def test_a_destination_that_is_taken_away_gets_no_further_event(database_url: str) -> None:
    """Lanes under way end after the request that is under way; none of it is a fault."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            asked, go = asyncio.Event(), asyncio.Event()

            async def answer(said: Any) -> int:
                asked.set()
                await go.wait()
                return 200

            desk.answer = answer
            await say(core, "one", "two", "three")
            async with background(Deliverer(core).run()):
                await asyncio.wait_for(asked.wait(), 5)
                core.settings = settings_for()
                core.bells.ring("deliver")
                await asyncio.sleep(0.2)
                go.set()
                await eventually(lambda: Delivery.filter(state=1).exists())
                await eventually(lambda: Lane.filter(lease_until__lt=_long_ago()).exists())
                await asyncio.sleep(0.1)
            assert desk.messages == ["one"]
            assert (await Lane.get()).handled == 1
            assert (await DestinationRow.get()).failures == 0


def _long_ago() -> datetime:
    return datetime(2000, 1, 1, tzinfo=UTC)


async def test_whoever_is_stopped_gives_its_lanes_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those whose request hangs: the next process repeats it with the same id, at once."""
    monkeypatch.setattr(delivery, "DRAIN_S", 0.3)
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            stall = True

            async def answer(said: Any) -> int:
                if stall and said["data"]["message"]["text"] == "stalls":
                    await asyncio.sleep(30)
                return 200

            desk.answer = answer
            await say(core, "stalls", who="ann")
            await say(core, *map(str, range(15)), who="bob")
            async with background(Deliverer(twin(core, "old")).run()):
                await eventually(lambda: desk.messages)
            stall = False
            started = time.monotonic()
            async with background(Deliverer(core).run()):
                await eventually(lambda: {"stalls", "14"} <= set(desk.messages[-16:]), 15.0)
                await eventually(lambda: Lane.filter(lease_until__lt=_long_ago(), handled__gt=0))
            assert time.monotonic() - started < 20  # well before the lease of 30 s ends
            bobs = [text for text in desk.messages if text != "stalls"]
            assert bobs == [str(n) for n in range(15)]


async def test_a_process_that_slept_does_not_repeat_what_others_sent(database_url: str) -> None:
    """A lane that was claimed long ago is renewed before the first request, and found to be lost."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, "one")
            service = Deliverer(core)
            (lane,) = await claim_lanes(core.db, "slept", {"desk": 9}, 9)
            await core.db.fetch("UPDATE lanes SET epoch = epoch + 1")
            plan = target.Target(core.settings.destinations["desk"])
            async with background(service._recorder.run()):
                await service._serve(plan, lane, None, time.monotonic() - 31)
            await plan.fetcher.close()
            assert desk.seen == []


@pytest.mark.parametrize(
    "value, expected",
    [
        ("7", 7.0),
        ("9" * 5000, 3600.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("Fri, 99 Abc 2026 99:99:99 GMT", None),
        ("١", None),
    ],
)
def test_retry_after_is_read_with_care(value: str, expected: float | None) -> None:
    """Seconds or an HTTP date; an hour at most; anything else is as if it were not there."""
    assert target.judge(503, {"Retry-After": value}, b"", 1).retry_after_s == expected


def test_retry_after_may_be_a_date() -> None:
    """RFC 9110 allows both forms; a date that is over says nothing."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    found = target.judge(503, {"Retry-After": soon}, b"", 1).retry_after_s
    assert 55 <= (found or 0) <= 60
    over = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)
    assert target.judge(503, {"Retry-After": over}, b"", 1).retry_after_s is None


@pytest.mark.usefixtures("quick")
async def test_odd_answers_end_nothing(database_url: str) -> None:
    """Endless bodies, resets after the status, garbage and closed connections: each is one try."""
    kinds = ["garbage", "close", "reset", "endless", "continue"]
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        kind = kinds[len(seen)] if len(seen) < len(kinds) else "fine"
        seen.append(kind)
        if kind == "garbage":
            writer.write(b"\x00\xff nonsense\r\n\r\n")
        elif kind == "reset":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx")
            await writer.drain()
            writer.transport.abort()
        elif kind == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(100):
                writer.write(b"x" * 65536)
        elif kind == "continue":
            writer.write(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            )
        elif kind == "fine":
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = settings_for(f"http://127.0.0.1:{port}/", events=ONLY_MESSAGES, max_in_flight=1)
    async with opened(database_url, settings) as core:
        await say(core, "one", "two", "three", "four")
        async with background(Deliverer(core).run()):
            await eventually(lambda: _all_done(4))
        assert seen == [*kinds, "fine"]
    server.close()


async def _all_done(count: int) -> bool:
    return await Delivery.filter(state=1).count() == count


async def test_replaying_many_dead_letters_keeps_their_order(database_url: str) -> None:
    """Each lane's dead letters go out in the order that they had, once, however often it is asked."""
    async with opened(database_url, two_desks(NOWHERE)) as core:
        for who in "abc":
            await say(core, *map(str, range(5)), who=who)
        await core.db.fetch("UPDATE deliveries SET state = 2, n = -n")
        await core.db.fetch("UPDATE lanes SET handled = wanted")
        dead = [row.id for row in await Delivery.all()]
        assert await delivery.replay(core, dead[::-1]) == 30
        assert await delivery.replay(core, dead) == 0
        rows = await core.db.fetch(
            "SELECT l.id, array_agg(e.body ORDER BY d.n) AS bodies, array_agg(d.n ORDER BY d.n) AS n "
            "FROM lanes l JOIN deliveries d ON d.lane_id = l.id AND d.state = 0 "
            "JOIN events e ON e.id = d.event_id GROUP BY l.id"
        )
        assert [list(row["n"]) for row in rows] == [[6, 7, 8, 9, 10]] * 6
        for row in rows:
            texts = [body.split(b'"text":"')[1][:1].decode() for body in row["bodies"]]
            assert texts == list("01234")


async def test_a_destination_that_comes_back_is_known_at_once(database_url: str) -> None:
    """Its row is made when it is configured; nothing is lost of what waited."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, "one")
            core.settings = settings_for()
            async with background(Deliverer(core).run()):
                await asyncio.sleep(0.1)
                assert desk.seen == []
                core.settings = settings
                await ensure_destinations(core.db, ["desk"])
                core.bells.ring("deliver")
                await eventually(lambda: desk.messages == ["one"])


async def test_a_deliverer_that_failed_delivers_when_it_is_started_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor starts the same object anew."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, "one")
            service = Deliverer(core)
            with monkeypatch.context() as patch:
                patch.setattr(service, "_round", _broken)
                with pytest.raises(RuntimeError):
                    await service.run()
            async with background(service.run()):
                await eventually(lambda: desk.messages == ["one"], 5.0)


async def _broken() -> None:
    raise RuntimeError("a bug")
