"""A server that runs a script for each connection, and a client."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.fetch import ON_PREMISE, Fetcher
from tests.fetchkit import (
    Log,
    Script,
    Serve,
)


@pytest.fixture
async def log() -> Log:
    return Log()


@pytest.fixture
async def serve(log: Log) -> AsyncIterator[Serve]:
    """Start a raw server that runs a script for each connection; gives its URL."""
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(script: Script) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            log.connections += 1
            writers.append(writer)
            try:
                await script(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 24)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.transport.abort()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    made = Fetcher(ON_PREMISE)
    yield made
    await made.close()
