"""Listeners: one owner, checkpoints in the transaction of the events, and a fence for the late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hub import listening
from hub.bells import Bells
from hub.channel import Bell, Emit, Wake
from hub.core import Core
from hub.errors import BadCredentials
from hub.listening import Listening, StoreEmit
from hub.model import Checkpoint
from hub.store import Database, leases
from hub.store.inbox import LeaseLost
from hub.store.models import AccountState, Inbox
from tests.corekit import CHANNEL, background, event, eventually, opened, settings_for, twin


class Counting:
    """A listener that emits one event a turn, after the checkpoint that it finds."""

    running = 0
    most = 0

    def __init__(self) -> None:
        self.bells: list[Bell] = []

    async def listen(self, emit: Emit, wake: Wake) -> None:
        Counting.running += 1
        Counting.most = max(Counting.most, Counting.running)
        try:
            found = await emit.checkpoint("place") or {"n": 0}
            number = found["n"]
            while True:
                number += 1
                said = event({"text": str(number), "id": str(number)})
                await emit([said], Checkpoint("place", {"n": number}))
                if bell := await wake.wait(0.02):
                    self.bells.append(bell)
        finally:
            Counting.running -= 1


def with_listener(core: Core, listener: Any) -> None:
    """Let every account of *core* have *listener*."""
    core.accounts = SimpleNamespace(get=lambda name: SimpleNamespace(listener=listener))  # type: ignore[assignment]


SETTINGS = settings_for(
    channel=msgspec.structs.replace(CHANNEL, listener=lambda account, tools: None)
)


async def test_one_process_listens(database_url: str) -> None:
    """Of three processes one runs the listener; every event is stored once."""
    Counting.most = 0
    async with opened(database_url, SETTINGS) as core:
        with_listener(core, Counting())
        services = [Listening(twin(core, f"p{n}")) for n in range(3)]
        async with background(*(service.run() for service in services)):
            await eventually(lambda: _stored(10))
        assert Counting.most == 1
        assert (await AccountState.get(name="shop")).listener_state == "listening"


async def _stored(count: int) -> bool:
    return await Inbox.all().count() >= count


async def test_the_next_owner_goes_on_where_the_last_one_stopped(database_url: str) -> None:
    """The checkpoint is where the events are: nothing is skipped or repeated."""
    async with opened(database_url, SETTINGS) as core:
        with_listener(core, Counting())
        for _ in range(2):
            before = await Inbox.all().count()
            async with background(Listening(twin(core, "p")).run()):
                await eventually(lambda before=before: _stored(before + 3))
        numbers = [
            msgspec.json.decode(row.body or b"")["text"] for row in await Inbox.all().order_by("id")
        ]
        assert numbers == [str(n) for n in range(1, len(numbers) + 1)]


async def test_a_late_owner_stores_nothing(database_url: str) -> None:
    """After the lease went to another process, events and checkpoint are refused together."""
    async with opened(database_url, SETTINGS) as core:
        epoch = await leases.acquire(core.db, "listener:shop", "old")
        assert epoch is not None
        await core.db.fetch("UPDATE leases SET lease_until = now() - interval '1 second'")
        assert await leases.acquire(core.db, "listener:shop", "new") == epoch + 1
        emit = StoreEmit(core, "shop", "test", "listener:shop", epoch)
        with pytest.raises(LeaseLost):
            await emit([event({"text": "late", "id": "1"})], Checkpoint("place", {"n": 9}))
        assert await Inbox.all().count() == 0
        assert await emit.checkpoint("place") is None


async def test_a_bell_wakes_the_listener_with_what_the_callback_brought(database_url: str) -> None:
    """A callback that is only a bell reaches the account's listener."""
    async with opened(database_url, SETTINGS) as core:
        listener = Counting()
        with_listener(core, listener)
        async with background(Listening(core).run()):
            await eventually(lambda: _stored(1))
            core.bells.ring("listen:shop", {"key": "kf", "facts": {"token": "t"}})
            await eventually(lambda: listener.bells)
        assert listener.bells == [Bell("kf", {"token": "t"})]


async def test_a_listener_that_fails_is_shown_and_tried_again(database_url: str) -> None:
    """The reason stands where `hub status` reads it."""

    class Failing:
        async def listen(self, emit: Emit, wake: Wake) -> None:
            raise RuntimeError("wrong password")

    async with opened(database_url, SETTINGS) as core:
        with_listener(core, Failing())
        async with background(Listening(core).run()):
            await eventually(lambda: AccountState.filter(listener_state="failing").exists())
        assert (
            await AccountState.get(name="shop")
        ).listener_error == "RuntimeError: wrong password"


async def test_a_try_that_hangs_does_not_pass_for_listening(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure the reason stands until it has gone on for some time: most tries end soon."""
    tries: list[asyncio.Event] = []

    class Unreachable:
        async def listen(self, emit: Emit, wake: Wake) -> None:
            tries.append(asyncio.Event())
            if len(tries) == 1:
                raise OSError("no such host")
            await tries[-1].wait()
            raise OSError("no answer")

    async def state() -> str | None:
        return (await AccountState.get(name="shop")).listener_state

    async with opened(database_url, SETTINGS) as core:
        with_listener(core, Unreachable())
        async with background(Listening(core).run()):
            await eventually(lambda: len(tries) == 2, 30)
            assert await state() == "failing"
            monkeypatch.setattr("hub.listening.SOUND_AFTER_S", 0.2)
            tries[1].set()
            await eventually(lambda: len(tries) == 3, 30)
            await eventually(lambda: AccountState.filter(listener_state="listening").exists(), 30)


async def test_that_a_listener_is_well_again_is_noted_once_it_can_be(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away at that moment leaves no mailbox red for ever."""
    monkeypatch.setattr("hub.listening.SOUND_AFTER_S", 0.1)
    note, tries = listening.note_listener, 0

    async def away_once(db: Database, account: str, state: str, error: str | None) -> None:
        nonlocal tries
        tries += state == "listening"
        if (state, tries) == ("listening", 1):
            raise ConnectionRefusedError
        await note(db, account, state, error)

    monkeypatch.setattr(listening, "note_listener", away_once)
    async with opened(database_url, SETTINGS) as core:
        await note(core.db, "shop", "failing", "no such host")
        with_listener(core, Waiting())
        async with background(Listening(core).run()):
            await eventually(lambda: AccountState.filter(listener_state="listening").exists(), 30)
        assert tries == 2


async def test_refused_credentials_are_not_tried_again_and_again(database_url: str) -> None:
    """A wrong password costs one login a quarter of an hour: providers lock mailboxes."""
    tries = []

    class Refused:
        async def listen(self, emit: Emit, wake: Wake) -> None:
            tries.append(1)
            raise BadCredentials("authentication failed")

    async with opened(database_url, SETTINGS) as core:
        with_listener(core, Refused())
        async with background(Listening(core).run()):
            await eventually(lambda: AccountState.filter(listener_state="failing").exists())
            await asyncio.sleep(1.5)
        assert tries == [1]


@asynccontextmanager
async def hung(redis_url: str) -> AsyncIterator[Bells]:
    """Bells of one process. They end whatever happens: redis-py would keep the loop from ending."""
    bells = Bells(redis_url)
    await bells.start()
    try:
        yield bells
    finally:
        await bells.stop()


async def test_bells_reach_other_processes(redis_url: str) -> None:
    """A ring here wakes a waiter there, with its facts, and no ring is heard by the ringer twice."""
    async with hung(redis_url) as here, hung(redis_url) as there:
        await eventually(lambda: not (here.is_deaf or there.is_deaf), 30)
        here.ring("listen:shop", {"key": "a"})
        assert await there.wait("listen:shop", 30.0) == [{"key": "a"}]
        assert await here.wait("listen:shop", 1.0) == [{"key": "a"}]
        assert await here.wait("listen:shop", 0.2) == []


class Waiting:
    """A listener that waits long, and notes when it is woken."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    async def listen(self, emit: Emit, wake: Wake) -> None:
        await wake.wait(300.0)
        self.woken.set()
        await asyncio.Event().wait()


async def test_while_redis_is_away_a_listener_looks_by_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback that another process takes cannot ring then; what it announced must not wait long."""
    monkeypatch.setattr("hub.listening.DEAF_S", 0.05)
    rung = msgspec.structs.replace(CHANNEL, adapter=lambda account, tools: None)
    settings = settings_for(channel=msgspec.structs.replace(rung, listener=lambda *_: None))
    async with opened(database_url, settings) as core:
        listener = Waiting()
        with_listener(core, listener)
        async with hung("redis://127.0.0.1:1/0") as core.bells, background(Listening(core).run()):
            await asyncio.wait_for(listener.woken.wait(), 30)
