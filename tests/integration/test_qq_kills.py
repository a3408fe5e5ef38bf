"""Replies of the QQ bot while processes are killed: none is lost, none is said twice."""

import asyncio
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hub import replies
from hub.model import Draft
from outbound import qq
from tests.corekit import eventually
from tests.qqkit import PACE, World, world_of

PEOPLE = ("林", "Mia", "小明")
POINTS = ("reply.claimed", "reply.sending", "reply.answered", "reply.recorded", "", "")
MORE = "c2c_replies = 500\nc2c_window_s = 86400"


async def met(world: World) -> None:
    """Everybody has written once, and may be answered often."""
    world.simulator.chats.rules["c2c"].replies = 500
    for name in PEOPLE:
        await world.simulator.write(name, "hello")
    await world.arrived(len(PEOPLE))


async def asked(world: World, numbers: range) -> list[str]:
    """Replies with those numbers, to each person."""
    texts = []
    for name in PEOPLE:
        place = await world.place(name)
        for number in numbers:
            texts.append(f"{name} {number}")
            await world.reply(place, texts[-1])
    return texts


def accepted(world: World) -> int:
    return sum(one["code"] == 0 for one in world.simulator.log("send"))


async def killed(world: World, point: str, source: random.Random) -> None:
    """Run ``hub worker`` until it dies at *point*, or is killed some time after it has said something."""
    environment = {**os.environ, "HUB_FAILPOINT": point} if point else dict(os.environ)
    before = accepted(world)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("hub")),
        "worker",
        "--config",
        str(world.config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    try:
        if not point:
            await eventually(lambda: accepted(world) > before, timeout=60)
            await asyncio.sleep(source.random() * 0.05)
            process.kill()
        await asyncio.wait_for(process.wait(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    # As if its 30 seconds were over.
    await world.core.db.fetch("UPDATE lanes SET lease_until = '-infinity', next_at = '-infinity'")


async def rest(world: World) -> None:
    """Say what is left."""
    stop = asyncio.Event()
    service = asyncio.create_task(replies.ReplyService(world.core, PACE).run(stop))

    async def settled() -> bool:
        rows = await world.rows("outbound")
        return all(row["status"] == "sent" for row in rows)

    try:
        await eventually(settled, timeout=60)
    finally:
        stop.set()
        await service


def each_once(world: World, texts: list[str]) -> None:
    shown = Counter(text for name in PEOPLE for text in world.said(name))
    assert shown == Counter(dict.fromkeys(texts, 1))
    sends = world.simulator.log("send")
    taken = [(one["msg_id"], one["msg_seq"]) for one in sends if one["code"] == 0]
    assert len(taken) == len(set(taken)) == len(texts)
    assert {one["code"] for one in sends} <= {0, 40054005}
    for name in PEOPLE:  # in the order in which they were asked for
        said = world.said(name)
        assert said == sorted(said, key=lambda text: int(text.split()[1]))


async def test_killed_anywhere(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at each step and at random; what may have arrived is asked for again by its number."""
    source = random.Random(20260102)
    async with world_of(tmp_path, database_url, monkeypatch, "ingest", more=MORE) as world:
        await met(world)
        texts: list[str] = []
        for trial, point in enumerate(POINTS):
            texts += await asked(world, range(trial * 4, trial * 4 + 4))
            await killed(world, point, source)
        await rest(world)
        each_once(world, texts)
        assert world.simulator.chats.repeated > 0  # the proof of some of them was the refusal


async def test_answers_that_are_lost(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way of not hearing of it, again and again: each is said once."""
    running = ("ingest", "reply")
    async with world_of(tmp_path, database_url, monkeypatch, *running, more=MORE) as world:
        await met(world)
        for kind in ("drop_answer", "bad_gateway", "drop_request") * 3:
            world.simulator.fail(kind, path="/v2/users", skip=2)  # type: ignore[arg-type]
        texts = await asked(world, range(10))

        async def settled() -> bool:
            rows = await world.rows("outbound")
            return all(row["status"] == "sent" for row in rows)

        await eventually(settled, timeout=60)
        each_once(world, texts)
        assert world.simulator.chats.repeated > 0


async def test_numbers_made_up_at_each_try_are_caught(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof itself: with a number of its own for each try replies are doubled, and it is seen."""
    kept = qq._answering

    def made_up(body: Any, draft: Draft) -> Any:
        return {**kept(body, draft), "msg_seq": random.randrange(10**6)}

    monkeypatch.setattr(qq, "_answering", made_up)
    running = ("ingest", "reply")
    async with world_of(tmp_path, database_url, monkeypatch, *running, more=MORE) as world:
        await met(world)
        world.simulator.fail("drop_answer", path="/v2/users", count=3)
        texts = await asked(world, range(2))
        await eventually(lambda: accepted(world) >= len(texts) + 3, timeout=30)
        with pytest.raises(AssertionError):
            each_once(world, texts)
