"""Replies of which nobody knows whether they arrived: never doubled, soon visible."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hub.errors import (
    Ambiguous,
    RateLimited,
    Rejected,
    SendError,
    Unreachable,
    WindowClosed,
)
from hub.ids import show_id
from hub.model import Draft, Receipt
from hub.replies import cancel, resend
from hub.store import Database
from tests.support.replies import QUICK, World, acting, failing, until, until_status


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, pool=12)
    yield database
    await database.close()


async def answer_dropped() -> None:
    raise Ambiguous("connection reset after the request was written")


async def bad_gateway() -> None:
    raise Ambiguous("HTTP 502", external_code=502)


async def late() -> None:
    await asyncio.sleep(QUICK.send_s * 3)


async def dies() -> None:
    raise ConnectionResetError("the platform died")


MODES = [answer_dropped, bad_gateway, late, dies]


@pytest.mark.parametrize("mode", MODES)
async def test_an_ambiguous_call_is_never_repeated(
    db: Database, mode: Callable[[], Awaitable[None]]
) -> None:
    """The platform acted and did not say so: one effect each, and every reply shows as unknown."""
    world = World(db)
    world.platform.script = acting(world, mode)
    conversations = [await world.conversation(f"c{n}") for n in range(25)]
    async with world.serving(QUICK._replace(lanes_each_account=32), processes=2):
        messages = [await world.reply(one, f"to {n}") for n, one in enumerate(conversations)]
        for message in messages:
            await until_status(world, message, "unknown")
        await asyncio.sleep(QUICK.unknown_stands_s + 0.5)

    assert sorted(world.platform.texts()) == sorted(f"to {n}" for n in range(25))
    assert [await world.status(message) for message in messages] == ["unknown"] * 25


async def test_the_lane_goes_on_when_the_unknown_has_stood(db: Database) -> None:
    """The next reply waits a while, then goes; the unknown one stays as it is."""
    world = World(db)
    conversation = await world.conversation()
    hits: list[float] = []

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        hits.append(asyncio.get_running_loop().time())
        if draft.text == "first":
            raise Ambiguous("lost")
        return world.platform.act(draft, results)

    world.platform.script = script
    async with world.serving():
        first = await world.reply(conversation, "first")
        second = await world.reply(conversation, "second")
        await until_status(world, second, "sent")

    assert await world.status(first) == "unknown"
    assert hits[1] - hits[0] >= QUICK.unknown_stands_s * 0.95
    assert await world.told(first) == ["queued", "unknown"]


async def test_the_rest_of_an_unknown_reply_is_given_up_in_the_end(db: Database) -> None:
    """Without a person's word the parts behind the unknown one are not said."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = acting(world, answer_dropped)
    async with world.serving():
        message = await world.reply(conversation, "one\ntwo")
        await until_status(world, message, "unknown")
        await until_status(world, message, "failed")

    assert world.platform.texts() == ["one"]
    assert await world.drafts(message) == ["unknown", "cancelled"]
    assert (await world.body(message))["error"]["code"] == "incomplete"


async def test_a_person_may_send_an_unknown_reply_again(db: Database) -> None:
    """Then it is said again, with the parts behind it, in order."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = acting(world, answer_dropped)
    async with world.serving():
        message = await world.reply(conversation, "one\ntwo")
        await until_status(world, message, "unknown")
        world.platform.script = None
        await resend(world.core, message)
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["one", "one", "two"]
    assert await world.told(message) == ["queued", "unknown", "queued", "sent"]


async def test_cancelling_an_unknown_reply_lets_the_lane_go_on(db: Database) -> None:
    """A person has looked at it: nobody waits any longer."""
    world = World(db)
    conversation = await world.conversation()
    world.platform.script = acting(world, answer_dropped)
    async with world.serving(QUICK._replace(unknown_stands_s=60.0)):
        message = await world.reply(conversation, "one")
        await until_status(world, message, "unknown")
        world.platform.script = None
        following = await world.reply(conversation, "two")
        await cancel(world.core, message)
        await until_status(world, following, "sent")

    assert world.platform.texts() == ["one", "two"]


# --- reconciled -------------------------------------------------------------------------------------


async def test_a_platform_that_can_be_asked_settles_it(db: Database) -> None:
    """It arrived: sent, and not said again."""
    world = World(db, asking=True)
    conversation = await world.conversation()
    world.platform.script = acting(world, answer_dropped)
    asked: list[str] = []

    async def reconcile(draft: Draft) -> Receipt | None:
        asked.append(draft.text or "")
        return Receipt(status="sent", external_id="found") if len(asked) > 1 else None

    world.platform.reconcile_script = reconcile
    async with world.serving(QUICK._replace(unknown_stands_s=30.0)):
        message = await world.reply(conversation, "one")
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["one"]
    assert await world.told(message) == ["queued", "unknown", "sent"]


async def test_another_message_of_the_same_words_settles_nothing(db: Database) -> None:
    """The platform finds the first "ok" when it is asked about the second one."""
    world = World(db, asking=True)
    conversation = await world.conversation()
    pace = QUICK._replace(unknown_stands_s=30.0)
    found: list[str] = []

    async with world.serving(pace):
        first = await world.reply(conversation, "ok")
        await until_status(world, first, "sent")
        known = (await world.body(first))["external_id"]

        async def reconcile(draft: Draft) -> Receipt | None:
            found.append(known)
            return Receipt(status="sent", external_id=known)

        world.platform.reconcile_script = reconcile
        world.platform.script = failing(world, Ambiguous("lost on the way"))
        second = await world.reply(conversation, "ok")

        async def asked_twice() -> bool:
            return len(found) > 1

        await until(asked_twice)

    assert await world.status(second) == "unknown"


async def test_what_never_arrived_is_sent_again(db: Database) -> None:
    """The platform says that it never got it: that is proof, so the reply is repeated."""
    world = World(db, asking=True)
    conversation = await world.conversation()

    async def lost(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        world.platform.script = None
        raise Ambiguous("lost on the way")

    async def reconcile(draft: Draft) -> Receipt | None:
        return Receipt(status="failed")

    world.platform.script = lost
    world.platform.reconcile_script = reconcile
    async with world.serving(QUICK._replace(unknown_stands_s=30.0)):
        message = await world.reply(conversation, "one")
        await until_status(world, message, "sent")

    assert world.platform.texts() == ["one"]


async def test_a_call_that_the_platform_removes_repeats_of_is_made_again(db: Database) -> None:
    """The platform guards against the double, so there is nothing to ask anybody."""
    world = World(db, repeatable=True)
    conversation = await world.conversation()
    seen: set[str] = set()
    effects: list[str] = []

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        if draft.extra["key"] not in seen:  # the platform's own guard
            seen.add(draft.extra["key"])
            effects.append(draft.text or "")
            raise Ambiguous("answer lost")
        return Receipt(status="sent", external_id="known already")

    world.platform.script = script
    async with world.serving():
        message = await world.reply(conversation, "one\ntwo")
        await until_status(world, message, "sent")

    assert effects == ["one", "two"]
    assert await world.told(message) == ["queued", "sent"]


@pytest.mark.parametrize(
    "later",
    [Unreachable("refused"), RateLimited("slower"), Rejected("no"), WindowClosed("over")],
    ids=lambda error: error.code,
)
async def test_what_may_have_arrived_once_never_ends_as_not_sent(
    db: Database, later: SendError
) -> None:
    """The first try arrived and its answer was lost: what later tries meet proves nothing about it."""
    world = World(db, windowed=True, repeatable=True)
    conversation = await world.conversation()
    await world.allow(conversation, 5)

    async def script(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        if not world.platform.log:
            world.platform.act(draft, results)
            raise Ambiguous("answer lost")
        raise later

    world.platform.script = script
    async with world.serving():
        message = await world.reply(conversation, "one")
        await until_status(world, message, "unknown")

    assert await world.told(message) == ["queued", "unknown"]
    assert await world.left(conversation) == 4
    assert "may have arrived" in (await world.body(message))["error"]["detail"]


async def test_what_the_platform_takes_for_a_repeat_no_longer_is_not_made_again(
    db: Database,
) -> None:
    """The hub was away for longer than the platform remembers."""
    world = World(db, repeatable=True)
    world.sender.repeatable_for_s = 0.5
    conversation = await world.conversation()
    world.platform.script = acting(world, answer_dropped)
    pace = QUICK._replace(retries_s=(1.0,) * 5)
    async with world.serving(pace):
        message = await world.reply(conversation, "one")
        await until_status(world, message, "unknown")

    assert world.platform.texts() == ["one"]


async def test_what_was_said_lately_is_known_to_the_channel(db: Database) -> None:
    """What stands before the reply, and not the reply itself when it is composed again."""
    world = World(db, remembers=True)
    conversation = await world.conversation()
    first = await world.reply(conversation, "one")
    second = await world.reply(conversation, "two\nthree")
    third = await world.reply(conversation, "four")
    async with world.serving():
        for message in (first, second, third):
            await until_status(world, message, "sent")

    key = "{}-{}".format
    shown = [show_id("msg", one) for one in (first, second)]
    known = {key(shown[0], 0), key(shown[1], 0), key(shown[1], 1)}
    assert set(world.sender.lately[show_id("msg", third)]) == known
    assert world.sender.lately[show_id("msg", first)] == []


# --- killed -----------------------------------------------------------------------------------------


async def _killed_at(point: str, url: str, log: Path, *arguments: str) -> int:
    """Run a worker process until it kills itself at *point*; its exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.reply_worker", url, str(log), *arguments],
        env={**os.environ, "HUB_FAILPOINT": f"{point}:1"},
        cwd=Path(__file__).parents[2],
    )
    try:
        return await asyncio.to_thread(process.wait, 20)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "point, effects, end",
    [
        ("reply.claimed", [], "sent"),
        ("reply.sending", [], "unknown"),
        ("reply.answered", ["hello"], "unknown"),
        ("reply.recorded", ["hello"], "sent"),
    ],
)
async def test_a_worker_killed_on_the_way(
    db: Database, database_url: str, tmp_path: Path, point: str, effects: list[str], end: str
) -> None:
    """Before the intent: another says it. After: unknown, once, and never a second effect."""
    world = World(db)
    log = tmp_path / "platform.log"
    conversation = await world.conversation()
    message = await world.reply(conversation, "hello")
    status = await _killed_at(point, database_url, log)
    assert status == -9
    assert (log.read_text().split() if log.exists() else []) == effects

    async with world.serving():
        await until_status(world, message, end)
        await asyncio.sleep(1.0)

    again = ["hello"] if point == "reply.claimed" else []
    assert world.platform.texts() == again
    assert await world.status(message) == end
    assert (await world.told(message)).count("unknown") == (1 if end == "unknown" else 0)


# --- fenced -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, end", [("file:huge", "failed"), ("one", "unknown")])
async def test_a_call_that_ends_its_process_again_and_again_is_given_up(
    db: Database, text: str, end: str
) -> None:
    """A file that no process survives must not take down one after the other for ever."""
    world = World(db, repeatable=True)
    conversation = await world.conversation()
    message = await world.reply(conversation, text)
    behind = await world.reply(conversation, "two")
    await db.fetch(
        "UPDATE drafts SET state = 'sending', started_at = now(), tries = $2 "
        "WHERE message_id = $1 AND position = 0",
        message,
        len(QUICK.retries_s) + 1,
    )
    async with world.serving():
        assert await until_status(world, message, "failed", "unknown") == end
        await until_status(world, behind, "sent")

    assert (world.platform.prepared, world.platform.texts()) == ([], ["two"])


async def test_a_holder_that_stalled_past_its_lease_writes_nothing_more(db: Database) -> None:
    """Its answer comes after another has the lane: it is thrown away, and nothing is said twice."""
    world = World(db)
    conversation = await world.conversation()
    gate = asyncio.Event()

    async def stalled(draft: Draft, results: Mapping[str, Any]) -> Receipt:
        receipt = world.platform.act(draft, results)
        await gate.wait()
        return receipt

    world.platform.script = stalled
    message = await world.reply(conversation, "hello")
    other = World(db)
    async with world.serving(QUICK._replace(lease_s=60.0, send_s=30.0, renew_s=60.0)) as services:
        await until(lambda: _said(world))
        # The first process was stopped for a while: its lease is over, and it does not know.
        await db.fetch("UPDATE lanes SET lease_until = '-infinity'")
        async with other.serving():
            await until_status(world, message, "unknown")
            gate.set()
            await until(lambda: _idle(services[0]))

    assert world.platform.texts() == ["hello"]
    assert other.platform.texts() == []
    assert await world.status(message) == "unknown"
    assert await world.drafts(message) == ["unknown"]
    assert await world.told(message) == ["queued", "unknown"]


async def test_no_call_is_begun_that_could_outlive_the_lease(db: Database) -> None:
    """With less of the lease left than a call may take, the socket stays shut."""
    world = World(db)
    conversation = await world.conversation()
    message = await world.reply(conversation, "hello")
    async with world.serving(QUICK._replace(lease_s=1.0, send_s=2.0)):
        await asyncio.sleep(0.5)

    assert world.platform.seen == []
    assert await world.status(message) in ("queued", "sending")


async def _said(world: World) -> bool:
    return bool(world.platform.log)


async def _idle(service: Any) -> bool:
    return not service._running
