"""Pushing what users do to the account's callback URL, as the platform does it."""

import asyncio
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from sandbox.http import read_limited
from sandbox.journal import Clock, Journal
from sandbox.wechat.crypto import BadEnvelope, Envelope
from sandbox.wechat.messages import StampedAction, UserAction
from sandbox.wechat.mixing import Mixer
from sandbox.wechat.wire import BadBody, DataFormat, Field, Fields, parse, render

Mode = Literal["plain", "compatible", "safe"]

TRIES = 3
SECONDS_PER_TRY = 5.0
SERVICE_FAULT = "该公众号提供的服务出现故障，请稍后再试"
REPLY_KINDS = frozenset(
    {"text", "image", "voice", "video", "music", "news", "transfer_customer_service"}
)
READ_LIMIT_BYTES = 64 * 1024


class SignedPush(NamedTuple):
    """One try of a push: what follows the ``?``, the headers, and the body."""

    query: str
    headers: dict[str, str]
    body: bytes


Outcome = Literal["acked", "replied", "refused", "no_answer"]
"""``acked``: the answer was "success" or empty · ``replied``: a passive reply came ·
``refused``: any other answer, and no further try · ``no_answer``: three tries, none answered."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """How a push ended."""

    number: int
    openid: str
    message_id: str
    tries: int
    outcome: Outcome
    status: int | None = None
    answer: str = ""
    reply: dict[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    @property
    def acked(self) -> bool:
        """The account took responsibility: from here on the message must not be lost."""
        return self.outcome in ("acked", "replied")


@dataclass(frozen=True, slots=True)
class UrlCheck:
    """What came back when the platform asked the callback URL to prove itself."""

    ok: bool
    status: int | None
    body: str


class PushBuilder:
    """Stamps, signs and encrypts pushes. Cheap: one AES pass and two SHA-1."""

    def __init__(
        self,
        envelope: Envelope,
        original_id: str,
        mode: Mode,
        data_format: DataFormat,
        clock: Clock,
    ) -> None:
        self.envelope = envelope
        self.original_id = original_id
        self.mode: Mode = mode
        self.data_format: DataFormat = data_format
        self._clock = clock
        self._number = 0
        self._first_message_id = 24_000_000_000_000_000 + secrets.randbelow(10**9) * 10**6

    def stamp(self, action: UserAction) -> StampedAction:
        """Give *action* its number, id and time: from now on it never changes."""
        self._number += 1
        message_id = "" if action.is_event else str(self._first_message_id + self._number)
        fields = self._common(action) | dict(action.fields)
        if message_id:
            fields["MsgId"] = int(message_id)
        return StampedAction(
            action, self._number, message_id, render(fields, self.data_format), fields
        )

    def build(self, stamped: StampedAction) -> SignedPush:
        """A try of the push, freshly signed and encrypted: only the plaintext repeats."""
        timestamp, nonce = str(int(self._clock())), str(secrets.randbelow(2**31))
        query = {
            "signature": self.envelope.sign(timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "openid": stamped.action.openid,
        }
        if self.mode == "plain":
            return SignedPush(urlencode(query), self._headers(), stamped.plaintext)
        encrypted = self.envelope.seal(stamped.plaintext)
        query |= {
            "encrypt_type": "aes",
            "msg_signature": self.envelope.sign(timestamp, nonce, encrypted),
        }
        visible: Fields = (
            stamped.fields if self.mode == "compatible" else {"ToUserName": self.original_id}
        )
        return SignedPush(
            urlencode(query),
            self._headers(),
            render({**visible, "Encrypt": encrypted}, self.data_format),
        )

    def build_url_check(self, echo: str) -> str:
        """The query of the GET that proves the callback URL."""
        timestamp, nonce = str(int(self._clock())), str(secrets.randbelow(2**31))
        return urlencode(
            {
                "signature": self.envelope.sign(timestamp, nonce),
                "echostr": echo,
                "timestamp": timestamp,
                "nonce": nonce,
            }
        )

    def _common(self, action: UserAction) -> dict[str, Field]:
        return {
            "ToUserName": self.original_id,
            "FromUserName": action.openid,
            "CreateTime": int(self._clock()),
        }

    def _headers(self) -> dict[str, str]:
        kind = "application/json" if self.data_format == "json" else "text/xml"
        return {
            "Content-Type": kind,
            "User-Agent": "Mozilla/4.0",
            "Accept": "*/*",
            "Pragma": "no-cache",
        }


class Pusher:
    """Carries pushes to the callback: three tries of five seconds each.

    A try that gets no answer or whose connection is cut is followed by the
    next one when its five seconds are over; any answer ends the matter, good
    or bad. *time_scale* shortens the seconds for tests (0.1: half a second).
    """

    def __init__(self, builder: PushBuilder, journal: Journal, *, time_scale: float = 1.0) -> None:
        self.builder = builder
        self.seconds_per_try = SECONDS_PER_TRY * time_scale
        self.url_check_s: float | None = None
        """How long the proof of the callback URL may take; None: as long as a push."""
        self.in_flight = 0
        self.twice = 0
        """How many of the next pushes are repeated after their end, as when an answer was lost."""
        self.mixed = Mixer()
        self._journal = journal
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def push(self, stamped: StampedAction, to: str) -> PushResult:
        """Push until it is answered or three tries have failed; never raises for either."""
        self.in_flight += 1
        try:
            async with self.mixed.turn():
                result = await self._push(stamped, to)
            if self.twice > 0:
                self.twice -= 1
                self._record(stamped, await self._push(stamped, to))
        finally:
            self.in_flight -= 1
        self._record(stamped, result)
        return result

    async def check_url(self, url: str) -> UrlCheck:
        """The GET that the console sends when the callback URL is saved."""
        echo = str(secrets.randbelow(10**19))
        try:
            async with (
                asyncio.timeout(self.url_check_s or self.seconds_per_try),
                self._http().get(
                    _with_query(url, self.builder.build_url_check(echo)), allow_redirects=False
                ) as response,
            ):
                body = (await read_limited(response.content, READ_LIMIT_BYTES)).decode(
                    "utf-8", "replace"
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return UrlCheck(False, None, repr(error))
        return UrlCheck(response.status == 200 and body == echo, response.status, body)

    async def _push(self, stamped: StampedAction, to: str) -> PushResult:
        errors: list[str] = []
        loop = asyncio.get_running_loop()
        for tries in range(1, TRIES + 1):
            ends_at = loop.time() + self.seconds_per_try
            try:
                async with asyncio.timeout_at(ends_at):
                    status, body = await self._try(stamped, to)
                return self._judge(stamped, tries, status, body, tuple(errors))
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                errors.append(repr(error))
                if tries < TRIES:
                    await asyncio.sleep(ends_at - loop.time())
        return PushResult(
            stamped.number,
            stamped.action.openid,
            stamped.message_id,
            TRIES,
            "no_answer",
            errors=tuple(errors),
        )

    async def _try(self, stamped: StampedAction, to: str) -> tuple[int, bytes]:
        signed = self.builder.build(stamped)
        async with self._http().post(
            _with_query(to, signed.query),
            data=signed.body,
            headers=signed.headers,
            allow_redirects=False,
        ) as response:
            return response.status, await read_limited(response.content, READ_LIMIT_BYTES)

    def _judge(
        self, stamped: StampedAction, tries: int, status: int, body: bytes, errors: tuple[str, ...]
    ) -> PushResult:
        outcome: Outcome = "refused"
        reply: dict[str, str] = {}
        if status == 200 and body in (b"success", b""):
            outcome = "acked"
        elif status == 200:
            try:
                reply = self._read_reply(body)
                outcome = "replied"
            except (BadBody, BadEnvelope) as error:
                errors += (repr(error),)
        answer = body[:500].decode("utf-8", "replace")
        return PushResult(
            stamped.number,
            stamped.action.openid,
            stamped.message_id,
            tries,
            outcome,
            status,
            answer,
            reply,
            errors,
        )

    def _read_reply(self, body: bytes) -> dict[str, str]:
        """The fields of a passive reply.

        Raises:
            BadBody, BadEnvelope: what makes the phone show the service fault.
        """
        fields = parse(body, self.builder.data_format)
        if "Encrypt" in fields:
            fields = parse(self._open_reply(fields), self.builder.data_format)
        elif self.builder.mode == "safe":
            raise BadBody("in safe mode a reply must be encrypted")
        if fields.get("MsgType") not in REPLY_KINDS:
            raise BadBody(f"no such reply: {fields.get('MsgType')}")
        return fields

    def _open_reply(self, fields: dict[str, str]) -> bytes:
        signature, timestamp, nonce = (
            fields.get(name, "") for name in ("MsgSignature", "TimeStamp", "Nonce")
        )
        if not self.builder.envelope.verify(signature, timestamp, nonce, fields["Encrypt"]):
            raise BadEnvelope("the reply's signature is wrong")
        return self.builder.envelope.open(fields["Encrypt"])

    def _record(self, stamped: StampedAction, result: PushResult) -> None:
        facts: dict[str, Any] = asdict(result)
        facts["acked"] = result.acked
        facts["summary"] = stamped.action.summary
        self._journal.write("push", **facts)

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=5), auto_decompress=False
            )
        return self._session


def _with_query(url: str, query: str) -> URL:
    """*query* is already encoded, and signed text must not be encoded again."""
    return URL(f"{url}{'&' if '?' in url else '?'}{query}", encoded=True)
