"""WebSockets that the hub opens: guarded like every call."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from hub.errors import BadCredentials, Closed, Unreachable
from hub.fetch import STRICT, Fetcher, Forbidden, policy_for


async def echo(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Authorization") != "Bearer token":
        return web.Response(status=int(request.query.get("status", "401")))
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for frame in socket:
        if frame.data == "bye":
            await socket.close(code=4009)
            break
        await socket.send_str(f"heard {frame.data}")
    return socket


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    await runner.cleanup()


@pytest.fixture
async def fetcher(url: str) -> AsyncIterator[Fetcher]:
    made = Fetcher(policy_for([url.replace("ws:", "http:")]))
    yield made
    await made.close()


async def test_frames_go_both_ways_until_the_peer_goes(url: str, fetcher: Fetcher) -> None:
    """A peer that closes says why, and closing again is harmless."""
    connection = await fetcher.connect(url, headers={"Authorization": "Bearer token"})
    await connection.send("hello")
    assert await connection.receive() == "heard hello"
    await connection.send("bye")
    with pytest.raises(Closed) as closed:
        await connection.receive()
    assert closed.value.code == 4009
    await connection.close()


@pytest.mark.parametrize(
    "status, error", [(401, BadCredentials), (403, BadCredentials), (404, Unreachable)]
)
async def test_a_refused_upgrade_has_its_class(
    url: str, fetcher: Fetcher, status: int, error: type[Exception]
) -> None:
    """Refused credentials are told from everything else."""
    with pytest.raises(error):
        await fetcher.connect(f"{url}?status={status}")


async def test_nobody_there_is_unreachable() -> None:
    """Nothing was said."""
    fetcher = Fetcher(policy_for(["http://127.0.0.1:1"]))
    with pytest.raises(Unreachable) as caught:
        await fetcher.connect("ws://127.0.0.1:1/ws")
    assert not isinstance(caught.value, Forbidden)
    await fetcher.close()


@pytest.mark.parametrize("address", ["ws://127.0.0.1/ws", "wss://169.254.169.254/", "file:///x"])
async def test_what_the_policy_refuses_is_not_connected_to(address: str) -> None:
    """No WebSocket to a private address that no admin has set."""
    fetcher = Fetcher(STRICT)
    with pytest.raises(Forbidden):
        await fetcher.connect(address)
    await fetcher.close()
