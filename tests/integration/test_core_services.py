"""Services when things go wrong around them: who is told, and who goes on by itself."""

import asyncio
from typing import Any

import pytest

from hub import supervise
from hub.channel import Emit, Wake
from hub.listening import Listening
from hub.store.models import AccountState
from hub.supervise import keep_running
from tests.corekit import background, eventually, opened
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
