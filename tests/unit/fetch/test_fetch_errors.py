"""What an error of the guarded HTTP client says of the request."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hub.errors import Ambiguous, Unreachable
from hub.fetch import ON_PREMISE, Fetcher
from sandbox.http import free_port
from tests.fetchkit import (
    BIG,
    OK,
    SMALL,
    Log,
    Names,
    Script,
    Serve,
    endless,
    forever,
    head_of,
    outcome,
    request_of,
    silent,
)


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def close_after_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await head_of(reader)
    writer.transport.abort()


async def close_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)


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
