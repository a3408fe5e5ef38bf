"""The gateway: events come once and in order, whatever becomes of the connection."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from adapters import _qq_gateway
from hub.listening import Listening
from tests.corekit import background, eventually, file_all
from tests.qqkit import World, world_of

KILLS = 40


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_qq_gateway, "PAUSES_S", (0.05, 0.1))
    monkeypatch.setattr(_qq_gateway, "FORGET_S", 0.05)
    monkeypatch.setattr(_qq_gateway, "SOUND_AFTER_S", 0.0)


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    running, more = ("ingest", "reply", "listen"), 'intake = "gateway"'
    async with world_of(tmp_path, database_url, monkeypatch, *running, more=more) as made:
        await eventually(lambda: made.simulator.gateway.connected == 1, timeout=30)
        yield made


async def texts(world: World, count: int) -> list[str]:
    return [one["text"] for one in await world.arrived(count)]


async def kept(world: World) -> dict[str, object]:
    rows = await world.core.db.fetch("SELECT value FROM checkpoints WHERE key = 'gateway'")
    return msgspec.json.decode(rows[0]["value"]) if rows else {}


async def test_the_whole_way(world: World) -> None:
    """Identified with the intents of the settings; a message comes, and is answered."""
    assert world.simulator.log("identify")[0]["intents"] == sum(
        1 << bit for bit in (12, 25, 26, 27, 30)
    )
    await world.simulator.write("林", "hello")
    assert await texts(world, 1) == ["hello"]
    await world.status(await world.reply(await world.place("林"), "here"), "sent")
    assert world.said("林") == ["here"]
    assert (await kept(world))["seq"] == 2


async def test_a_tap_is_acknowledged(world: World) -> None:
    await world.simulator.tap("林", "a")
    await world.arrived(1)
    await eventually(lambda: len(world.simulator.api.acknowledged) == 1)


@pytest.mark.parametrize("how", ["cut", "4009", "4007", "4004", "4900", "1006", "op7", "op9"])
async def test_what_is_said_meanwhile_is_not_lost(world: World, how: str) -> None:
    """Resumed where it was; where the session is over, begun anew, and the rest is there."""
    gateway = world.simulator.gateway
    await world.simulator.write("林", "before")
    assert await texts(world, 1) == ["before"]
    if how == "op9":
        gateway.forget()
    if how == "op7":
        await gateway.ask_to_reconnect()
    elif how in ("cut", "op9"):
        gateway.cut()
    else:
        await gateway.close(int(how) if how != "1006" else 1001)
    resumed = how in ("cut", "4009", "1006", "op7")
    if resumed:
        await world.simulator.write("林", "meanwhile")
    await eventually(lambda: gateway.connected == 1, timeout=30)
    await world.simulator.write("林", "after")
    expected = ["before", *(["meanwhile"] if resumed else []), "after"]
    assert await texts(world, len(expected)) == expected
    assert bool(world.simulator.log("resume")) == resumed


async def test_a_gateway_that_is_silent_is_left(world: World) -> None:
    """A heartbeat without an answer: the connection is dead, and the session goes on in the next."""
    gateway = world.simulator.gateway
    gateway.heartbeat_ms = 60
    gateway.cut()
    await eventually(lambda: gateway.connected == 1 and len(gateway.beats) > 2, timeout=30)
    gateway.deaf = True
    before = len(world.simulator.log("resume"))
    await eventually(lambda: len(world.simulator.log("resume")) > before, timeout=30)
    gateway.deaf = False
    await world.simulator.write("林", "still here")
    assert await texts(world, 1) == ["still here"]
    assert set(gateway.beats) - {None} <= {1, 2}


async def test_what_cannot_be_mended_stops_and_is_told(world: World) -> None:
    """An intent that the bot has no right to: no use to come again every second."""
    gateway = world.simulator.gateway
    gateway.forbidden_bits = frozenset({27})
    gateway.forget()
    gateway.cut()

    async def told() -> bool:
        rows = await world.core.db.fetch("SELECT listener_state, listener_error FROM accounts")
        return bool(rows) and "leave it out of intents" in (rows[0]["listener_error"] or "")

    await eventually(told, timeout=30)
    tried = len(world.simulator.log("identify"))
    await asyncio.sleep(0.3)
    assert len(world.simulator.log("identify")) == tried


async def test_killed_anywhere_nothing_is_lost_or_doubled(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener ends at random points while people write; each message is there, once, in order."""
    source = random.Random(20260102)
    more = 'intake = "gateway"'
    async with world_of(tmp_path, database_url, monkeypatch, more=more) as world:
        said: dict[str, list[str]] = {"林": [], "Mia": [], "小明": []}

        async def crowd() -> None:
            for number in range(10**6):
                name = source.choice(list(said))
                said[name].append(str(number))
                await world.simulator.write(name, str(number))
                await asyncio.sleep(source.random() * 0.01)

        async def listen(until: object = None) -> None:
            owner = asyncio.create_task(Listening(world.core).run())
            if callable(until):
                await eventually(until, timeout=30)
            else:
                await asyncio.sleep(source.random() * 0.2)
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)
            await world.core.db.fetch("UPDATE leases SET lease_until = now()")

        await listen(lambda: world.simulator.gateway.connected == 1)
        async with background(crowd()):
            for kill in range(KILLS):
                if kill % 3 == 0:
                    world.simulator.gateway.cut()
                await listen()

        async def all_there() -> bool:
            rows = await world.core.db.fetch("SELECT count(*) FROM inbox")
            return int(rows[0]["count"]) >= sum(map(len, said.values()))

        await listen(all_there)
        await file_all(world.core)
        arrived: dict[str, list[str]] = {world.simulator.openid(name): [] for name in said}
        for row in await world.rows():
            arrived[row["thread_key"].removeprefix("c2c:")].append(
                msgspec.json.decode(row["body"])["text"]
            )
        for name, expected in said.items():
            assert arrived[world.simulator.openid(name)] == expected
        assert sum(map(len, said.values())) > KILLS
