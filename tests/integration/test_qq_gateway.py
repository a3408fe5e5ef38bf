"""The gateway: events come once and in order, whatever becomes of the connection."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters import _qq_gateway
from hub.listening import Listening, StoreEmit
from hub.model import Checkpoint, InboundEvent
from hub.store import Transaction
from hub.store.inbox import Arrived, insert_events, save_checkpoint
from tests.corekit import eventually, file_all
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


async def trial(world: World, kills: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What people have said, and what has arrived, when the listener ended *kills* times meanwhile."""
    source = random.Random(20260102)
    said: dict[str, list[str]] = {"林": [], "Mia": [], "小明": []}

    enough = asyncio.Event()

    async def crowd() -> None:
        """Everybody ends their sentence: what is half written is not said."""
        for number in itertools.count():
            if enough.is_set():
                return
            name = source.choice(list(said))
            said[name].append(str(number))
            await world.simulator.write(name, str(number))
            await asyncio.sleep(source.random() * 0.01)

    async def listen(until: Callable[[], Any] | None = None) -> None:
        owner = asyncio.create_task(Listening(world.core).run())
        if until is not None:
            await eventually(until, timeout=30)
        else:
            await asyncio.sleep(source.random() * 0.2)
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        await world.core.db.fetch("UPDATE leases SET lease_until = now()")

    # A session that nobody has kept cannot be resumed: what is said to it is the platform's to lose.
    await listen(lambda: kept(world))
    writing = asyncio.create_task(crowd())
    for kill in range(kills):
        if kill % 3 == 0:
            world.simulator.gateway.cut()
        await listen()
    enough.set()
    await writing
    # The last one is behind all others in the gateway's order.
    said["林"].append("the last")
    await world.simulator.write("林", "the last")

    async def all_there() -> bool:
        rows = await world.core.db.fetch(
            "SELECT FROM inbox WHERE position('the last'::bytea IN body) > 0"
        )
        return bool(rows)

    await listen(all_there)
    await file_all(world.core)
    names = {world.simulator.openid(name): name for name in said}
    arrived: dict[str, list[str]] = {name: [] for name in said}
    for row in await world.rows():
        text = msgspec.json.decode(row["body"])["text"]
        arrived[names[row["thread_key"].removeprefix("c2c:")]].append(text)
    return said, arrived


async def test_killed_anywhere_nothing_is_lost_or_doubled(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener ends at random points while people write; each message is there, once, in order."""
    more = 'intake = "gateway"'
    async with world_of(tmp_path, database_url, monkeypatch, more=more) as world:
        said, arrived = await trial(world, KILLS)
        assert arrived == said
        assert sum(map(len, said.values())) > KILLS


async def test_a_place_that_is_kept_before_its_events_is_caught(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof itself: two transactions in place of one, the wrong way round, and a kill between."""

    async def apart(
        self: StoreEmit, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        async def first(tx: Transaction) -> None:
            if checkpoint is not None:
                await save_checkpoint(tx, "listener:bot", self._epoch, "bot", checkpoint)

        await self._core.db.transaction(first)
        await asyncio.sleep(0.02)
        stored = [Arrived("bot", "qq", event) for event in events]
        await self._core.db.transaction(lambda tx: insert_events(tx, stored))

    monkeypatch.setattr(StoreEmit, "__call__", apart)
    more = 'intake = "gateway"'
    async with world_of(tmp_path, database_url, monkeypatch, more=more) as world:
        said, arrived = await trial(world, KILLS // 2)
        assert arrived != said
