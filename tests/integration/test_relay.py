"""The relay: a sender asks the one connection of its account, wherever that is."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from hub import relay
from hub.bells import Bells
from hub.core import Core
from hub.errors import Ambiguous, RateLimited, Unreachable
from hub.relay import AccountRelay, Relays
from tests.corekit import background, eventually, opened, settings_for


def of(core: Core, name: str = "p") -> AccountRelay:
    """The relay as another process has it: only the database in common."""
    return Relays(core.db, Bells(None), name).of("shop")


async def echo(question: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"heard": question}


async def served(core: Core) -> bool:
    return bool(
        await core.db.fetch(
            "SELECT 1 FROM leases WHERE name = 'relay:shop' AND lease_until > clock_timestamp()"
        )
    )


async def test_a_question_finds_the_connection(database_url: str) -> None:
    """Also from another process, and without a bell; nothing is left of it."""
    async with opened(database_url, settings_for()) as core:
        async with background(of(core, "web").serve(echo)):
            await eventually(lambda: served(core))
            asked = [of(core, "worker").ask({"n": n}, timeout=20) for n in range(5)]
            assert await asyncio.gather(*asked) == [{"heard": {"n": n}} for n in range(5)]
        assert await core.db.fetch("SELECT 1 FROM relay_calls") == []


async def test_without_a_connection_nothing_was_done(database_url: str) -> None:
    """No lease: refused at once. A lease whose holder is dead: withdrawn, and refused as well."""
    async with opened(database_url, settings_for()) as core:
        with pytest.raises(Unreachable):
            await of(core).ask({})
        await core.db.fetch(
            "INSERT INTO leases (name, epoch, lease_until, holder) "
            "VALUES ('relay:shop', 1, clock_timestamp() + interval '30 seconds', 'dead')"
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(relay, "TAKE_S", 0.2)
            with pytest.raises(Unreachable):
                await of(core).ask({})
        assert await core.db.fetch("SELECT 1 FROM relay_calls") == []


async def test_taken_without_an_answer_is_ambiguous(database_url: str) -> None:
    """Nobody knows what became of it, and the asker is told so."""
    taken = asyncio.Event()

    async def never(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        taken.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with opened(database_url, settings_for()) as core:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(relay, "LINGER_S", 0.0)
            async with background(of(core).serve(never)):
                await eventually(lambda: served(core))
                with pytest.raises(Ambiguous):
                    await of(core).ask({}, timeout=0.2)
                assert taken.is_set()


async def test_an_error_travels_with_its_class(database_url: str) -> None:
    """The sender raises what the holder of the connection found."""

    async def refuse(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        raise RateLimited("slow down", external_code=7, retry_after=3.0)

    async with opened(database_url, settings_for()) as core, background(of(core).serve(refuse)):
        await eventually(lambda: served(core))
        with pytest.raises(RateLimited) as caught:
            await of(core).ask({})
    assert (caught.value.external_code, caught.value.retry_after) == ("7", 3.0)
    assert caught.value.detail == "slow down"


async def test_whoever_comes_last_serves_alone(database_url: str) -> None:
    """The connection before is told to go, and takes nothing more."""

    async def old(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"by": "old"}

    async def new(_question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"by": "new"}

    async with opened(database_url, settings_for()) as core:
        before = asyncio.create_task(of(core, "a").serve(old))
        await eventually(lambda: served(core))
        assert await of(core).ask({}) == {"by": "old"}
        async with background(of(core, "b").serve(new)):
            await asyncio.wait_for(before, 10)
            assert await of(core).ask({}) == {"by": "new"}
