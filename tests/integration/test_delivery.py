"""Delivery: order, retries, the breaker, parking, dead letters, and lanes that change hands."""

import asyncio
import time
from collections import Counter
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from hub import delivery
from hub.core import Core
from hub.delivery import Deliverer, recorder, replay, target
from hub.store import breakers
from hub.store.lanes import Done, claim_lanes, record
from hub.store.models import Attempt, Delivery, DestinationRow, Lane
from tests.corekit import (
    SECRET,
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


async def idle() -> bool:
    """True when no lane has work or a holder."""
    waiting = await Lane.raw("SELECT * FROM lanes WHERE wanted > handled OR lease_until > now()")
    return not waiting


async def test_events_arrive_signed_and_numbered(database_url: str) -> None:
    """The reference library accepts the signature; lane and number are contiguous from 1."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        await say(core, "one", "two")
        async with background(Deliverer(core).run()):
            await eventually(lambda: len(desk.seen) == 3)
            await eventually(idle)
        for _, said, headers in desk.seen:
            assert headers["webhook-signature"].startswith("v1,")
            assert said["timestamp"].endswith("Z")
        assert list(desk.by_lane.values()) == [[1, 2, 3]]
        assert desk.messages == ["one", "two"]


async def test_the_reference_library_accepts_what_we_sign(database_url: str) -> None:
    """standardwebhooks verifies the raw body."""
    verified: list[str] = []

    async def take(request: web.Request) -> web.Response:
        Webhook(SECRET).verify(await request.text(), dict(request.headers))
        verified.append(request.headers["webhook-id"])
        return web.Response()

    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        desk.take = take  # type: ignore[method-assign]
        app = web.Application()
        app.router.add_post("/hook", take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        core.settings = settings_for(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
        await say(core, "one")
        async with background(Deliverer(core).run()):
            await eventually(lambda: len(verified) == 2)
        await runner.cleanup()


async def test_one_request_at_a_time_in_a_lane(database_url: str) -> None:
    """The next request of a lane starts when the last was acknowledged; lanes run side by side."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            under_way: Counter[str] = Counter()
            most: Counter[str] = Counter()

            async def answer(said: dict) -> int:  # type: ignore[type-arg]
                lane = said["data"]["order"]["lane"]
                for key in (lane, "all"):
                    under_way[key] += 1
                    most[key] = max(most[key], under_way[key])
                await asyncio.sleep(0.01)
                under_way[lane] -= 1
                under_way["all"] -= 1
                return 200

            desk.answer = answer
            for who in "abcd":
                await say(core, *(str(n) for n in range(10)), who=who)
            async with background(Deliverer(core).run(), Deliverer(twin(core, "two")).run()):
                await eventually(lambda: len(desk.seen) == 40)
            assert most.pop("all") > 1
            assert set(most.values()) == {1}
            assert all(numbers == list(range(1, 11)) for numbers in desk.by_lane.values())


@pytest.mark.usefixtures("quick")
async def test_a_destination_that_is_down_gets_everything_in_order_later(database_url: str) -> None:
    """While it is down one probe speaks for all; then all flows, in order, each once."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            down = True
            desk.answer = lambda said: 503 if down else 200
            for who in "abcdefgh":
                await say(core, *(str(n) for n in range(5)), who=who)
            async with background(Deliverer(core).run()):
                await eventually(lambda: DestinationRow.filter(state="open").exists())
                tried = len(desk.seen)
                await asyncio.sleep(0.5)
                assert len(desk.seen) - tried <= 20  # a probe each 50 ms, and what was under way
                down = False
                desk.seen.clear()
                await eventually(lambda: len(desk.seen) == 40)
            assert all(numbers == [1, 2, 3, 4, 5] for numbers in desk.by_lane.values())
            assert (await DestinationRow.get()).state == "closed"


@pytest.mark.usefixtures("quick")
async def test_a_refused_connection_opens_the_breaker(database_url: str) -> None:
    """No connection is a fault of the destination; nothing is parked."""
    async with opened(database_url, settings_for("http://127.0.0.1:9/hook")) as core:
        await say(core, "one")
        async with background(Deliverer(core).run()):
            await eventually(lambda: DestinationRow.filter(state="open").exists())
        assert await Delivery.filter(state=2).count() == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [301, 401, 403, 405, 408, 425, 429, 500, 502])
async def test_faults_of_the_destination_park_nothing(database_url: str, status: int) -> None:
    """These statuses speak of the destination, never of the message."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        desk.answer = lambda said: status
        await say(core, "one")
        async with background(Deliverer(core).run()):
            await eventually(lambda: DestinationRow.filter(state="open").exists())
        assert await Delivery.filter(state=2).count() == 0


@pytest.mark.usefixtures("quick")
async def test_a_refused_message_is_parked_and_a_gap_takes_its_place(database_url: str) -> None:
    """Three tries, then dead; delivery.gap has its number, and the lane goes on."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:

            def answer(said: dict) -> int:  # type: ignore[type-arg]
                return 422 if said["data"].get("message", {}).get("text") == "bad" else 200

            desk.answer = answer
            await say(core, "good", "bad", "after")
            async with background(Deliverer(core).run()):
                await eventually(lambda: desk.messages[-1:] == ["after"])
                await eventually(idle)
            kinds = [(said["type"], said["data"]["order"]["n"]) for _, said, _ in desk.seen]
            assert kinds == [
                ("message.received", 1),
                *[("message.received", 2)] * 3,
                ("delivery.gap", 2),
                ("message.received", 3),
            ]
            dead = await Delivery.get(state=2)
            assert await Attempt.filter(delivery_id=dead.id).count() == 3
            gap = next(said for _, said, _ in desk.seen if said["type"] == "delivery.gap")
            assert gap["data"]["event_id"] == desk.seen[1][0]


@pytest.mark.usefixtures("quick")
async def test_a_refused_gap_is_parked_too(database_url: str) -> None:
    """What takes none of them holds up neither the conversation nor what clears away old events."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:

            def answer(said: dict) -> int:  # type: ignore[type-arg]
                text = said["data"].get("message", {}).get("text", "bad")
                return 422 if text == "bad" else 200

            desk.answer = answer
            await say(core, "bad", "after")
            async with background(Deliverer(core).run()):
                await eventually(lambda: desk.messages[-1:] == ["after"])
                await eventually(idle)
            assert await Delivery.filter(state=2).count() == 2


@pytest.mark.usefixtures("quick")
async def test_a_wrong_url_is_a_fault_of_the_destination(database_url: str) -> None:
    """The same refusal on three lanes with no success between opens the breaker, parks nothing."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            desk.answer = lambda said: 404
            for who in "abcdef":
                await say(core, "one", who=who)
            async with background(Deliverer(core).run()):
                await eventually(lambda: DestinationRow.filter(state="open").exists())
            assert await Delivery.filter(state=2).count() == 0


async def test_gone_disables_at_once(database_url: str) -> None:
    """410 stops the destination until a person restores it; what waits stays."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        desk.answer = lambda said: 410
        await say(core, "one", "two")
        async with background(Deliverer(core).run()):
            await eventually(lambda: DestinationRow.filter(state="disabled").exists())
            await asyncio.sleep(0.2)
        assert len(desk.seen) == 1
        desk.answer = lambda said: 200
        await breakers.restore_destination(core.db, "desk")
        async with background(Deliverer(core).run()):
            await eventually(lambda: desk.messages == ["one", "two"])


@pytest.mark.usefixtures("quick")
async def test_retry_after_is_honoured(database_url: str) -> None:
    """429 with Retry-After opens the breaker for that long."""
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        times: list[float] = []

        def answer(said: dict) -> web.Response:  # type: ignore[type-arg]
            times.append(time.monotonic())
            return web.Response(
                status=429 if len(times) == 1 else 200, headers={"Retry-After": "1"}
            )

        desk.answer = answer
        await say(core, "one")
        async with background(Deliverer(core).run()):
            await eventually(lambda: len(times) >= 2)
        assert times[1] - times[0] >= 1.0


async def test_a_replayed_dead_letter_keeps_its_id(database_url: str) -> None:
    """Replay puts it at the end of its lane, with the same webhook-id and webhook-replayed."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            desk.answer = lambda said: 422 if said["type"] == "message.received" else 200
            await say(core, "bad")
            async with background(Deliverer(core).run()):
                await core.db.fetch("UPDATE deliveries SET tries = 2")
                await eventually(lambda: Delivery.filter(state=2).exists())
                await eventually(idle)
                desk.answer = lambda said: 200
                assert await replay(core, [(await Delivery.get(state=2)).id]) == 1
                await eventually(lambda: "webhook-replayed" in desk.seen[-1][2])
            assert desk.seen[-1][0] == desk.seen[0][0]
            assert desk.seen[-1][1]["data"]["order"]["n"] == 2


async def test_what_waits_past_the_horizon_is_parked(database_url: str) -> None:
    """An event older than the horizon becomes a dead letter, even while the breaker is open."""
    settings = settings_for("http://127.0.0.1:9/hook", events=ONLY_MESSAGES)
    async with opened(database_url, settings) as core:
        await say(core, "old")
        await core.db.fetch("UPDATE deliveries SET created_at = now() - interval '73 hours'")
        service = Deliverer(core)
        recorder = asyncio.create_task(service._recorder.run())
        assert await service.expire() == 1
        recorder.cancel()
        dead = await Delivery.get(state=2)
        assert dead.error == "not delivered in 72 h"
        assert await Delivery.filter(state=0).count() == 1  # the gap that announces it


async def test_an_acknowledged_request_is_repeated_with_the_same_id_after_a_crash(
    database_url: str,
) -> None:
    """A process that dies between the 200 and the record repeats it: same id, same bytes."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, "one")
            claimed = await claim_lanes(core.db, "dead", {"desk": 10}, 10)
            desk_of_the_dead = target.Target(core.settings.destinations["desk"])
            await desk_of_the_dead.post(claimed[0], claimed[0].heads[0], core)
            await desk_of_the_dead.fetcher.close()
            await core.db.fetch("UPDATE lanes SET lease_until = now() - interval '1 second'")
            async with background(Deliverer(core).run()):
                await eventually(lambda: len(desk.seen) == 2)
            assert desk.seen[0][:2] == desk.seen[1][:2]


async def test_a_late_holder_records_nothing(database_url: str) -> None:
    """After a lane changed hands, what its old holder writes is thrown away (epoch)."""
    async with opened(database_url, settings_for("http://127.0.0.1:9/")) as core:
        await say(core, "one")
        old = (await claim_lanes(core.db, "old", {"desk": 10}, 10))[0]
        await core.db.fetch("UPDATE lanes SET lease_until = now() - interval '1 second'")
        new = (await claim_lanes(core.db, "new", {"desk": 10}, 10))[0]
        assert new.epoch == old.epoch + 1
        assert await record(core.db, [Done(old.id, old.epoch, 2, [], True)]) == {}
        lane = await Lane.get()
        assert (lane.handled, lane.holder) == (0, "new")


async def test_work_added_while_a_lane_is_held_is_not_forgotten(database_url: str) -> None:
    """The release tells that there is more: no wake-up is lost between read and release."""
    async with opened(
        database_url, settings_for("http://127.0.0.1:9/", events=ONLY_MESSAGES)
    ) as core:
        await say(core, "one")
        held = (await claim_lanes(core.db, "holder", {"desk": 10}, 10))[0]
        await say(core, "two")  # its bell rings while the lane is held, and nobody can claim it
        assert await claim_lanes(core.db, "other", {"desk": 10}, 10) == []
        done = Done(held.id, held.epoch, 1, [held.heads[0].id], True)
        assert await record(core.db, [done]) == {held.id: True}
        assert len(await claim_lanes(core.db, "other", {"desk": 10}, 10)) == 1


async def test_nothing_is_lost_without_bells(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every doorbell lost, polling alone delivers."""
    monkeypatch.setattr(delivery, "POLL_S", 0.05)
    async with running_desk() as desk, opened(database_url, settings_for(desk.url)) as core:
        monkeypatch.setattr(core.bells, "ring", lambda kind, facts=None: None)
        monkeypatch.setattr(core.bells, "ring_here", lambda kind: None)
        async with background(Deliverer(core).run()):
            for n in range(30):
                await say(core, str(n))
            await eventually(lambda: len(desk.messages) == 30)
        assert list(desk.by_lane.values()) == [list(range(1, 32))]


async def test_a_slow_destination_does_not_slow_another(database_url: str) -> None:
    """Each destination has its own room."""
    async with running_desk() as slow, running_desk() as fast:
        settings = settings_for(slow.url, events=ONLY_MESSAGES, max_in_flight=2)
        other = settings_for(fast.url, events=ONLY_MESSAGES).destinations["desk"]
        other = other._replace(target=type(other.target)("fast", "webhook", other.target.settings))
        settings = settings._replace(destinations={**settings.destinations, "fast": other})
        slow.answer = _stall
        async with opened(database_url, settings) as core:
            for n in range(40):
                await say(core, "one", who=f"c{n}")
            async with background(Deliverer(core).run()):
                await eventually(lambda: len(fast.messages) == 40, 3.0)
            assert len(slow.seen) <= 4


async def _stall(said: object) -> int:
    await asyncio.sleep(2)
    return 200


def test_probes_come_in_seconds_then_rarely() -> None:
    """1 s, 5 s, 15 s, then each 30 s for 6 h, then each 5 min, ±10 %."""
    for probes, open_s, base in [
        (0, 0, 1),
        (1, 1, 5),
        (2, 6, 15),
        (3, 21, 30),
        (99, 7 * 3600, 300),
    ]:
        assert base * 0.9 <= target.probe_pause(probes, open_s) <= base * 1.1


async def test_a_process_that_ends_gives_its_lanes_back(database_url: str) -> None:
    """The request under way ends, nothing further is sent, and the next process goes on at once."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core:
            await say(core, *"abcdef")
            release = asyncio.Event()

            async def answer(said: dict) -> int:  # type: ignore[type-arg]
                await release.wait()
                return 200

            desk.answer = answer
            ending = asyncio.create_task(Deliverer(core).run())
            await eventually(lambda: desk.seen)
            ending.cancel()
            release.set()
            await asyncio.gather(ending, return_exceptions=True)
            assert desk.messages == ["a"]

            async with background(Deliverer(twin(core, "other")).run()):
                await eventually(idle, timeout=5.0)
            assert desk.messages == list("abcdef")


async def test_outcomes_are_written_again_after_a_deadlock(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends one of two that wait for one another; what was delivered is not sent again."""
    failures = [asyncpg.DeadlockDetectedError("deadlock detected")]

    async def unlucky(*arguments: Any) -> dict[int, bool]:
        if failures:
            raise failures.pop()
        return await record(*arguments)

    monkeypatch.setattr(recorder, "record", unlucky)
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=ONLY_MESSAGES)
        async with opened(database_url, settings) as core, background(Deliverer(core).run()):
            await say(core, "a", "b")
            core.bells.ring("deliver")
            await eventually(idle)
            assert desk.messages == ["a", "b"]
