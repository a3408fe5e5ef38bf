"""What the hub hands to every part of a channel."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct, field

from hub.channel.doors import Connection
from hub.errors import Unreachable
from hub.model import ReplyAttachment


class HttpAnswer(NamedTuple):
    """What came back from a platform."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, whatever its Content-Type says.

        Raises:
            ValueError: the body is not JSON.
        """
        return msgspec.json.decode(self.body)


class Http(Protocol):
    """A guarded, logged HTTP client: the account's proxy, no redirects, time and size limits."""

    async def __call__(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        timeout: float = 15.0,
    ) -> HttpAnswer:
        """Make one call. JSON bodies are UTF-8, never ``\\u`` escapes; *files* is multipart:
        field → (file name, bytes, type). Any HTTP status comes back as an answer.

        Raises:
            Unreachable: nothing was sent (no name, refused, no TLS, connect timeout).
            Ambiguous: the call was written and no whole answer came.
        """
        ...


class Token(NamedTuple):
    """A platform access token and how many seconds it is good for.

    *margin_s* is how long before its end the platform gives a new one, where that is known: asked
    earlier it would give the same one again, and again.
    """

    value: str
    expires_in: float
    margin_s: float | None = None


class TokenStore(Protocol):
    """Platform tokens, sealed in the database; one refresh at a time for all processes."""

    async def get(
        self, name: str, fetch: Callable[[], Awaitable[Token]], *, unlike: str | None = None
    ) -> str:
        """The token *name*, fetched when there is none that is still good.

        *unlike* is the token that the platform just called expired: it is dropped only while it is
        still the stored one, so a hundred failures cause one refresh.
        """
        ...


class MediaStore(Protocol):
    """Where files to send are read from."""

    async def read(self, attachment: ReplyAttachment) -> bytes:
        """The whole file.

        Raises:
            Unsupported: there is no such file, or it is larger than the hub allows.
        """
        ...


class Connect(Protocol):
    """Opens a WebSocket as a client, guarded as :class:`Http` is."""

    async def __call__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_frame_bytes: int = 1 << 20,
        heartbeat: float | None = 30.0,
    ) -> Connection:
        """The open connection to *url* (``ws://`` or ``wss://``); it lasts until it is closed.

        A ping is sent each *heartbeat* seconds, and a peer that does not answer it is gone.

        Raises:
            BadCredentials: the peer answered 401 or 403.
            Unreachable: there is no connection.
        """
        ...


Question = Mapping[str, Any]
"""What goes through a relay, there and back: an object that JSON can hold."""


class Relay(Protocol):
    """Between the senders of an account and its one connection, whichever process holds that one."""

    async def ask(self, question: Question, *, timeout: float = 15.0) -> Question:
        """The answer of whoever serves the account.

        Raises:
            Unreachable: there is no connection now; nothing was done.
            Ambiguous: somebody took the question, and no answer came in time.
            SendError: what the one who serves raised.
        """
        ...

    async def serve(self, answer: Callable[[Question], Awaitable[Question]]) -> None:
        """Answer questions with *answer*, several at a time, until cancelled.

        Whoever begins last serves alone: this returns when another one has taken over.
        """
        ...


class _Nowhere:
    """No connection leads anywhere: tools without a core around them."""

    async def ask(self, question: Question, *, timeout: float = 15.0) -> Question:
        raise Unreachable("no connection is served here")

    async def serve(self, answer: Callable[[Question], Awaitable[Question]]) -> None:
        await asyncio.Event().wait()

    async def __call__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_frame_bytes: int = 1 << 20,
        heartbeat: float | None = 30.0,
    ) -> Connection:
        raise Unreachable("no connection can be opened here")


_NOWHERE = _Nowhere()


class Tools(Struct, frozen=True):
    """What the hub hands to every part of a channel."""

    http: Http
    tokens: TokenStore
    media: MediaStore
    clock: Callable[[], datetime]
    log: Any
    connect: Connect = field(default_factory=lambda: _NOWHERE)
    relay: Relay = field(default_factory=lambda: _NOWHERE)
