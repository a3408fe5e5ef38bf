"""The contract of a channel.

A channel is one record, :class:`Channel`, that ties three parts together: an adapter or listener (the
door), a normalizer (pure) and a sender. No base class, no string keys: a part is any object with the
right methods, built as ``Part(account, tools)``. Third parties import from here and below.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct, field

from hub.errors import Closed, NotAuthentic, NotRecognised, Unreachable
from hub.model import (
    Address,
    Allowance,
    Attachment,
    Checkpoint,
    ConversationRef,
    Draft,
    InboundEvent,
    Receipt,
    Reply,
    ReplyAttachment,
    Result,
)

__all__ = [
    "Account",
    "Adapter",
    "AwaitReply",
    "Bell",
    "Capabilities",
    "Channel",
    "Check",
    "Closed",
    "Connect",
    "Connection",
    "Emit",
    "Http",
    "HttpAnswer",
    "Intake",
    "IntakeRequest",
    "Listener",
    "MediaSource",
    "MediaStore",
    "Normalizer",
    "NotAuthentic",
    "NotRecognised",
    "Reconciler",
    "Relay",
    "Response",
    "Restrained",
    "Restraint",
    "Sender",
    "Socket",
    "Token",
    "TokenStore",
    "Tools",
    "Typist",
    "Wake",
]

AccountSettings = TypeVar("AccountSettings", bound=Struct, covariant=True)


class Account(Struct, Generic[AccountSettings], frozen=True):
    """One configured presence on a channel; *settings* is the channel's own typed record."""

    name: str
    channel: str
    settings: AccountSettings


# --- the way in: push -------------------------------------------------------------------------------


class Response(Struct, frozen=True):
    """What the platform gets as an HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


class IntakeRequest(Struct, frozen=True):
    """A request as it came over the wire; *path* is without the query, header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    remote: str | None = None

    def single(self, name: str) -> str | None:
        """The query field *name*; None when it is absent.

        Raises:
            NotAuthentic: *name* stands more than once (one of them could hide from the check).
        """
        values = [
            value for key, value in parse_qsl(self.query, keep_blank_values=True) if key == name
        ]
        if len(values) > 1:
            raise NotAuthentic(f"query field {name} given {len(values)} times")
        return values[0] if values else None


class Bell(Struct, frozen=True):
    """A wake-up for a listener of the account, with what the callback brought."""

    key: str
    facts: Mapping[str, Any] = {}


class AwaitReply(Struct, frozen=True):
    """The platform takes a reply inside the HTTP answer: hold the answer for at most *within*.

    The core looks for queued replies in the conversation of the event with *dedupe_key*; *render*
    makes the answer from as many of their drafts as go into one (it raises Unsupported for those that
    do not), with the results of the drafts before them. ``response`` is sent when none comes in time.
    When the platform sends the event again it gets the same answer again: it never got the first.
    """

    dedupe_key: str
    within: timedelta
    render: Callable[[Sequence[Draft], Mapping[str, Any]], Response]


class Intake(Struct, frozen=True):
    """What an authentic request means: events to store, bells to ring, and the answer to give."""

    events: tuple[InboundEvent, ...] = ()
    bells: tuple[Bell, ...] = ()
    response: Response = field(default_factory=Response)
    await_reply: AwaitReply | None = None


class Adapter(Protocol):
    """Push: the platform calls us."""

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove the raw bytes genuine, decrypt them, and say what they bring. Touches no database.

        A handshake yields no events.

        Raises:
            NotAuthentic: there is no proof that the platform sent it (answered 403).
            NotRecognised: it is not a request of this platform (answered 400).
        """
        ...


# --- the way in: pull -------------------------------------------------------------------------------


class Emit(Protocol):
    """How a listener hands over what it read."""

    async def __call__(
        self, events: Sequence[InboundEvent], checkpoint: Checkpoint | None = None
    ) -> None:
        """Returns when *events* and *checkpoint* are stored, in one transaction.

        Only then may the listener acknowledge them upstream. Events already known are not an error.
        """
        ...

    async def checkpoint(self, key: str) -> Mapping[str, Any] | None:
        """The value last stored under *key*, or None."""
        ...


class Wake(Protocol):
    """Where a listener waits for a bell."""

    async def wait(self, timeout: float) -> Bell | None:
        """The next bell; None after *timeout* seconds, or sooner when one may have been lost."""
        ...


class Listener(Protocol):
    """Pull: a mailbox, a gateway, a ``sync_msg`` cursor. One leased owner in the whole cluster."""

    async def listen(self, emit: Emit, wake: Wake) -> None:
        """Run until cancelled. An exception restarts it, with back-off, and is shown to the admin.

        A SendError with a ``retry_after`` is tried again after as many seconds, however often it comes.
        """
        ...


class Connection(Protocol):
    """A WebSocket, whichever side opened it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The other side's headers of the upgrade, names in lower case."""
        ...

    async def receive(self) -> str | bytes:
        """The next frame.

        Raises:
            ConnectionError: the peer is gone; :class:`Closed` where its code is known.
        """
        ...

    async def send(self, frame: str | bytes) -> None:
        """Send one frame."""
        ...

    async def close(self, code: int = 1000) -> None:
        """Close the connection."""
        ...


class Socket(Protocol):
    """The platform or a visitor connects to us: OneBot's reverse WebSocket, web chat.

    A frame may have 1 MiB, or what an attribute ``max_frame_bytes`` says. Checkpoints that a socket
    emits are stored as they come: it has no lease, so the last one written counts.
    """

    async def serve(self, connection: Connection, emit: Emit) -> None:
        """Run one connection until it ends; raises NotAuthentic before anything is read."""
        ...


# --- the middle and the way out ---------------------------------------------------------------------


class Normalizer(Protocol):
    """From a raw event to what it means: pure, synchronous, deterministic."""

    def __call__(self, event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
        """An authentic event never raises for its content: what cannot be read is ``unsupported``."""
        ...


class Sender(Protocol):
    """How replies leave."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The platform calls that say *reply*, in order. Pure.

        Splits, merges and downgrades (and says so in ``Draft.note``). Runs when the reply is accepted
        and again when its lane is claimed, while nothing has left. An empty *allowances* means that
        the core knows of none.

        Raises:
            WindowClosed: the platform allows no reply now.
            Unsupported: this channel cannot carry it.
        """
        ...

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make exactly one platform call; *results* are those of the drafts before it.

        Raises:
            SendError: the narrowest class that fits.
        """
        ...


@runtime_checkable
class Reconciler(Protocol):
    """Optional power of a sender: find out what became of a call that nobody answered."""

    async def reconcile(self, draft: Draft) -> Receipt | None:
        """Ask the platform whether *draft* arrived; makes no message.

        None: it cannot be told yet. A receipt of status ``failed`` says that it never arrived, so
        that it may be sent again; any other says what became of it. Raises SendError like ``send``.
        """
        ...


@runtime_checkable
class Typist(Protocol):
    """Optional power of a sender: show the customer that somebody is writing an answer."""

    async def typing(self, to: Address, *, on: bool) -> bool:
        """Whether the platform shows it (*on*) or has ended it; False where it does not allow that now.

        Raises:
            SendError: the platform could not be asked.
        """
        ...


class Restraint(NamedTuple):
    """How much an account says: *automatic_a_day* answers of machines to one contact, *answers_an_hour*
    of any kind to one contact (0: any number), and *calls* of the whole account, (count, seconds) each.
    """

    automatic_a_day: int
    answers_an_hour: int = 0
    calls: tuple[tuple[int, float], ...] = ()


@runtime_checkable
class Restrained(Protocol):
    """Optional power of a sender: machines answer one another for ever unless somebody stops."""

    def restraint(self) -> Restraint:
        """The limits of this account."""
        ...


class MediaSource(Protocol):
    """Optional: fetch an attachment that the platform keeps for a while."""

    def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The bytes, in pieces. Raises SendError."""
        ...


class Check(Struct, frozen=True):
    """One finding of ``hub check``: *advice* says what to do, or what to paste where."""

    ok: bool
    name: str
    detail: str
    advice: str | None = None


class Checker(Protocol):
    """Optional: try the account's credentials and settings against the real platform."""

    def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come. *public_url* is where the hub can be reached from outside."""
        ...


# --- what the hub hands to a part -------------------------------------------------------------------


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


# --- the record -------------------------------------------------------------------------------------


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a channel can do, as data; the conformance kit checks that it is what is observed.

    *free_text* is False where a reply's text goes out through approved templates only.
    *attachments* maps a kind to its largest size in bytes. *allowance* is how many replies one
    customer message opens, *reply_window* for how long (None: no limit). *drops_repeats_for* is for how
    long the platform may take an equal call for a repeat and drop it.
    """

    free_text: bool = True
    max_text_bytes: int | None = None
    max_text_characters: int | None = None
    attachments: Mapping[str, int] = {}
    reply_window: timedelta | None = None
    allowance: int | None = None
    drops_repeats_for: timedelta | None = None
    receipts: tuple[str, ...] = ()
    quoting: bool = False
    recall: bool = False
    proactive: bool = False
    menus: bool = False
    templates: bool = False
    signed: bool = True


Part = TypeVar("Part", covariant=True)


class Maker(Protocol[Part]):
    """Builds a part of a channel for one account."""

    def __call__(self, account: Account[Any], tools: Tools, /) -> Part: ...


class Opens(Protocol):
    """Where a message goes that nobody has asked for."""

    def __call__(self, to: Address, account: Account[Any], /) -> tuple[Address, ConversationRef]:
        """The recipient's address as this channel writes it, and the conversation it is in."""
        ...


class Channel(Struct, frozen=True, kw_only=True):
    """What a channel is.

    *settings* is a ``msgspec.Struct`` class with documented fields. *hostile* channels are parsed in
    killable child processes. *max_body_bytes* is the largest callback body where the hub's usual
    limit is too small. *callback* says that the platform calls us at ``/in/{key}/{account}``.
    *setup* renders what an admin pastes into the platform's console. A maker of a listener may give
    None: this account has nothing to listen to. *opens* is for channels that write first and do not
    call a conversation by the bare address.
    """

    key: str
    title: str
    settings: type[Struct]
    normalize: Normalizer
    capabilities: Capabilities
    docs_url: str
    sender: Maker[Sender] | None = None
    adapter: Maker[Adapter] | None = None
    listener: Maker[Listener | None] | None = None
    socket: Maker[Socket] | None = None
    media: Maker[MediaSource] | None = None
    checker: Maker[Checker] | None = None
    opens: Opens | None = None
    hostile: bool = False
    max_body_bytes: int | None = None
    retries_on: str = "503"  # "close": this platform tries again only when the connection just ends


def reply_state(
    allowances: Sequence[Allowance], *, windowed: bool, now: datetime
) -> tuple[datetime | None, int | None, tuple[str, ...]]:
    """What *allowances* still let us say at *now*: until when, how often, in which modes.

    A channel without windows (*windowed* false) has no limit.
    """
    if not windowed:
        return None, None, ("free",)
    live = [a for a in allowances if (a.until is None or a.until > now) and a.remaining != 0]
    free = [a for a in live if a.mode == "free"]
    counts = [a.remaining for a in free]
    modes = tuple(dict.fromkeys(a.mode for a in live))
    if not free:
        return None, 0, modes
    untils = [a.until for a in free if a.until is not None]
    remaining = (
        None if any(count is None for count in counts) else sum(c for c in counts if c is not None)
    )
    return (max(untils) if len(untils) == len(free) else None), remaining, modes
