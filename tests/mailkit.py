"""What the tests of the email channel share: an account, and a memory of what was emitted."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.email import EmailListener, EmailSettings, mailbox
from hub.channel import Account, Bell
from hub.model import Checkpoint, InboundEvent, Message, Result, Secret
from hub.testing import Workbench
from normalizers.email import normalize
from sandbox.imap_fake import FakeImapServer

SUPPORT = "support@shop.example"
ANNA = "anna@home.example"
PASSWORD = "correct horse"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


_SECRETS = {
    "tag_secret",
    "dkim_key",
    "webhook_secret",
    "oauth_client_secret",
    "oauth_refresh_token",
}

PLAIN = b"Content-Type: text/plain\r\n\r\nplain"
"""A part of a mail."""


def account(**changes: Any) -> Account[EmailSettings]:
    """A mailbox on this machine without TLS; *changes* are settings."""
    settings: dict[str, Any] = {
        "address": SUPPORT,
        "imap_host": "127.0.0.1",
        "imap_port": 1,
        "imap_security": "none",
        "smtp_host": "127.0.0.1",
        "smtp_port": 1,
        "smtp_security": "none",
        "password": Secret(PASSWORD),
        "poll_seconds": 0.05,
    }
    changes = {
        name: Secret(value) if isinstance(value, str) and name in _SECRETS else value
        for name, value in changes.items()
    }
    return Account("mail", "email", EmailSettings(**settings | changes))


def event(raw: bytes, **headers: str) -> InboundEvent:
    """A mail as the listener emits it."""
    return InboundEvent(
        dedupe_key="imap:INBOX:1:1",
        order_key="mailbox",
        body=raw,
        received_at=NOW,
        headers=headers,
        proof="imap",
    )


def normalize_for(one: InboundEvent, place: Account[EmailSettings]) -> list[Message]:
    """The messages that *one* means to the account *place*."""
    return [found for found in normalize(one, place) if isinstance(found, Message)]


def results(raw: bytes, **headers: str) -> list[Result]:
    """What the mail *raw* means."""
    return list(normalize(event(raw, **headers), account()))


def message(raw: bytes, **headers: str) -> Message:
    """The one message that the mail *raw* is."""
    (found,) = results(raw, **headers)
    assert isinstance(found, Message)
    return found


class Memory:
    """Stores what a listener emits as the core would: events by key, checkpoints, in the order given."""

    def __init__(self) -> None:
        self.events: dict[str, InboundEvent] = {}
        self.order: list[str] = []
        self.checkpoints: dict[str, Mapping[str, Any]] = {}
        self.changed = asyncio.Event()
        self.before: Callable[[Sequence[InboundEvent]], None] = lambda _events: None

    async def __call__(
        self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        """Store, as one."""
        self.before(events)
        for one in events:
            if one.dedupe_key not in self.events:
                self.events[one.dedupe_key] = one
                self.order.append(one.dedupe_key)
        if checkpoint:
            self.checkpoints[checkpoint.key] = checkpoint.value
        self.changed.set()

    async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
        """The last value under *key*."""
        return self.checkpoints.get(key)

    async def wait_until(self, reached: Callable[[], bool], timeout: float = 10) -> None:
        """Until *reached* holds; looked at whenever something was stored."""
        async with asyncio.timeout(timeout):
            while not reached():
                self.changed.clear()
                await self.changed.wait()

    async def wait_for(self, count: int, timeout: float = 10) -> list[InboundEvent]:
        """The events, once there are *count*."""
        await self.wait_until(lambda: len(self.order) >= count, timeout)
        return [self.events[key] for key in self.order]


class NoBells:
    """A wake that nobody rings."""

    async def wait(self, timeout: float) -> Bell | None:
        """Nothing, after *timeout*."""
        await asyncio.sleep(timeout)
        return None


class Running:
    """A listener that runs while the ``async with`` does."""

    def __init__(
        self, account: Account[EmailSettings], memory: Memory, bench: Workbench | None = None
    ) -> None:
        self.bench = bench or Workbench()
        self.listener = EmailListener(account, self.bench.tools)
        self.memory = memory
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Running":
        self.task = asyncio.create_task(self.listener.listen(self.memory, NoBells()))
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def is_ready(self) -> None:
        """Once the folder's mark is stored: from here on mail is new."""
        await self.memory.wait_until(lambda: bool(self.memory.checkpoints))


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this machine that nobody else has signed: its file, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path = folder / "key.pem"
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, key_path)
    return path, context


async def eventually(holds: Callable[[], bool], timeout: float = 5) -> None:
    """Until *holds* does."""
    async with asyncio.timeout(timeout):
        while not holds():
            await asyncio.sleep(0.01)


def simple_mail(number: int = 1, *, sender: str = ANNA, body: str = "hello") -> bytes:
    """A small mail, told from others by its number."""
    return (
        f"From: {sender}\r\nTo: {SUPPORT}\r\nSubject: mail {number}\r\n"
        f"Message-ID: <{number}@home.example>\r\nDate: Sat, 21 Nov 2026 11:00:00 +0000\r\n"
        f"\r\n{body} {number}\r\n"
    ).encode()


@asynccontextmanager
async def server(**settings: Any) -> AsyncIterator[FakeImapServer]:
    """A scripted server."""
    fake = FakeImapServer(**settings)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


def shorten_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time limits of mailboxes that tests can wait for."""
    monkeypatch.setattr(mailbox, "COMMAND_TIMEOUT_S", 1.0)
    monkeypatch.setattr(mailbox, "CONNECT_TIMEOUT_S", 1.0)
    monkeypatch.setattr("adapters.email.imap_client.COMMAND_TIMEOUT_S", 1.0)
    monkeypatch.setattr("adapters.email.listener.FIRST_DELAY_S", 0.001)


def multipart(kind: str, *parts: bytes) -> bytes:
    """A mail of these parts."""
    joined = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return (
        b"From: a@b.example\r\nSubject: s\r\nContent-Type: multipart/%s; boundary=b\r\n\r\n"
        % kind.encode()
        + joined
        + b"--b--\r\n"
    )
