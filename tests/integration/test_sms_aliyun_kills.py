"""A batch of 100 while the hub is killed anywhere: all or none is stored, then all, once, in order."""

import asyncio
import contextlib
import os
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hub.core import now
from hub.model import InboundEvent
from hub.store import Database
from hub.store.inbox import Arrived, insert_events
from sandbox.http import free_port
from sandbox.sms import AliyunSimulator
from tests.rig.ground import NOT_PASSED_ON
from tests.rig.process import Process, tail

SIZE = 100
SECRET = "behind-a-secret-segment"
POINTS = ("intake.before_commit", "intake.after_commit")
RANDOM_KILLS = 4
Batch = Sequence[dict[str, Any]]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=2)
    yield database
    await database.close()


@pytest.fixture
async def simulator() -> AsyncIterator[AliyunSimulator]:
    simulator = AliyunSimulator()
    simulator.RETRY_PAUSES = ()
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def web(
    tmp_path: Path, database_url: str, redis_url: str, port: int, simulator: AliyunSimulator
) -> AsyncIterator[Process]:
    """``hub web``, not started yet."""
    config = tmp_path / "hub.toml"
    config.write_text(
        f'[accounts.sms]\nchannel = "sms_aliyun"\naccess_key_id = "id"\naccess_key_secret = "s"\n'
        f'sign_name = "小店"\nintake_secret = "{SECRET}"\n',
        encoding="utf-8",
    )
    own = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    env = own | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "HUB_CONFIG": str(config),
        "HUB_HOST": "127.0.0.1",
        "HUB_PORT": str(port),
        "HUB_DATA_DIR": str(tmp_path),
        "HUB_SECRET_KEY": secrets.token_hex(32),
        "HUB_UNSAFE_DATABASE": "1",
    }
    simulator.callback_url = f"http://127.0.0.1:{port}/in/sms_aliyun/sms/{SECRET}"
    process = Process("web", ["hub", "web"], env, tmp_path / "web.log")
    yield process
    await process.kill()


async def until_it_answers(port: int, web: Process) -> None:
    """The hub takes connections."""
    async with asyncio.timeout(30):
        while True:
            assert web.runs, tail(web.log)
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def batch_of(simulator: AliyunSimulator, number: int) -> Batch:
    """100 answers of many people, some of whom write several times."""
    return [
        simulator.reply(f"+8613800138{place % 37:03}", f"{number}.{place}") for place in range(SIZE)
    ]


async def stored(db: Database, batch: Batch) -> list[str]:
    """The keys of *batch* that are on disk, in the order in which they will be filed."""
    keys = [key_of(one) for one in batch]
    rows = await db.fetch(
        "SELECT dedupe_key FROM inbox WHERE dedupe_key = ANY($1::text[]) ORDER BY id", keys
    )
    return [row["dedupe_key"] for row in rows]


def key_of(element: dict[str, Any]) -> str:
    return f"sequence_id:{element['sequence_id']}:{element['phone_number']}"


async def all_or_none(db: Database, batch: Batch) -> int:
    """How many of *batch* are stored; anything but all or none is a fault."""
    found = await stored(db, batch)
    assert found in ([], [key_of(one) for one in batch]), f"{len(found)} of {SIZE} are stored"
    return len(found)


async def test_killed_anywhere(
    db: Database, web: Process, port: int, simulator: AliyunSimulator
) -> None:
    """At each point and at random moments; the provider pushes again, and nothing is doubled."""
    source = random.Random(20260102)
    kills: list[str | None] = [*POINTS, *[None] * RANDOM_KILLS]
    batches = [batch_of(simulator, number) for number in range(len(kills))]
    outcomes = []
    for number, point in enumerate(kills):
        # The first pass stores again what the last kill met; the second one is the kill.
        armed = {"HUB_FAILPOINT": f"{point}:{2 if number else 1}"} if point else {}
        await web.start(**armed)
        await until_it_answers(port, web)
        if number:
            assert (await simulator.push(batches[number - 1])).acked
            assert await all_or_none(db, batches[number - 1]) == SIZE
        pushing = asyncio.create_task(simulator.push(batches[number]))
        if point is None:
            await asyncio.sleep(source.random() * 0.02)
            await web.kill()
        pushed = await pushing
        await web.wait(20)
        here = await all_or_none(db, batches[number])
        assert not pushed.acked or here == SIZE  # what was answered is on disk
        outcomes.append((point, pushed.acked, here))
    assert outcomes[0] == (POINTS[0], False, 0)
    assert outcomes[1] == (POINTS[1], False, SIZE)
    await web.start()
    await until_it_answers(port, web)
    for batch in batches:  # the provider does not know what was stored
        assert (await simulator.push(batch)).acked
        assert await all_or_none(db, batch) == SIZE
    rows = await db.fetch("SELECT count(*) FROM inbox")
    assert rows[0]["count"] == SIZE * len(batches)


async def test_the_check_sees_a_torn_batch(db: Database, simulator: AliyunSimulator) -> None:
    """A store that commits in two pieces, with a kill between them, is caught."""
    batch = batch_of(simulator, 1)
    events = [
        InboundEvent(dedupe_key=key_of(one), order_key="x", body=b"{}", received_at=now())
        for one in batch[: SIZE // 2]
    ]
    arrived = [Arrived("sms", "sms_aliyun", one) for one in events]
    await db.transaction(lambda tx: insert_events(tx, arrived))
    with pytest.raises(AssertionError):
        await all_or_none(db, batch)
