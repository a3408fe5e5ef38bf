"""An IMAP and an SMTP server that share their users: a mail provider on this machine."""

import asyncio
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

from sandbox.files import File
from sandbox.journal import Clock, Journal
from sandbox.mail.imap import ImapServer
from sandbox.mail.letters import NO_THREAD, Letter, address_in, read_letter, write_letter
from sandbox.mail.smtp import SmtpServer, Stage

KEPT_LETTERS = 200
HOSTNAME = "mail.sandbox.example"


class MailPair:
    """Mail for a handful of users: send by SMTP, read by IMAP.

    Example::

        mail = MailPair({"support@shop.example": "secret"})
        await mail.start()
        letter = await mail.send_as("anna@home.example", "support@shop.example", "Hello", "…")
        answer = await mail.wait_for_letter("anna@home.example")
        await mail.stop()
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        clock: Clock = time.time,
        journal_path: Path | None = None,
    ) -> None:
        self.clock = clock
        self.journal = Journal(journal_path, clock=clock)
        self.imap = ImapServer()
        self.smtp = SmtpServer(
            knows=self.knows, check_password=self._check_password, deliver=self._take_from_smtp
        )
        self.listeners: list[Callable[[str, Letter], None]] = []
        self._passwords = {address.lower(): password for address, password in (users or {}).items()}
        self._letters: dict[str, deque[Letter]] = {}
        self._numbers = 0
        self._waiting: set[asyncio.Event] = set()

    # Running -------------------------------------------------------------

    @property
    def imap_port(self) -> int:
        return self.imap.port

    @property
    def smtp_port(self) -> int:
        return self.smtp.port

    async def start(self, imap_port: int = 0, smtp_port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen. After ``stop`` the same ports are taken again, and all mail is still there."""
        for address, password in self._passwords.items():
            await self.imap.set_user(address, password)
        await self.imap.start(host, imap_port or self.imap.port)
        await self.smtp.start(host, smtp_port or self.smtp.port)

    async def stop(self) -> None:
        """Cut all connections and stop listening; the mail is kept for the next ``start``."""
        await self.smtp.stop()
        await self.imap.stop()

    async def close(self) -> None:
        """Stop for good."""
        await self.stop()
        self.journal.close()

    # Users ---------------------------------------------------------------

    async def add_user(self, address: str, password: str | None = None) -> str:
        """Give *address* a mailbox; returns its password."""
        name = address.lower()
        if name not in self._passwords:
            self._passwords[name] = password or secrets.token_urlsafe(16)
            await self.imap.set_user(name, self._passwords[name])
        return self._passwords[name]

    def knows(self, address: str) -> bool:
        return self._owner_of(address) is not None

    # Mail ----------------------------------------------------------------

    async def send_as(
        self,
        sender: str,
        to: str,
        subject: str,
        text: str,
        *,
        name: str = "",
        html: str | None = None,
        files: Sequence[File] = (),
        answering: Letter | None = None,
        thread: Sequence[str] = NO_THREAD,
    ) -> Letter:
        """Write a mail as a customer; *answering* continues the thread of that letter."""
        await self.add_user(sender)
        if answering is not None:
            thread = (*answering.references, answering.message_id)
        raw = write_letter(
            sender,
            to,
            subject,
            text,
            at=self.clock(),
            name=name,
            html=html,
            files=files,
            thread=thread,
        )
        return await self.send_raw(sender, to, raw)

    async def send_raw(self, sender: str, to: str, raw: bytes) -> Letter:
        """Send bytes as they are: for captured, odd or broken mails."""
        await self.add_user(sender)
        letter = self._keep(sender.lower(), "sent", raw, [to])
        await self.deliver(sender, [to], raw)
        return letter

    async def deliver(self, sender: str, recipients: Sequence[str], raw: bytes) -> None:
        """Put a mail into the mailbox of every recipient who has one here."""
        for recipient in recipients:
            owner = self._owner_of(recipient)
            if owner is not None:
                await self.imap.deliver(owner, _trace_lines(sender, recipient, self.clock()) + raw)
                self._keep(owner, "received", raw, recipients)

    def letters(self, address: str) -> list[Letter]:
        """What *address* sent and received, oldest first; the newest 200."""
        return list(self._letters.get(address.lower(), ()))

    async def wait_for_letter(
        self,
        address: str,
        wanted: Callable[[Letter], bool] | None = None,
        *,
        after: int = 0,
        timeout: float = 10.0,
    ) -> Letter:
        """The first letter that *address* received with a number above *after*.

        Raises:
            TimeoutError: none came.
        """
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for letter in self.letters(address):
                        if (
                            letter.direction == "received"
                            and letter.number > after
                            and (wanted is None or wanted(letter))
                        ):
                            return letter
                    news.clear()
                    await news.wait()
        finally:
            self._waiting.discard(news)

    async def wait_until_watched(self, address: str, *, timeout: float = 10.0) -> None:
        """Until some client has the inbox of *address* open.

        What was there before, a careful client may take for old.

        Raises:
            TimeoutError: nobody came.
        """
        async with asyncio.timeout(timeout):
            while not await self.imap.is_watched(address.lower()):  # noqa: ASYNC110 - pymap tells nobody
                await asyncio.sleep(0.02)

    # Faults --------------------------------------------------------------

    def drop_all(self) -> None:
        """Cut every IMAP and SMTP connection without a word."""
        self.imap.drop_all()
        self.smtp.drop_all()

    def wipe(self, address: str) -> None:
        """Begin the mailbox anew, with another UIDVALIDITY, as after a move to a new server."""
        self.imap.wipe(address.lower())

    def fail_smtp(self, stage: Stage, answer: str = "drop", *, count: int = 1) -> None:
        self.smtp.fail(stage, answer, count=count)

    # ---------------------------------------------------------------------

    async def _take_from_smtp(self, sender: str, recipients: list[str], raw: bytes) -> None:
        await self.deliver(sender, recipients, raw)

    def _keep(
        self,
        owner: str,
        direction: Literal["received", "sent"],
        raw: bytes,
        recipients: Sequence[str],
    ) -> Letter:
        self._numbers += 1
        letter = read_letter(
            raw, number=self._numbers, at=self.clock(), direction=direction, recipients=recipients
        )
        self._letters.setdefault(owner, deque(maxlen=KEPT_LETTERS)).append(letter)
        self.journal.write(
            direction,
            owner=owner,
            number=letter.number,
            message_id=letter.message_id,
            sender=letter.sender,
            subject=letter.subject,
        )
        for listener in self.listeners:
            listener(owner, letter)
        for news in self._waiting:
            news.set()
        return letter

    def _owner_of(self, address: str) -> str | None:
        """Whose mailbox takes mail for *address*; ``anna+shop@`` belongs to ``anna@``."""
        name = address_in(address)
        local, _, domain = name.rpartition("@")
        for candidate in (name, f"{local.partition('+')[0]}@{domain}"):
            if candidate in self._passwords:
                return candidate
        return None

    def _check_password(self, user: str, password: str) -> bool:
        expected = self._passwords.get(user.lower())
        return expected is not None and hmac.compare_digest(expected.encode(), password.encode())


def _trace_lines(sender: str, recipient: str, at: float) -> bytes:
    """What a receiving server writes above a mail."""
    date = format_datetime(datetime.fromtimestamp(at, UTC))
    return (
        f"Return-Path: <{sender}>\r\n"
        f"Delivered-To: {recipient}\r\n"
        f"Received: by {HOSTNAME} with ESMTP; {date}\r\n"
    ).encode()
