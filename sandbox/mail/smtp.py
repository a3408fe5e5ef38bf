"""A submission server, aiosmtpd, that delivers to the users of this machine only."""

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

MAX_MAIL_BYTES = 32 * 1024 * 1024

Stage = Literal["mail", "rcpt", "data", "after_data"]
"""Where a fault strikes: at MAIL FROM, at RCPT TO, at the end of DATA before
the mail is taken, or after it was taken."""

DROP = "drop"
"""Instead of an SMTP answer: cut the connection."""


@dataclass(slots=True)
class _Fault:
    stage: Stage
    answer: str
    count: int


class SmtpServer:
    """Takes mail by SMTP from users who log in, and hands it to *deliver*.

    Args:
        knows: whether an address has a mailbox here.
        check_password: whether user and password belong together.
        deliver: puts a mail into the mailboxes of its recipients.
    """

    def __init__(
        self,
        *,
        knows: Callable[[str], bool],
        check_password: Callable[[str, str], bool],
        deliver: Callable[[str, list[str], bytes], Awaitable[None]],
    ) -> None:
        self.port = 0
        self._knows = knows
        self._check_password = check_password
        self._deliver = deliver
        self._faults: list[_Fault] = []
        self._server: asyncio.Server | None = None
        self._connections: weakref.WeakSet[SMTP] = weakref.WeakSet()

    async def start(self, host: str, port: int) -> None:
        # At every login aiosmtpd warns about an old attribute that it sets itself.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self.drop_all()
            await server.wait_closed()

    def drop_all(self) -> None:
        """Cut every connection without a word."""
        for connection in list(self._connections):
            _cut(connection)

    def fail(self, stage: Stage, answer: str = DROP, *, count: int = 1) -> None:
        """Answer *answer* (``"451 4.3.0 later"``) at *stage*, the next *count* times.

        ``fail("after_data")`` takes the mail and loses the answer: the sender
        cannot know whether it went out.
        """
        self._faults.append(_Fault(stage, answer, count))

    def heal(self) -> None:
        """Forget faults that have not struck yet."""
        self._faults.clear()

    # Hooks: aiosmtpd finds them by these names ----------------------------------------

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        # Not aiosmtpd's own auth_required: without TLS, which loopback does not need, it warns.
        if not session.authenticated:
            return "530 5.7.0 log in first"
        fault = self._strike("mail", server)
        if fault is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return fault or "250 2.1.0 sender ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = self._strike("rcpt", server)
        if fault is not None:
            return fault
        if not self._knows(address):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        fault = self._strike("data", server)
        if fault is not None:
            return fault
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        await self._deliver(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        return self._strike("after_data", server) or "250 2.0.0 taken"

    # ---------------------------------------------------------------------

    def _connection(self) -> SMTP:
        connection = SMTP(
            self,
            hostname="localhost",
            ident="sandbox",
            data_size_limit=MAX_MAIL_BYTES,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._connections.add(connection)
        return connection

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        if isinstance(data, LoginPassword):
            user, password = (
                part.decode("utf-8", "replace") for part in (data.login, data.password)
            )
            if self._check_password(user, password):
                return AuthResult(success=True)
        return AuthResult(success=False, handled=False)

    def _strike(self, stage: Stage, server: SMTP) -> str | None:
        for fault in self._faults:
            if fault.stage == stage:
                fault.count -= 1
                if fault.count <= 0:
                    self._faults.remove(fault)
                if fault.answer == DROP:
                    _cut(server)
                    return "421 4.3.2 going away"
                return fault.answer
        return None


def _cut(connection: SMTP) -> None:
    transport = connection.transport
    if transport is not None:
        transport.abort()  # type: ignore[attr-defined]
