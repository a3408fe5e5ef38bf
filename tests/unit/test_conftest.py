"""The tests' own ground: servers that are real, and a network that ends at this machine."""

import socket

import asyncpg
import pytest
import redis.asyncio


def dsn(url: str) -> str:
    return url.replace("asyncpg:", "postgresql:", 1)


async def test_each_test_has_a_migrated_database_of_its_own(database_url: str) -> None:
    """The tables are there, and empty."""
    connection = await asyncpg.connect(dsn(database_url))
    assert await connection.fetchval("SELECT count(*) FROM inbox") == 0
    await connection.close()


async def test_redis_is_empty(redis_url: str) -> None:
    """Nothing is left from the test before."""
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.dbsize() == 0


@pytest.mark.parametrize("name", ["connect", "connect_ex"])
def test_another_machine_cannot_be_reached(name: str) -> None:
    """Connecting to an address outside this machine fails before a packet leaves."""
    with socket.socket() as outgoing, pytest.raises(OSError, match="stay on this machine"):
        getattr(outgoing, name)(("192.0.2.1", 80))


def test_names_of_other_machines_are_not_asked_for() -> None:
    """No question goes to a name server."""
    with pytest.raises(OSError, match="no names outside"):
        socket.getaddrinfo("example.com", 80)
