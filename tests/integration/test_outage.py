"""A helpdesk that is ill in every way for an hour, at six hundred times the speed.

The long form, in real time and with real processes, is ``./hubctl bench --only g``.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import pytest

from hub import delivery
from hub.core import Core
from hub.delivery import Deliverer, target
from hub.store.models import Delivery, DestinationRow
from tests.corekit import background, eventually, file_all, opened, settings_for, store
from tests.rig.moody import MOODS, Came, Moody

SCALE = 600
MOOD_S = 3600 / len(MOODS) / SCALE
PEOPLE, EACH = 40, 50
ONLY_MESSAGES = ("message.received", "delivery.gap")


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry clock, six hundred times as fast."""
    monkeypatch.setattr(target, "PROBES_S", tuple(one / SCALE for one in target.PROBES_S))
    monkeypatch.setattr(target, "PROBE_S", target.PROBE_S / SCALE)
    monkeypatch.setattr(delivery, "FAULT_PAUSE_S", 0.02)
    monkeypatch.setattr(delivery, "POLL_S", 0.05)


@pytest.fixture
async def desk() -> AsyncIterator[Moody]:
    made = Moody(late_s=1.0)
    await made.start()
    yield made
    await made.stop()


async def write(core: Core, numbers: Sequence[int]) -> None:
    """Each of the people writes each of *numbers*."""
    for number in numbers:
        await store(
            core,
            *(
                {"from": f"p{who}", "text": f"{number}", "id": f"p{who}-{number}"}
                for who in range(PEOPLE)
            ),
        )
        await file_all(core)


def check(came: Sequence[Came], count: int) -> None:
    """Everything was taken once, in order; a repeat has the same id and the same bytes."""
    taken = [one for one in came if one.mood == "well"]
    assert len(taken) == len({one.event for one in taken}) == count
    lanes: dict[str, list[int]] = defaultdict(list)
    bodies: dict[tuple[str, int], set[tuple[str, bytes]]] = defaultdict(set)
    for one in came:
        lanes[one.lane].append(one.n)
        bodies[one.lane, one.n].add((one.event, one.body))
    assert all(numbers == sorted(numbers) for numbers in lanes.values())
    assert all(len(seen) == 1 for seen in bodies.values())


@pytest.mark.usefixtures("scaled")
async def test_an_hour_of_every_illness(database_url: str, desk: Moody) -> None:
    """Nothing is lost, the order is kept, one probe speaks for all, and all flows when it is well again."""
    settings = settings_for(desk.url, events=ONLY_MESSAGES, timeout_s=0.3)
    async with opened(database_url, settings) as core:
        await write(core, [0])
        async with background(Deliverer(core).run()):
            await eventually(lambda: len(desk.taken()) == PEOPLE)
            for place, mood in enumerate(MOODS):
                await desk.be(mood)
                waits = asyncio.create_task(asyncio.sleep(MOOD_S))
                await write(core, range(place * 8 + 1, place * 8 + 9))
                await waits
                assert (await DestinationRow.get()).state == "open"
            tried = [one for one in desk.came if one.mood != "well"]
            assert 3 <= len(tried) < 2 * 16 * len(MOODS)  # not each lane, again and again
            assert await Delivery.filter(state=2).count() == 0
            await write(core, [EACH - 1])
            await desk.be("well")
            back = time.monotonic()
            await eventually(lambda: len(desk.taken()) == PEOPLE * EACH, timeout=60)
        check(desk.came, PEOPLE * EACH)
        first = next(one.at for one in desk.taken() if one.at > back)
        assert first - back < 50 / SCALE + 5  # what the machine itself takes, when it is busy
