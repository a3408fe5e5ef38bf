"""The guarded HTTP client: what goes out, its limits, whom it calls, and what it tells."""

import asyncio
import gzip

import aiohttp
import pytest

from hub.errors import Ambiguous, Unreachable
from hub.exchange import Exchange, recording
from hub.fetch import ON_PREMISE, STRICT, Fetcher, Forbidden, Policy, TooLarge
from sandbox.http import free_port
from tests.fetchkit import (
    OK,
    SMALL,
    Log,
    Names,
    Serve,
    answers,
    endless,
    outcome,
    silent,
)

# --- what goes out ----------------------------------------------------------------------------------


async def test_json_is_utf8_without_escapes(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """A platform that shows escapes to customers gets none."""
    url = await serve(answers(log, OK))
    answer = await fetcher("POST", url, params={"access_token": "a+b/=&"}, json={"content": "你好"})
    head, _, body = log.requests[0].partition(b"\r\n\r\n")
    assert (answer.status, answer.json()) == (200, {})
    assert body == '{"content":"你好"}'.encode()
    assert b"POST /x?access_token=a%2Bb/%3D%26 HTTP/1.1" in head
    assert b"Content-Type: application/json; charset=utf-8" in head
    assert b"Accept-Encoding: identity" in head
    assert b"Cookie" not in head


async def test_a_form_is_url_encoded(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """Form values of any kind are sent as text."""
    url = await serve(answers(log, OK))
    await fetcher("POST", url, form={"To": "+8613800138000", "n": 1, "Body": "你 好"})
    assert log.requests[0].endswith(b"To=%2B8613800138000&n=1&Body=%E4%BD%A0+%E5%A5%BD")


async def test_multipart_has_a_length_and_a_raw_name(
    serve: Serve, log: Log, fetcher: Fetcher
) -> None:
    """WeChat refuses chunked uploads and file names in RFC 5987's form."""
    url = await serve(answers(log, OK))
    content = bytes(range(256)) * 8192
    await fetcher(
        "POST", url, form={"a": "1"}, files={"media": ('图"\r\n.png', content, "image/png")}
    )
    head, _, body = log.requests[0].partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert 'name="media"; filename="图___.png"'.encode() in body
    assert content in body
    assert b"filename*" not in body


async def test_no_redirect_is_followed(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """A redirect is an answer like any other."""
    url = await serve(
        answers(
            log, b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        )
    )
    assert (await fetcher("GET", url)).status == 302
    assert (await fetcher.post(url, b"{}", {}))[0] == 302
    assert len(log.requests) == 2


async def test_cookies_and_the_environments_proxy_are_ignored(
    serve: Serve, log: Log, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that a server set, or the shell, changes the next request."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    url = await serve(
        answers(log, b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n")
    )
    await fetcher("GET", url)
    await fetcher("GET", url)
    assert b"a=1" not in log.requests[1]


async def test_connections_are_kept(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """Fifty posts in a row need one connection."""
    url = await serve(answers(log, OK))
    for _ in range(50):
        assert (await fetcher.post(url, b"{}", {}))[0] == 200
    assert (log.connections, len(log.requests)) == (1, 50)


# --- limits -----------------------------------------------------------------------------------------


async def test_a_large_answer_is_not_kept(serve: Serve, log: Log) -> None:
    """Past its limit an answer is not read on; the call has been made, so it is ambiguous."""
    fetcher = Fetcher(ON_PREMISE, max_bytes=1000)
    url = await serve(
        answers(log, b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001)
    )
    with pytest.raises(Ambiguous, match="more than 1000 bytes"):
        await fetcher("GET", url)
    assert len((await fetcher("GET", url, max_bytes=1001)).body) == 1001
    await fetcher.close()


async def test_a_gzip_bomb_is_not_unpacked(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """The limit counts unpacked bytes."""
    bomb = gzip.compress(b"0" * (64 << 20))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    url = await serve(answers(log, head, bomb))
    assert await outcome(fetcher("GET", url)) == Ambiguous
    status, _, body = await fetcher.post(url, SMALL, {})
    assert (status, len(body)) == (200, 20480)


async def test_a_webhooks_answer_is_read_to_20_kb(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """A gigabyte of thanks costs 20 kB, and its connection."""
    url = await serve(endless)
    status, _, body = await fetcher.post(url, SMALL, {})
    assert (status, len(body)) == (200, 20480)


async def test_a_stream_stops_at_its_limit(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """Files are refused by their header, or as soon as they are seen to be too long."""
    plain = await serve(answers(log, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
    async with fetcher.stream("GET", plain, max_bytes=5) as file:
        assert b"".join([piece async for piece in file.pieces]) == b"hello"
    with pytest.raises(TooLarge, match="5 bytes"):
        async with fetcher.stream("GET", plain, max_bytes=4):
            pass
    with pytest.raises(TooLarge, match="more than 100000"):
        await drained(fetcher, await serve(endless), 100_000)


async def drained(fetcher: Fetcher, url: str, max_bytes: int) -> None:
    async with fetcher.stream("GET", url, max_bytes=max_bytes) as file:
        async for _ in file.pieces:
            pass


async def test_the_pool_is_limited(serve: Serve, log: Log) -> None:
    """No more connections than allowed; who finds none in time has sent nothing."""
    fetcher = Fetcher(ON_PREMISE, limit=2)
    url = await serve(silent)
    outcomes = await asyncio.gather(
        *(outcome(fetcher.post(url, SMALL, {}, timeout=1.0)) for _ in range(5))
    )
    assert log.connections == 2
    assert sorted(o.__name__ for o in outcomes) == ["Ambiguous"] * 2 + ["Unreachable"] * 3
    await fetcher.close()


# --- what may be called -----------------------------------------------------------------------------


async def test_a_name_is_judged_by_the_address_it_has_when_called(serve: Serve, log: Log) -> None:
    """DNS rebinding: the address that is connected to is the one that is judged."""
    url = await serve(answers(log, OK))
    port = int(url.split(":")[2].split("/")[0])
    for addresses in (
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
    ):
        fetcher = Fetcher(Policy(allow_http=True, ports=None), resolver=Names(addresses))
        for call in (
            fetcher("GET", f"http://a.example:{port}/"),
            fetcher.post(f"http://a.example:{port}/", b"", {}),
        ):
            with pytest.raises(Forbidden, match="refused"):
                await call
        await fetcher.close()
    assert log.connections == 0


async def test_a_strict_client_refuses_before_it_resolves() -> None:
    """What the URL's text gives away needs no look-up."""
    fetcher = Fetcher(STRICT, resolver=Names())
    for url in (
        "http://example.com/",
        "https://127.0.0.1/",
        "https://example.com:25/",
        "file:///etc/passwd",
    ):
        assert await outcome(fetcher("GET", url)) is Forbidden
        assert await outcome(fetcher.post(url, b"", {})) is Forbidden
        with pytest.raises(Forbidden):
            async with fetcher.stream("GET", url, max_bytes=1):
                pass
    await fetcher.close()


async def test_metadata_is_forbidden_even_on_premise() -> None:
    """No setting opens a cloud's metadata service."""
    fetcher = Fetcher(ON_PREMISE, resolver=Names(["169.254.169.254"]))
    for url in ("http://169.254.169.254/latest", "http://100.100.100.200/", "http://meta.example/"):
        assert await outcome(fetcher("GET", url)) is Forbidden
    await fetcher.close()


async def test_a_proxy_gets_the_whole_url(serve: Serve, log: Log) -> None:
    """With a proxy the name travels to it; literal addresses are still judged."""
    proxy = (await serve(answers(log, OK))).removesuffix("/x")
    fetcher = Fetcher(Policy(allow_http=True), proxy=proxy)
    assert (await fetcher("GET", "http://api.example/a?b=1")).status == 200
    assert log.requests[0].startswith(b"GET http://api.example/a?b=1 HTTP/1.1")
    assert await outcome(fetcher("GET", "http://10.0.0.1/")) is Forbidden
    await fetcher.close()


async def test_a_proxy_that_refuses_is_unreachable(serve: Serve, log: Log) -> None:
    """CONNECT refused: nothing was sent."""
    proxy = await serve(answers(log, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
    fetcher = Fetcher(STRICT, proxy=proxy)
    assert await outcome(fetcher("GET", "https://api.example/")) == Unreachable
    await fetcher.close()
    away = Fetcher(STRICT, proxy=f"http://127.0.0.1:{free_port()}")
    assert await outcome(away("GET", "https://api.example/")) == Unreachable
    await away.close()


# --- what is told of it -----------------------------------------------------------------------------


async def test_an_exchange_is_told_without_secrets(serve: Serve, log: Log) -> None:
    """Known secrets, and whatever stands under a secret's name, read ``***``."""
    seen: list[Exchange] = []
    fetcher = Fetcher(ON_PREMISE, secrets=["hunter2hunter2"], on_exchange=seen.append)
    body = b'{"access_token":"TOPSECRET-1","expires_in":7200}'
    url = await serve(
        answers(log, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    await fetcher(
        "POST",
        url + "/hunter2hunter2",
        params={"access_token": "TOPSECRET-2"},
        headers={"Authorization": "Bearer TOPSECRET-3"},
        json={"secret": "TOPSECRET-4", "text": "x" * 9000, "mine": "hunter2hunter2"},
    )
    told = seen[0]
    assert (told.method, told.status, told.error) == ("POST", 200, None)
    assert told.url == url + "/***?access_token=***"
    assert "TOPSECRET" not in repr(told)
    assert "hunter2" not in repr(told)
    assert '"secret":"***"' in told.request
    assert len(told.request) < 4300
    assert '"expires_in":7200' in (told.answer or "")
    await fetcher.close()


async def test_a_failure_is_told_to_whoever_records(fetcher: Fetcher) -> None:
    """A reply's worker hears of the calls that were made for it, of the failed ones too."""
    seen: list[Exchange] = []
    with recording(seen.append):
        await outcome(
            fetcher("POST", f"http://127.0.0.1:{free_port()}/?token=abc", form={"password": "abc"})
        )
    await outcome(fetcher("POST", f"http://127.0.0.1:{free_port()}/", data=b""))
    assert [(one.status, (one.error or "").split(":")[0]) for one in seen] == [
        (None, "unreachable")
    ]
    assert "abc" not in repr(seen)


async def test_files_are_told_by_what_they_are(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """No exchange holds a file."""
    seen: list[Exchange] = []
    url = await serve(answers(log, OK))
    with recording(seen.append):
        await fetcher("POST", url, files={"media": ("a.png", b"\x89PNG" * 999, "image/png")})
    assert seen[0].request.strip() == "media=<a.png, image/png, 3996 bytes>"


async def test_header_names_ignore_case(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """Retry-After is found however it is written."""
    url = await serve(
        answers(log, b"HTTP/1.1 429 Slow\r\nretry-AFTER: 7\r\nContent-Length: 0\r\n\r\n")
    )
    assert (await fetcher("GET", url)).headers["Retry-After"] == "7"
    assert (await fetcher.post(url, b"", {}))[1]["retry-after"] == "7"


def test_the_pinned_aiohttp_has_what_we_lean_on() -> None:
    """The proof that a request was written is aiohttp's own."""
    assert aiohttp.UploadTracker
