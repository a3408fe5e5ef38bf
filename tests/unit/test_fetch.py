"""The guarded HTTP client, against servers that misbehave on purpose."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.errors import Ambiguous, SendError, Unreachable
from hub.exchange import Exchange, recording
from hub.fetch import ON_PREMISE, STRICT, Fetcher, Forbidden, Policy, TooLarge

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Script], Awaitable[str]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Log:
    """What the scripted server saw."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []


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


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await head_of(reader)
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    return head + await reader.readexactly(length)


def answers(log: Log, *parts: bytes, pause: float = 0.0) -> Script:
    """A script that reads whole requests and sends *parts* for each."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            log.requests.append(await request_of(reader))
            for part in parts:
                writer.write(part)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)

    return script


async def forever() -> None:
    await asyncio.Event().wait()


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


# --- what an error says -----------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return (await call)[0]
    except SendError as error:
        return type(error) if error.detail else "an error without detail"


class Names(AbstractResolver):
    """Resolves every name to the addresses it was given, one list for each question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError(None, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in found
        ]

    async def close(self) -> None:
        return None


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def close_after_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head_of(reader)
    writer.transport.abort()


async def close_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    await forever()


async def unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await forever()


async def half_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()


async def half_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.2)


async def dripping_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.2)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


SMALL, BIG = b"{}", b"x" * (32 << 20)


@pytest.mark.parametrize(
    "script, body, called, posted",
    [
        (close_after_headers, BIG, Unreachable, Ambiguous),
        (close_after_headers, SMALL, Ambiguous, Ambiguous),
        (close_after_request, SMALL, Ambiguous, Ambiguous),
        (close_after_request, BIG, Ambiguous, Ambiguous),
        (unread, BIG, Ambiguous, Ambiguous),
        (silent, SMALL, Ambiguous, Ambiguous),
        (half_headers, SMALL, Ambiguous, Ambiguous),
        (dripping_headers, SMALL, Ambiguous, Ambiguous),
        (garbage, SMALL, Ambiguous, Ambiguous),
        (half_answer, SMALL, Ambiguous, 200),
        (endless, SMALL, Ambiguous, 200),
        (dripping, SMALL, Ambiguous, 200),
    ],
)
async def test_a_broken_exchange_is_classed_by_what_was_written(
    serve: Serve, log: Log, fetcher: Fetcher, script: Script, body: bytes, called: Any, posted: Any
) -> None:
    """Unreachable only where the request cannot have been acted on, and one connection per call.

    A webhook is judged by its status alone, so there an answer that breaks off counts.
    """
    url = await serve(script)
    assert await outcome(fetcher("POST", url, data=body, timeout=1.0)) == called
    assert await outcome(fetcher.post(url, body, {}, timeout=1.0)) == posted
    assert log.connections == 2


async def test_a_closed_door_may_or_may_not_have_let_something_in(
    serve: Serve, fetcher: Fetcher
) -> None:
    """A server that resets at accept is never taken for one that answered."""
    url = await serve(close_at_once)
    for body in (SMALL, BIG):
        assert await outcome(fetcher("POST", url, data=body)) in (Ambiguous, Unreachable)
        assert await outcome(fetcher.post(url, body, {})) in (Ambiguous, Unreachable)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_no_method_is_tried_twice(
    serve: Serve, log: Log, fetcher: Fetcher, method: str
) -> None:
    """aiohttp would send a GET again after a reset: a message could go out twice."""
    url = await serve(close_after_request)
    assert await outcome(fetcher(method, url)) == Ambiguous
    assert log.connections == 1


async def test_nobody_there_is_unreachable(fetcher: Fetcher) -> None:
    """Refused at once: nothing was sent."""
    url = f"http://127.0.0.1:{free_port()}/"
    assert await outcome(fetcher("POST", url, data=SMALL)) == Unreachable
    assert await outcome(fetcher.post(url, SMALL, {})) == Unreachable


async def test_no_such_name_is_unreachable() -> None:
    """DNS says no, or nothing."""
    fetcher = Fetcher(ON_PREMISE, resolver=Names([]))
    assert await outcome(fetcher("POST", "https://api.example/", data=SMALL)) == Unreachable
    assert await outcome(fetcher.post("https://api.example/", SMALL, {})) == Unreachable
    await fetcher.close()


async def test_no_tls_is_unreachable(serve: Serve, log: Log, fetcher: Fetcher) -> None:
    """A handshake that fails comes before the request."""
    url = (await serve(garbage)).replace("http:", "https:")
    assert await outcome(fetcher("POST", url, data=SMALL, timeout=2.0)) == Unreachable
    assert await outcome(fetcher.post(url, SMALL, {}, timeout=2.0)) == Unreachable


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "pair.pem"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_an_unknown_certificate_is_unreachable(
    tmp_path: Path, fetcher: Fetcher, log: Log
) -> None:
    """Nothing is said to a server that cannot prove who it is."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log.requests.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with pytest.raises(Unreachable, match="certificate"):
        await fetcher("POST", url, data=SMALL)
    with pytest.raises(Unreachable, match="certificate"):
        await fetcher.post(url, SMALL, {})
    server.close()
    assert log.requests == []


async def test_a_full_backlog_is_unreachable(fetcher: Fetcher) -> None:
    """No connection in time: nothing was sent."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            fillers.append(filler)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert await outcome(fetcher("POST", url, data=SMALL, timeout=1.0)) == Unreachable
        assert await outcome(fetcher.post(url, SMALL, {}, timeout=1.0)) == Unreachable
        for filler in fillers:
            filler.close()


async def test_a_connection_that_died_idle_is_not_used(
    serve: Serve, log: Log, fetcher: Fetcher
) -> None:
    """The server closed after its answer: the next call opens a new connection."""

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(OK)
        await writer.drain()

    url = await serve(one_answer)
    for _ in range(3):
        assert await outcome(fetcher.post(url, SMALL, {})) == 200
        await asyncio.sleep(0.05)
    assert log.connections == 3


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
