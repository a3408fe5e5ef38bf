"""Callbacks: what is answered, and what reaches the committer."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.webkit import EchoSocket, Stage, channel, raw, running, stage


async def ask(made: Stage, path: str, body: bytes = b"hello", **more: Any) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            URL(f"http://127.0.0.1:{made.port}{path}", encoded=True), data=body, **more
        ) as answer,
    ):
        return answer.status, await answer.read()


async def test_an_event_is_stored_before_the_answer() -> None:
    """The adapter's own answer follows the commit."""
    shop = running("shop")
    async with stage(shop) as made:
        assert await ask(made, "/in/echo/shop?a=1&b=%2F") == (200, b"success")
        assert [(a, c, e.body) for a, c, e in made.intake.stored] == [("shop", "echo", b"hello")]
    asked = shop.adapter.requests[0]
    assert (asked.method, asked.path, asked.query) == ("POST", "/in/echo/shop", "a=1&b=%2F")
    assert all(name == name.lower() for name in asked.headers)


@pytest.mark.parametrize(
    "body, status", [(b"forged", 403), (b"strange", 400), (b"bug", 400), (b"bell", 200)]
)
async def test_refusals_store_nothing(body: bytes, status: int) -> None:
    """What is not authentic, not recognised or breaks the adapter is refused, and nothing is kept."""
    async with stage(running("shop")) as made:
        assert status == (await ask(made, "/in/echo/shop", body))[0]
        assert made.intake.stored == []


async def test_a_bug_of_a_channel_is_counted_and_shows_no_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The owner sees that the adapter broke, and where; the value that it choked on stays inside."""
    async with stage(running("shop")) as made:
        await ask(made, "/in/echo/shop", b"bug")
        assert made.web.intake.counts["shop", "adapter_broken"] == 1
    assert "secret-value" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "path",
    [
        "/in/echo/nobody",
        "/in/echo/closed",
        "/in/wechat/shop",
        "/in/echo/shop/unasked",
        "/in/echo/safe",
        "/in/echo/safe/wrong",
        "/in/echo/safe/s3cret/more",
        "/in/echo/mailbox",
        "/in/echo",
        "/in/",
        "/in/echo/%73hop",
    ],
)
async def test_every_wrong_address_gets_the_same_404(path: str) -> None:
    """Unknown, disabled, of another channel, without or with a wrong secret: nobody can tell."""
    mailbox = running("mailbox")
    mailbox.adapter = None
    accounts = [running("shop"), running("closed", enabled=False), mailbox]
    async with stage(*accounts, running("safe", secret="s3cret")) as made:
        assert await ask(made, path) == (404, b"not found")


async def test_the_right_secret_opens() -> None:
    """The secret segment may hold anything that a URL can carry."""
    async with stage(running("safe", secret="s3/ö")) as made:
        assert (await ask(made, "/in/echo/safe/s3%2F%C3%B6"))[0] == 200


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    """413 comes before a byte of the body."""
    async with stage(running("shop"), max_body_bytes=2000) as made:
        head = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 2001\r\n\r\n"
        assert b" 413 " in await raw(made.port, head)


async def test_a_chunked_body_is_cut_at_the_limit() -> None:
    """Without Content-Length the count goes on while it arrives."""
    async with stage(running("shop"), max_body_bytes=2000) as made:
        head = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert b" 413 " in await raw(made.port, head + b"bb8\r\n" + b"x" * 3000 + b"\r\n")
        assert made.intake.stored == []


async def test_a_stalled_body_is_cut() -> None:
    """408 after the configured time, and the connection ends."""
    async with stage(running("shop"), body_timeout_s=0.3) as made:
        head = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nx"
        started = time.monotonic()
        assert b" 408 " in await raw(made.port, head, wait_s=4)
        assert time.monotonic() - started >= 0.3


async def test_overload_asks_the_platform_to_come_again() -> None:
    """503 with Retry-After for most."""
    async with stage(running("shop")) as made:
        made.intake.overloaded = True
        head = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
        answer = await raw(made.port, head)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 2" in answer


async def test_overload_closes_where_only_that_helps() -> None:
    """The WeChat family tries again only when the connection ends without an answer."""
    async with stage(running("shop", of=channel(retries_on="close"))) as made:
        made.intake.overloaded = True
        head = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
        assert await raw(made.port, head) == b""


async def test_a_bell_rings_for_the_listener() -> None:
    """What the callback brought reaches whoever waits."""
    async with stage(running("shop")) as made:
        await ask(made, "/in/echo/shop", b"bell")
        rung = await made.core.bells.wait("listen:shop", 1)
        assert rung == [{"key": "kf", "facts": {"token": "t"}}]


async def test_a_socket_stores_and_answers_frames() -> None:
    """A platform may connect to us."""
    async with (
        stage(running("bot", socket=EchoSocket())) as made,
        aiohttp.ClientSession(headers={"Authorization": "Bearer good"}) as http,
        http.ws_connect(f"http://127.0.0.1:{made.port}/in/echo/bot") as socket,
    ):
        await socket.send_str("你好")
        assert await socket.receive_str(timeout=2) == "你好"
        assert ["你好".encode()] == [event.body for _, _, event in made.intake.stored]


async def test_a_socket_without_proof_gets_403() -> None:
    """The upgrade is refused before anything is read."""
    async with stage(running("bot", socket=EchoSocket())) as made:
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"http://127.0.0.1:{made.port}/in/echo/bot")
        assert refused.value.status == 403


async def test_connections_beyond_the_limit_are_refused_cheaply() -> None:
    """Those that stand go on to work."""
    async with stage(running("shop"), max_connections=16) as made:
        idle = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(16)]
        assert b" 503 " in await raw(made.port, b"")
        reader, writer = idle[0]
        writer.write(b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 2)
        for _, one in idle:
            one.close()


async def test_slow_senders_leave_room_for_others() -> None:
    """Bodies that never end fill their own budget only."""
    async with stage(running("shop"), queue_bytes=4000, body_timeout_s=5) as made:
        head = b"POST /in/echo/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n"
        slow = [await asyncio.open_connection("127.0.0.1", made.port) for _ in range(4)]
        for _, writer in slow:
            writer.write(head + b"x" * 2000)
            await writer.drain()
        assert await ask(made, "/in/echo/shop") == (200, b"success")
        for _, writer in slow:
            writer.close()


async def test_live_needs_no_database() -> None:
    """The process runs, whatever else does."""
    async with (
        stage() as made,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{made.port}/live") as answer,
    ):
        assert answer.status == 200
