"""Platform tokens on a real PostgreSQL: one refresh, whoever asks."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.channel import Token
from hub.errors import BadCredentials, Unreachable
from hub.model import Secret
from hub.seal import Sealer
from hub.store import Database, leases
from hub.tokens import Tokens

SEALER = Sealer(Secret("k" * 32))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


class Platform:
    """Gives tokens, slowly, and counts them."""

    def __init__(self, expires_in: float = 7200) -> None:
        self.expires_in = expires_in
        self.calls = 0
        self.error: Exception | None = None

    async def fetch(self) -> Token:
        self.calls += 1
        number = self.calls
        await asyncio.sleep(0.1)
        if self.error is not None:
            raise self.error
        return Token(f"token-{number}", self.expires_in)


@pytest.fixture
def platform() -> Platform:
    return Platform()


def store(db: Database, name: str, sealer: Sealer = SEALER) -> Tokens:
    return Tokens(db, sealer, name)


async def test_fifty_callers_in_two_processes_cause_one_fetch(
    db: Database, platform: Platform
) -> None:
    """Everybody gets the same token, fetched once."""
    stores = [store(db, "a"), store(db, "b")]
    values = await asyncio.gather(
        *(stores[i % 2].of("shop").get("access_token", platform.fetch) for i in range(50))
    )
    assert (set(values), platform.calls) == ({"token-1"}, 1)


async def test_a_hundred_failures_cause_one_refresh(db: Database, platform: Platform) -> None:
    """A hundred callers were told that the token has expired: one asks for another."""
    stores = [store(db, "a"), store(db, "b")]
    for one in stores:
        await one.get("t", platform.fetch)
    values = await asyncio.gather(
        *(stores[i % 2].get("t", platform.fetch, unlike="token-1") for i in range(100))
    )
    assert (set(values), platform.calls) == ({"token-2"}, 2)


async def test_a_late_failure_gets_the_new_token(db: Database, platform: Platform) -> None:
    """Who hears late that an old token has expired does not drop the new one."""
    one, other = store(db, "a"), store(db, "b")
    await one.get("t", platform.fetch)
    await one.get("t", platform.fetch, unlike="token-1")
    for _ in range(3):
        assert await other.get("t", platform.fetch, unlike="token-1") == "token-2"
        assert await one.get("t", platform.fetch, unlike="token-0") == "token-2"
    assert platform.calls == 2


async def test_a_failure_during_a_flight_is_not_answered_with_the_dead_token(
    db: Database, platform: Platform
) -> None:
    """The flight that brings the stored token does not answer who says that it is dead."""
    await store(db, "a").get("t", platform.fetch)
    fresh = store(db, "b")
    plain, told = await asyncio.gather(
        fresh.get("t", platform.fetch), fresh.get("t", platform.fetch, unlike="token-1")
    )
    assert (plain, told) == ("token-1", "token-2")


async def test_a_platform_that_repeats_its_token_is_asked_once(db: Database) -> None:
    """WeChat's stable_token gives the same token while it lives: no loop comes of it."""
    calls = []

    async def fetch() -> Token:
        calls.append(1)
        return Token("same", 7200)

    one = store(db, "a")
    assert await one.get("t", fetch) == "same"
    assert await one.get("t", fetch, unlike="same") == "same"
    assert len(calls) == 2


async def test_an_error_reaches_all_who_wait_and_wedges_nothing(
    db: Database, platform: Platform
) -> None:
    """Refused credentials are told to each waiter; the next call asks again."""
    platform.error = BadCredentials("40125")
    one = store(db, "a")
    outcomes = await asyncio.gather(
        *(one.get("t", platform.fetch) for _ in range(20)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {BadCredentials}
    assert platform.calls == 1
    platform.error = None
    assert await one.get("t", platform.fetch) == "token-2"


async def test_a_cancelled_caller_leaves_the_flight_to_the_others(
    db: Database, platform: Platform
) -> None:
    """The first caller gives up; the second has its token all the same."""
    one = store(db, "a")
    first = asyncio.create_task(one.get("t", platform.fetch))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(one.get("t", platform.fetch))
    await asyncio.sleep(0.02)
    first.cancel()
    assert await second == "token-1"
    assert platform.calls == 1


async def test_a_slow_platform_is_given_up(
    db: Database, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch has a time limit, and so has waiting for another process's."""
    monkeypatch.setattr("hub.tokens.FETCH_S", 0.05)
    with pytest.raises(Unreachable, match="no token in"):
        await store(db, "a").get("t", platform.fetch)
    monkeypatch.setattr("hub.tokens.WAIT_S", 0.2)
    await leases.acquire(db, "token:t", "a process that hangs")
    with pytest.raises(Unreachable, match="another process"):
        await store(db, "a").get("t", platform.fetch)
    assert platform.calls == 1


@pytest.mark.parametrize(
    "expires_in, least, most", [(7200, 6890, 6900), (400, 195, 200), (10, 4, 5), (0, -9, 0)]
)
async def test_the_margin_is_never_more_than_half(
    db: Database, expires_in: float, least: float, most: float
) -> None:
    """A token of two hours ends five minutes early, a short one at half time."""
    await store(db, "a").get("t", Platform(expires_in).fetch)
    rows = await db.fetch(
        "SELECT EXTRACT(EPOCH FROM expires_at - clock_timestamp())::float8 AS left FROM platform_tokens"
    )
    assert least <= rows[0]["left"] <= most


@pytest.mark.parametrize("left, least, most", [(7200, 7145, 7155), (80, 30, 35), (30, 4, 5)])
async def test_a_platform_that_says_when_its_token_changes(
    db: Database, left: float, least: float, most: float
) -> None:
    """It is asked then and not before, and never in a spin: it would give the same token again."""

    async def fetch() -> Token:
        return Token("the same", left, margin_s=45)

    await store(db, "a").get("t", fetch)
    rows = await db.fetch(
        "SELECT EXTRACT(EPOCH FROM expires_at - clock_timestamp())::float8 AS left FROM platform_tokens"
    )
    assert least <= rows[0]["left"] <= most


async def test_an_ended_token_is_fetched_again(db: Database) -> None:
    """When its time is over, the next caller asks the platform."""
    short = Platform(0.2)
    one = store(db, "a")
    assert await one.get("t", short.fetch) == "token-1"
    await asyncio.sleep(0.12)
    assert await one.get("t", short.fetch) == "token-2"


async def test_another_key_means_a_fresh_token(db: Database, platform: Platform) -> None:
    """After HUB_SECRET_KEY changed nothing is stuck: what does not open is fetched anew."""
    await store(db, "a").get("t", platform.fetch)
    assert await store(db, "b", Sealer(Secret("x" * 32))).get("t", platform.fetch) == "token-2"


async def test_no_token_lies_readable_in_the_database(db: Database, platform: Platform) -> None:
    """The row holds the sealed value only, and accounts do not share names."""
    tokens = store(db, "a")
    await tokens.of("shop").get("access_token", platform.fetch)
    await tokens.of("other").get("access_token", platform.fetch)
    rows = await db.fetch("SELECT id, sealed FROM platform_tokens ORDER BY id")
    assert [row["id"] for row in rows] == ["other/access_token", "shop/access_token"]
    assert b"token" not in rows[0]["sealed"]


CHILD = """
import asyncio, os, sys
from hub.channel import Token
from hub.model import Secret
from hub.seal import Sealer
from hub.store import Database
from hub.tokens import Tokens

async def fetch():
    with open(sys.argv[2], "a") as file:
        file.write("x")
    await asyncio.sleep(0.3)
    return Token("one", 7200)

async def main():
    db = await Database.open(sys.argv[1], pool=3)
    tokens = Tokens(db, Sealer(Secret("k" * 32)), str(os.getpid()))
    print(set(await asyncio.gather(*(tokens.get("t", fetch) for _ in range(20)))))
    await db.close()

asyncio.run(main())
"""


async def test_three_real_processes_share_one_fetch(
    db: Database, database_url: str, tmp_path: Path
) -> None:
    """The same between processes of the operating system."""
    count = tmp_path / "count"
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, database_url, str(count), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    outputs = [(await child.communicate())[0].splitlines()[-1] for child in children]
    assert outputs == [b"{'one'}"] * 3
    assert count.read_text() == "x"
