"""The SMTP connections of an account, and what a server's answers mean."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
)
from outbound.email.oauth import MailTokens
from outbound.email.settings import EmailSettings, tls_context

__all__ = ["Posted", "SmtpPool", "Taken", "error_of"]

# Providers allow few connections at a time.
MAX_CONNECTIONS = 3
# The core gives a call 15 s, and cannot know that a mail was still waiting for its connection.
BEFORE_TEXT_S = 12.0
CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
NOOP_TIMEOUT_S = 5.0
# The whole upload and the answer; RFC 5321 section 4.5.3.2.6 asks for patience after the final dot.
DATA_TIMEOUT_S = 300.0
MAX_IDLE_S = 60.0
# Greylisting servers want to see some time pass before the next try.
RETRY_AFTER_S = 60.0

# Reply code → what it means (RFC 5321 section 4.2.3, RFC 4954 section 6); the stage decides below
# where one code has two meanings. Codes beat exception classes, which only name the stage.
_CODES: Mapping[int, type[SendError]] = {
    421: Unreachable,  # service not available, closing
    432: BadCredentials,  # a password transition is needed
    450: RateLimited,  # mailbox busy, greylisting
    451: RateLimited,  # local error, or "too many"
    452: RateLimited,  # too little storage, too many recipients
    454: Unreachable,  # temporary authentication failure
    455: Unreachable,
    500: Rejected,
    530: BadCredentials,  # authentication required
    534: BadCredentials,  # this mechanism is too weak: an app password is wanted
    535: BadCredentials,  # name or password wrong
    538: BadCredentials,  # encryption required
    550: Rejected,  # of a recipient: RecipientGone
    551: RecipientGone,  # user not local
    552: Rejected,  # too large, or mailbox over quota
    553: Rejected,  # name not allowed: of a recipient RecipientGone
    554: Rejected,  # policy, spam
    556: RecipientGone,  # the domain takes no mail (RFC 7504)
}
_OF_A_RECIPIENT = frozenset({550, 551, 553, 556})
# Enhanced status codes (RFC 3463) that say more than the code: prefix of the text → class.
_STATUS: tuple[tuple[str, type[SendError]], ...] = (
    ("5.7.30", BadCredentials),  # Microsoft 365: basic authentication is switched off
    ("5.7.57", BadCredentials),  # Microsoft 365: not authenticated
    ("5.1.1", RecipientGone),
    ("5.1.2", RecipientGone),
    ("5.1.10", RecipientGone),
    ("5.2.1", RecipientGone),
)
# Pace limits that large Chinese providers dress as permanent refusals.
_PACE_WORDS = ("frequency limited", "too many", "try again", "rate limit")


def error_of(code: int, text: str, *, of_recipient: bool = False) -> SendError:
    """The refusal *code* *text* as the hub's error."""
    kind = _CODES.get(code, Unreachable if code < 500 else Rejected)
    if of_recipient and code in _OF_A_RECIPIENT:
        kind = RecipientGone
    status = text.split(" ", 1)[0]
    kind = next((found for prefix, found in _STATUS if status == prefix), kind)
    if of_recipient and status.startswith("5.7."):
        kind = Rejected
    if code >= 500 and any(word in text.lower() for word in _PACE_WORDS):
        kind = RateLimited
    pause = RETRY_AFTER_S if kind is RateLimited else None
    return kind(f"{code} {text}"[:500], external_code=code, retry_after=pause)


def _refused(error: SMTPResponseException, *, of_recipient: bool = False) -> SendError:
    return error_of(error.code, error.message, of_recipient=of_recipient)


def _advice(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with the server (is the port right?): {error.reason or error}"
    return f"{type(error).__name__}: {error}"[:300]


class Posted(NamedTuple):
    """A mail with its envelope."""

    sender: str
    recipient: str
    raw: bytes
    copies: Sequence[str] = ()


class Taken(NamedTuple):
    """What the server said to a mail, and which copies it refused, with its reasons."""

    answer: str
    refused: Mapping[str, str]


def _options(client: SMTP, mail: Posted) -> list[str]:
    """What to ask for with MAIL.

    Raises:
        RecipientGone: an address needs SMTPUTF8 (RFC 6531) and the server does not know it.
    """
    if mail.sender.isascii() and mail.recipient.isascii():
        return []
    if not client.supports_extension("smtputf8"):
        raise RecipientGone("this server knows no addresses in other scripts (SMTPUTF8)")
    return ["SMTPUTF8", "BODY=8BITMIME"]


class SmtpPool:
    """Keeps a few connections for a while; each carries one mail after the other."""

    def __init__(self, settings: EmailSettings, tokens: MailTokens | None = None) -> None:
        self._settings = settings
        self._tokens = tokens
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}

    async def deliver(self, mail: Posted) -> Taken:
        """Hand over one mail.

        Raises:
            SendError: Ambiguous once the text is on its way and no answer came, else not sent.
        """
        try:
            async with asyncio.timeout(BEFORE_TEXT_S) as limit, self._room:
                client = await self._take()
                try:
                    refused = await self._envelope(client, mail)
                    _lift(limit)
                    answer = await self._data(client, mail.raw)
                except SendError:
                    _lift(limit)
                    await self._give_back(client, after_refusal=True)
                    raise
                except (SMTPException, OSError, ValueError) as error:
                    client.close()
                    raise Unreachable(_advice(error)) from error
                except BaseException:
                    client.close()
                    raise
                await self._give_back(client)
                return Taken(answer, refused)
        except TimeoutError as error:
            raise Unreachable(f"the server was not ready in {BEFORE_TEXT_S:g} s") from error

    async def close(self) -> None:
        """End all connections that nobody uses."""
        while self._idle:
            client, timer = self._idle.popitem()
            timer.cancel()
            try:
                await client.quit(timeout=5)
            except (SMTPException, OSError):
                client.close()

    async def connect(self) -> SMTP:
        """A new connection, logged in.

        Raises:
            SendError: Unreachable or BadCredentials; nothing was sent.
        """
        settings = self._settings
        client = SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            tls_context=None if settings.smtp_security == "none" else tls_context(settings),
            local_hostname="localhost",
            timeout=COMMAND_TIMEOUT_S,
        )
        try:
            await client.connect(timeout=CONNECT_TIMEOUT_S)
            await client.ehlo()
            await self._login(client)
        except SMTPResponseException as error:
            client.close()
            raise _refused(error) from error
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise Unreachable(_advice(error)) from error
        except BaseException:
            client.close()
            raise
        return client

    async def _login(self, client: SMTP) -> None:
        name, password = self._settings.smtp_login()
        if not password and not self._settings.wants_oauth:
            return
        if not client.supports_extension("auth"):
            raise BadCredentials("the server offers no login here; is smtp_security right?")
        try:
            if self._settings.wants_oauth:
                await self._log_in_with_token(client, name)
            else:
                await client.login(name, password)
        except SMTPAuthenticationError as error:
            if error.code < 500 and error.code != 432:
                raise Unreachable(
                    f"{error.code} {error.message}", external_code=error.code
                ) from error
            raise BadCredentials(
                f"{error.code} {error.message}", external_code=error.code
            ) from error
        except SMTPNotSupported as error:
            raise BadCredentials(f"no common way to log in: {error.message}") from error

    async def _log_in_with_token(self, client: SMTP, name: str) -> None:
        """With a token, which is renewed once when the server refuses it."""
        if self._tokens is None:
            raise BadCredentials("there are no tokens here")
        token = await self._tokens.get()
        try:
            await client.auth_xoauth2(name, token)
        except SMTPAuthenticationError:
            renewed = await self._tokens.get(unlike=token)
            await client.auth_xoauth2(name, renewed)

    async def _take(self) -> SMTP:
        """A connection that works: a kept one, or a new one."""
        while self._idle:
            client, timer = self._idle.popitem()
            timer.cancel()
            if not client.is_connected:
                continue
            try:
                await client.noop(timeout=NOOP_TIMEOUT_S)
            except (SMTPException, OSError):
                client.close()
            except BaseException:
                client.close()
                raise
            else:
                return client
        return await self.connect()

    async def _give_back(self, client: SMTP, *, after_refusal: bool = False) -> None:
        """Keep *client* for the next mail; after a refusal with a clean state, or not at all."""
        try:
            if after_refusal and client.is_connected:
                await client.rset(timeout=NOOP_TIMEOUT_S)
        except (SMTPException, OSError):
            client.close()
        if client.is_connected:
            loop = asyncio.get_running_loop()
            self._idle[client] = loop.call_later(MAX_IDLE_S, self._dismiss, client)

    def _dismiss(self, client: SMTP) -> None:
        if self._idle.pop(client, None):
            client.close()

    async def _envelope(self, client: SMTP, mail: Posted) -> Mapping[str, str]:
        """Who sends to whom; the copies that the server refuses are told, and no reason to stop."""
        limit = client.esmtp_extensions.get("size", "")
        if limit.isdigit() and 0 < int(limit) < len(mail.raw):
            raise Rejected(f"a mail of {len(mail.raw)} bytes; this server takes {limit}")
        options = _options(client, mail)
        try:
            await client.mail(mail.sender, options=options, encoding="utf-8")
            await client.rcpt(mail.recipient, encoding="utf-8")
        except SMTPResponseException as error:
            of_recipient = isinstance(error, SMTPRecipientRefused)
            raise _refused(error, of_recipient=of_recipient) from error
        refused = {}
        for copy in mail.copies:
            try:
                await client.rcpt(copy, encoding="utf-8")
            except SMTPRecipientRefused as error:
                refused[copy] = f"{error.code} {error.message}"[:200]
        return refused

    async def _data(self, client: SMTP, raw: bytes) -> str:
        with _watched(client) as sizes:
            try:
                answer = await client.data(raw, timeout=DATA_TIMEOUT_S)
            except SMTPResponseException as error:
                raise _refused(error) from error
            except (SMTPException, OSError) as error:
                client.close()
                # The second write is the text.
                if len(sizes) > 1:
                    raise Ambiguous(f"no answer after the text: {_advice(error)}") from error
                raise Unreachable(_advice(error)) from error
        return answer.message


def _lift(limit: asyncio.Timeout) -> None:
    """No time limit any more, unless it has struck already."""
    if not limit.expired():
        limit.reschedule(None)


@contextmanager
def _watched(client: SMTP) -> Iterator[Sequence[int]]:
    """The sizes of what is written to the network meanwhile.

    aiosmtplib's errors do not say on which side of the server's 354 the connection broke.
    """
    protocol: Any = client.protocol
    usual = protocol.write
    sizes: list[int] = []

    def write(data: bytes) -> None:
        sizes.append(len(data))
        usual(data)

    protocol.write = write
    try:
        yield sizes
    finally:
        del protocol.write
