"""The way in: a platform calls us, we ask it, or a connection stands."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl

from msgspec import Struct, field

from hub.errors import NotAuthentic
from hub.model import Checkpoint, Draft, InboundEvent


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
