"""Web and worker as processes of their own, killed at random points while people write and are answered."""

import asyncio
import os
import random
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.running import opened
from sandbox.http import free_port
from sandbox.onebot import OneBotSimulator
from tests.corekit import eventually
from tests.onebotkit import CONFIG, WAYS, World
from tests.rig.process import Process

ROOT = Path(__file__).parents[2]
KILLS = 8
PEOPLE = range(30_001, 30_013)


@asynccontextmanager
async def processes_of(
    folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, dict[str, Process]]]:
    """A hub of two processes, which have nothing but the database in common."""
    simulator = OneBotSimulator(time_scale=0.05)
    for number in PEOPLE:
        simulator.world.befriend(number, str(number))
    group = simulator.world.found(20002000, "all", {})
    port = free_port()
    made = simulator.credentials
    facts = {"self_id": made.self_id, "access_token": made.access_token}
    config = folder / "hub.toml"
    text = CONFIG.format(folder=folder, groups="all", more=WAYS["reverse"].format(**facts), **facts)
    config.write_text(text)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("HUB_SECRET_KEY", secrets.token_hex(32))
    monkeypatch.delenv("REDIS_URL", raising=False)
    own = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    own |= {"HUB_CONFIG": str(config), "HUB_PORT": str(port), "PYTHONPATH": str(ROOT)}
    running = {
        name: Process(name, ["hub", name], own, folder / f"{name}.log")
        for name in ("web", "worker")
    }
    simulator.websocket_url = f"ws://127.0.0.1:{port}/in/onebot/shop"
    async with opened(config, "test") as core:
        try:
            for process in running.values():
                await process.start()
            await simulator.start()
            yield World(core, simulator, group), running
        finally:
            for process in running.values():
                await process.kill()
            await simulator.stop()


async def test_killed_anywhere_nothing_is_lost_or_said_twice(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message is filed once and in order; each reply is said at most once and its end is known.

    What the web process had read and not stored is asked for by the next one.
    """
    source = random.Random(20261122)
    said: dict[int, list[str]] = defaultdict(list)
    replies: dict[Any, str] = {}
    async with processes_of(tmp_path, database_url, monkeypatch) as (world, running):
        await world.simulator.connected(60.0)

        async def write(count: int) -> None:
            for _ in range(count):
                number = source.choice(PEOPLE)
                said[number].append(f"{number}/{len(said[number])}")
                await world.simulator.say(number, said[number][-1])
                await asyncio.sleep(source.random() * 0.02)

        async def answer(number: int) -> None:
            text = f"reply to {number}"
            replies[await world.reply(f"private:{number}", text=text)] = text

        for number in PEOPLE:
            said[number].append(f"{number}/0")
            await world.simulator.say(number, said[number][0])
        await world.arrived(len(PEOPLE))
        unanswered = list(PEOPLE)
        for kill in range(KILLS):
            victim = running["web" if kill % 2 else "worker"]
            writing = asyncio.create_task(write(12))
            for number in (unanswered.pop(), unanswered.pop()) if kill < len(PEOPLE) // 2 else ():
                await answer(number)
            await asyncio.sleep(source.random() * 0.25)
            await victim.kill()
            await writing
            await victim.start()
            await world.simulator.connected(60.0)
        total = sum(map(len, said.values()))

        async def all_there() -> bool:
            return len(await world.rows()) >= total

        async def all_ended() -> bool:
            rows = await world.rows("outbound")
            return {row["status"] for row in rows} <= {"sent", "unknown"}

        await eventually(all_there, 60.0)
        await eventually(all_ended, 80.0)
        found: dict[str, list[str]] = defaultdict(list)
        for row, body in zip(await world.rows(), await world.bodies(), strict=True):
            found[row["thread_key"]].append(body["text"])
        assert dict(found) == {f"private:{number}": texts for number, texts in said.items()}
        spoken = Counter(one["text"] for one in world.simulator.log("send"))
        assert max(spoken.values()) == 1
        sent = {row["id"] for row in await world.rows("outbound") if row["status"] == "sent"}
        assert {replies[one] for one in sent} <= spoken.keys()
        assert await world.core.db.fetch("SELECT 1 FROM notices") == []


async def test_a_web_process_ends_in_good_order_with_connections_open(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM closes them; what is said until the next process is there is asked for."""
    number = PEOPLE[0]
    async with processes_of(tmp_path, database_url, monkeypatch) as (world, running):
        await world.simulator.connected(60.0)
        await world.simulator.say(number, "before")
        await world.arrived(1)
        assert await running["web"].terminate() < 8.0  # without a word to them it would be 10
        assert running["web"].status == 0
        await world.simulator.say(number, "while nobody listens")
        await running["web"].start()
        await world.simulator.connected(60.0)
        messages = await world.arrived(2)
        assert [one["text"] for one in messages] == ["before", "while nobody listens"]
