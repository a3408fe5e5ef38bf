"""Pulling is killed at random points: cursor and messages never disagree."""

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.listening import Listening, StoreEmit
from hub.model import Checkpoint, InboundEvent
from hub.store import Database, Transaction, leases
from hub.store.inbox import Arrived, insert_events, save_checkpoint
from tests.corekit import background, eventually, file_all
from tests.kefukit import World, world_of

KILLS = 60
PROCESSES = 3
RELEASE = leases.release


async def agree(world: World) -> None:
    """In one look at the database: what a cursor leads past is stored, and nothing else is."""
    simulator = world.simulator
    rows = await world.core.db.fetch(
        "SELECT (SELECT jsonb_object_agg(key, value)::text FROM checkpoints) AS cursors, "
        "(SELECT array_agg(dedupe_key) FROM inbox) AS keys"
    )
    cursors = msgspec.json.decode(rows[0]["cursors"] or "{}", type=dict[str, Any])
    stored = {key for key in rows[0]["keys"] or () if key.startswith("kf:")}
    led_past = set()
    for desk in simulator.desks.all():
        cursor = cursors.get(f"sync_msg:{desk.open_kfid}", {}).get("cursor")
        after = simulator.desks.page(desk, cursor, 10**6)[0]
        passed = simulator.feed(desk.open_kfid)[: len(desk.items) - len(after)]
        led_past |= {f"kf:{item['msgid']}" for item in passed if cursor}
    assert led_past == stored


class Crowd:
    """Customers who write numbered messages at two desks, and a platform that has its moments."""

    def __init__(self, world: World, source: random.Random) -> None:
        self._simulator, self._source = world.simulator, source
        self._desks = [world.desk, world.simulator.desks.open("售后")]
        self._customers = [world.simulator.meet(str(number)) for number in range(6)]
        self.said: dict[str, list[str]] = defaultdict(list)
        self.total = 0

    async def write(self) -> None:
        """Until cancelled; half of it is announced."""
        while True:
            for _ in range(self._source.randrange(1, 4)):
                self.total += 1
                desk = self._source.choice(self._desks)
                customer = self._source.choice(self._customers)
                self._simulator.write(desk, customer, content=str(self.total))
                self.said[f"{desk}:{customer}"].append(str(self.total))
            if self._source.random() < 0.5:
                await self._simulator.ring(self._source.choice(self._desks))
            await asyncio.sleep(self._source.random() * 0.03)

    def trouble(self) -> None:
        """An answer that gets lost, too many calls, or tokens that end; mostly nothing."""
        roll = self._source.random()
        if roll < 0.2:
            self._simulator.fail("drop_answer", path="/cgi-bin/kf/sync_msg")
        elif roll < 0.3:
            self._simulator.fail("errcode", code=45033, path="/cgi-bin/kf/sync_msg")
        elif roll < 0.4:
            self._simulator.tokens.expire_all()
        elif roll < 0.5:
            for desk in self._simulator.desks.all():
                desk.tokens.clear()


async def listen_for(world: World, seconds: float | None, total: int = 0) -> None:
    """Own the listener for some *seconds*, or until *total* messages are stored."""
    owner = asyncio.create_task(Listening(world.core).run())
    if seconds is None:
        await eventually(lambda: _stored(world, total), timeout=30)
    else:
        await asyncio.sleep(seconds)
    owner.cancel()
    await asyncio.gather(owner, return_exceptions=True)
    await expire_lease(world)


async def expire_lease(world: World) -> None:
    """As if its 30 seconds were over."""
    await world.core.db.fetch("UPDATE leases SET lease_until = now() WHERE name LIKE 'listener:%'")


async def agree_through(world: World, source: random.Random) -> None:
    """Kill and look, again and again."""
    for _ in range(KILLS):
        await listen_for(world, source.random() * 0.15)
        await agree(world)


async def test_killed_anywhere_nothing_is_lost_or_doubled(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener ends at random points while customers write; half the time its lease stays behind.

    After each kill cursor and messages agree; in the end every message is there, once, in order.
    """
    source = random.Random(20260102)
    async with world_of(tmp_path, database_url, monkeypatch) as world:
        world.simulator.api.page_size, world.simulator.api.empty_pages = 3, True
        crowd = Crowd(world, source)
        async with background(crowd.write()):
            for kill in range(KILLS):
                crowd.trouble()
                with monkeypatch.context() as patch:
                    if kill % 2:
                        patch.setattr(leases, "release", _forget)
                    await listen_for(world, source.random() * 0.15)
                await agree(world)
        world.simulator.faults.clear()
        await listen_for(world, None, crowd.total)
        await agree(world)
        await file_all(world.core)
        arrived: dict[str, list[str]] = defaultdict(list)
        for row in await world.rows():
            arrived[row["thread_key"]].append(msgspec.json.decode(row["body"])["text"])
        assert crowd.total > KILLS
        assert dict(arrived) == dict(crowd.said)


async def _forget(db: Database, name: str, epoch: int) -> None:
    """A process that was killed does not give its listener back."""
    if not name.startswith("listener:"):
        await RELEASE(db, name, epoch)


async def test_killed_processes_lose_and_double_nothing(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL to ``hub listen`` while it pulls: nothing of it runs any more, and the next goes on."""
    source = random.Random(20260103)
    command = [str(Path(sys.executable).with_name("hub")), "listen", "--config"]
    async with world_of(tmp_path, database_url, monkeypatch) as world:
        world.simulator.api.page_size, world.simulator.api.sync_seconds = 3, 0.005
        crowd = Crowd(world, source)
        async with background(crowd.write()):
            for _ in range(PROCESSES):
                before = await count(world)
                process = await asyncio.create_subprocess_exec(
                    *command, str(tmp_path / "hub.toml"), stderr=asyncio.subprocess.DEVNULL
                )
                await eventually(lambda before=before: _stored(world, before + 1), timeout=30)
                await asyncio.sleep(source.random() * 0.1)
                process.kill()
                await process.wait()
                await expire_lease(world)
                await agree(world)
        await listen_for(world, None, crowd.total)
        await agree(world)
        assert await count(world) == crowd.total


async def test_a_cursor_that_is_stored_first_is_caught(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof itself: two transactions in place of one, and a kill comes between them."""

    async def apart(
        self: StoreEmit, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        async def first(tx: Transaction) -> None:
            if checkpoint is not None:
                await save_checkpoint(tx, "listener:shop", self._epoch, "shop", checkpoint)

        await self._core.db.transaction(first)
        await asyncio.sleep(0.005)
        arrived = [Arrived("shop", "wechat_kefu", event) for event in events]
        await self._core.db.transaction(lambda tx: insert_events(tx, arrived))

    monkeypatch.setattr(StoreEmit, "__call__", apart)
    source = random.Random(20260102)
    async with world_of(tmp_path, database_url, monkeypatch) as world:
        world.simulator.api.page_size = 1
        async with background(Crowd(world, source).write()):
            with pytest.raises(AssertionError):
                await agree_through(world, source)


async def count(world: World) -> int:
    """How many items are stored."""
    rows = await world.core.db.fetch("SELECT count(*) FROM inbox WHERE dedupe_key LIKE 'kf:%'")
    return int(rows[0]["count"])


async def _stored(world: World, wanted: int) -> bool:
    return await count(world) >= wanted
