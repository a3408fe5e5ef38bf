"""Services when things go wrong around them: who is told, and who goes on by itself."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from hub import supervise
from hub.channel import Emit, Wake
from hub.delivery import Deliverer
from hub.intake import Committer
from hub.listening import Listening
from hub.replies import ReplyService
from hub.store.models import AccountState, Inbox
from hub.supervise import keep_running
from tests.corekit import (
    background,
    event,
    eventually,
    ingester,
    opened,
    running_desk,
    settings_for,
)
from tests.integration.test_listening import SETTINGS, with_listener


@pytest.mark.parametrize("error", [ConnectionRefusedError("no mail server"), TimeoutError("slow")])
async def test_a_platform_that_is_away_is_shown(database_url: str, error: Exception) -> None:
    """A listener's own network error is not taken for the database's: its owner sees it."""

    class Away:
        async def listen(self, emit: Emit, wake: Wake) -> None:
            raise error

    async with opened(database_url, SETTINGS) as core:
        with_listener(core, Away())
        async with background(Listening(core).run()):
            await eventually(lambda: AccountState.filter(listener_state="failing").exists(), 5.0)
        assert str(error) in ((await AccountState.get(name="shop")).listener_error or "")


async def test_a_cancellation_from_within_ends_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cancelled the service itself: it is started again."""
    monkeypatch.setattr(supervise, "MIN_PAUSE_S", 0.01)
    started: list[Any] = []

    async def serve() -> None:
        started.append(None)
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner

    async with background(keep_running("test", serve)):
        await eventually(lambda: len(started) >= 2, 3.0)


async def test_connections_that_are_ended_lose_and_park_nothing(database_url: str) -> None:
    """With every connection ended again and again, all goes on by itself, at once and in order."""
    async with running_desk() as desk:
        settings = settings_for(desk.url, events=("message.received",))
        async with opened(database_url, settings) as core:
            committer = Committer(
                core.db, core.bells, max_events=5000, max_bytes=1 << 26, wait_s=4.0
            )
            await committer.start()
            sent: list[str] = []

            async def send(who: int) -> None:
                for n in range(60):
                    said = event({"from": f"c{who}", "text": f"{who}:{n}", "id": f"{who}:{n}"})
                    await committer.store("shop", "test", [said])
                    sent.append(f"{who}:{n}")
                    await asyncio.sleep(0.02)

            services = [ingester(core).run, Deliverer(core).run, ReplyService(core).run]
            async with background(*(keep_running("service", serve) for serve in services)):
                senders = [asyncio.create_task(send(who)) for who in range(10)]
                for _ in range(8):
                    await asyncio.sleep(0.15)
                    await _end_connections(database_url)
                await asyncio.gather(*senders)
                await eventually(lambda: set(sent) <= set(desk.messages), 15.0)
            await committer.stop()
            first = list(dict.fromkeys(desk.messages))
            for who in range(10):
                own = [int(text.split(":")[1]) for text in first if text.startswith(f"{who}:")]
                assert own == list(range(60))
            assert await Inbox.filter(state=2).count() == 0


async def _end_connections(url: str) -> None:
    connection = await asyncpg.connect(urlsplit(url)._replace(scheme="postgresql").geturl())
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
