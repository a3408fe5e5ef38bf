"""How often a token may call: over several processes, with Redis and without."""

import asyncio
import re
import time

import msgspec
import pytest
from redis.asyncio import Redis

from hub import apitokens
from hub.model import Secret
from hub.rates import BURST_S, Rates, burst_of
from tests.apikit import Client, api
from tests.corekit import settings_for

NOWHERE = "redis://127.0.0.1:1/0"


async def admitted(processes: list[Rates], rate: float, calls: int, caller: str = "ann") -> int:
    """How many of *calls* by each process, made side by side, may go on."""

    async def one(rates: Rates) -> int:
        paces = await asyncio.gather(*(rates.take(caller, rate) for _ in range(calls)))
        return sum(not pace.wait_s for pace in paces)

    return sum(await asyncio.gather(*map(one, processes)))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment is not a Redis that is away."""
    monkeypatch.setattr("hub.rates.REDIS_S", 10.0)


async def test_processes_share_one_allowance(redis_url: str) -> None:
    """Three of them let through together what one may, and what comes anew meanwhile."""
    processes = [Rates(redis_url) for _ in range(3)]
    start = time.monotonic()
    through = await admitted(processes, 50, 400)
    took = time.monotonic() - start
    assert 100 <= through <= 100 + 50 * took + 1
    for one in processes:
        await one.close()


async def test_an_allowance_grows_again(redis_url: str) -> None:
    """A refusal says after how long there is one more, and then there is."""
    rates = Rates(redis_url)
    assert await admitted([rates], 5, 50) >= 10
    refused = await rates.take("ann", 5)
    assert 0 < refused.wait_s <= 0.2
    assert refused.left == 0
    await asyncio.sleep(refused.wait_s)
    assert not (await rates.take("ann", 5)).wait_s
    await rates.close()


async def test_callers_do_not_share(redis_url: str) -> None:
    """One token's hurry is no other's."""
    rates = Rates(redis_url)
    await admitted([rates], 5, 50)
    assert not (await rates.take("bob", 5)).wait_s
    await rates.close()


async def test_most_calls_ask_nobody(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes some calls ahead; at full speed one in ten goes to Redis."""
    rates, asked = Rates(redis_url), 0
    take = rates._take

    async def counted(**given: object) -> object:
        nonlocal asked
        asked += 1
        return await take(**given)

    monkeypatch.setattr(rates, "_take", counted)
    for _ in range(200):
        assert not (await rates.take("ann", 100)).wait_s
    assert asked <= 20
    for _ in range(200):
        await rates.take("ann", 0.1)  # the first is the only one for ten seconds
    assert asked <= 22
    await rates.close()


@pytest.mark.parametrize("url", [None, NOWHERE])
async def test_without_redis_each_process_counts_alone(url: str | None) -> None:
    """Nobody is refused because Redis is away, and nobody is let through without end."""
    processes = [Rates(url), Rates(url)]
    start = time.monotonic()
    through = await admitted(processes, 20, 200)
    took = time.monotonic() - start
    assert 80 <= through <= 80 + 2 * 20 * took + 2
    for one in processes:
        await one.close()


async def test_redis_is_asked_again_after_a_while(redis_url: str) -> None:
    """What it forgot, or what is in its place, hurts nobody."""
    clock = 100.0
    rates = Rates(redis_url, clock=lambda: clock)
    redis = Redis.from_url(redis_url)
    await redis.rpush("hub:rate:ann", "no number")
    assert not (await rates.take("ann", 5)).wait_s  # counted alone
    await redis.delete("hub:rate:ann")
    clock += 5
    assert not (await rates.take("ann", 5)).wait_s
    assert await redis.exists("hub:rate:ann")
    await redis.aclose()
    await rates.close()


async def test_nothing_stays_behind(redis_url: str) -> None:
    """What is kept goes once the allowance is whole again."""
    rates, redis = Rates(redis_url), Redis.from_url(redis_url)
    await rates.take("ann", 10)
    assert 0 < await redis.pttl("hub:rate:ann") <= BURST_S * 1000 + 2
    await redis.aclose()
    await rates.close()


@pytest.mark.parametrize("rate, most", [(100.0, 200), (0.1, 1), (0.7, 2)])
def test_as_many_at_once_as_two_seconds_bring(rate: float, most: int) -> None:
    """And at least one."""
    assert burst_of(rate) == most


# --- in the API -------------------------------------------------------------------------------------


async def test_a_token_that_calls_too_often_is_told(database_url: str, redis_url: str) -> None:
    """429 with Retry-After; what is left is told with every answer; another token is not affected."""
    made = settings_for("http://127.0.0.1:9/hook")
    hub = msgspec.structs.replace(made.hub, redis_url=Secret(redis_url), api_requests_per_s=20.0)
    async with api(database_url, made._replace(hub=hub)) as served:
        client, other = await served.client("read"), await served.client("read")
        first = await client.get("/v1/channels")
        assert first.headers["RateLimit-Policy"] == '"token";q=40;w=2'
        assert re.fullmatch(r'"token";r=3\d;t=1', first.headers["RateLimit"])
        answers = [await client.get("/v1/channels") for _ in range(200)]
        assert {one.status for one in answers} == {200, 429}
        refused = next(one for one in answers if one.status == 429)
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["RateLimit"].startswith('"token";r=0;t=')
        assert refused.json["type"] == "urn:hub:problem:too-many-requests"
        assert (await other.get("/v1/channels")).status == 200
        assert "RateLimit" not in (await served.nobody.get("/v1/openapi.json")).headers


async def test_a_token_has_a_rate_of_its_own(database_url: str) -> None:
    """Lower or higher than the hub's, or none; it is told."""
    async with api(database_url) as made:
        slow, free = await made.client("read", rate=0.5), await made.client("read", rate=0)
        assert [(await slow.get("/v1/channels")).status for _ in range(3)] == [200, 429, 429]
        answers = [await free.get("/v1/channels") for _ in range(250)]
        assert {one.status for one in answers} == {200}
        assert "RateLimit" not in answers[0].headers
        assert {one.requests_per_s for one in await apitokens.listing(made.core.db)} == {0.5, 0.0}
        stream = made.base + "/v1/events/stream"
        token = (await apitokens.create(made.core.db, "x", requests_per_s=3)).token
        headers = {"Authorization": f"Bearer {token}"}
        async with made.http.get(stream, headers=headers) as answer:
            assert answer.headers["RateLimit-Policy"] == '"token";q=6;w=2'


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
async def test_a_rate_is_a_number_of_requests(database_url: str, rate: float) -> None:
    """Anything else is refused when the token is made."""
    async with api(database_url) as made:
        with pytest.raises(ValueError, match="rate"):
            await apitokens.create(made.core.db, "x", requests_per_s=rate)


async def test_whoever_may_not_is_counted_too(database_url: str) -> None:
    """A token without the scope does not get to try without end."""
    async with api(database_url) as made:
        reader: Client = await made.client("read", rate=2)
        statuses = [(await reader.post("/v1/queues/inbox/pause")).status for _ in range(8)]
        assert set(statuses) == {403, 429}
