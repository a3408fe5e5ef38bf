"""The contract of a helpdesk: how events reach it, and how its agents' answers come back.

A destination is one record, :class:`Destination`, of one of two sorts. One whose *courier* turns an event
into one signed request is a webhook, and its helpdesk calls the hub's API. One with a *desk* is a
connector: it speaks a helpdesk's own API, and the hub does the rest. The core owns order, retries, the
breaker, the dead letters, which ticket belongs to which conversation, and which agent's message was seen.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

from hub.channel import Check, Http, IntakeRequest, Response
from hub.model import Address, Location

__all__ = [
    "EVENT_TYPES",
    "Callback",
    "Case",
    "Courier",
    "Desk",
    "DeskTools",
    "Destination",
    "Event",
    "Heard",
    "HeardFile",
    "Insight",
    "Line",
    "OutCall",
    "Post",
    "PostFile",
    "Seen",
    "State",
    "Target",
    "Ticket",
    "Told",
]

EVENT_TYPES = frozenset(
    {
        "account.state",
        "attachment.ready",
        "contact.merged",
        "contact.unmerged",
        "conversation.created",
        "conversation.updated",
        "delivery.gap",
        "message.received",
        "message.status",
        "notice.received",
    }
)
"""What a destination is told of."""

State = Literal["open", "pending", "resolved"]


class Event(Struct, frozen=True, kw_only=True):
    """An event as it leaves: *body* is frozen when the event is made, so a repeat is identical.

    *trace* is the W3C trace context (``traceparent``): its trace id is the message's own number.
    """

    id: str
    type: str
    body: bytes
    replayed: bool = False
    trace: str | None = None


class OutCall(Struct, frozen=True, kw_only=True):
    """One signed request."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


class Target(Struct, frozen=True):
    """One configured destination; *settings* is the kind's own typed record."""

    name: str
    kind: str
    settings: Any


class Courier(Protocol):
    """Makes the request for an event. Pure but for the clock that it is handed."""

    def request(self, event: Event, now: datetime) -> OutCall:
        """The signed request that carries *event*."""
        ...


class CourierMaker(Protocol):
    """Builds the courier of one configured destination."""

    def __call__(self, target: Target, /) -> Courier: ...


# --- connectors: what goes to the helpdesk ----------------------------------------------------------


class Case(Struct, frozen=True, kw_only=True):
    """What a ticket is about: one conversation, the *number*-th time that it was opened."""

    conversation_id: str
    number: int
    channel: str
    channel_title: str
    account: str
    queue: str
    address: Address
    is_group: bool = False
    name: str | None = None
    subject: str | None = None

    @property
    def key(self) -> str:
        """A name for the case that no other has, for helpdesks that keep one."""
        return f"hub:{self.conversation_id}:{self.number}"


class PostFile(Struct, frozen=True, kw_only=True):
    """A file of a post; *link* leads to it for those helpdesks that do not take its kind."""

    key: str
    filename: str
    mime_type: str
    content: bytes
    link: str | None = None


class Post(Struct, frozen=True, kw_only=True):
    """Something to be put into a ticket, once; *key* tells it from all others.

    *role* ``contact``: the customer said it; ``agent``: it was said to the customer elsewhere; ``hub``:
    for agents only. *footer* is one line that tells agents what the channel allows ("reply until …").
    """

    key: str
    role: Literal["contact", "agent", "hub"]
    text: str
    at: datetime
    author: str | None = None
    html: str | None = None
    files: tuple[PostFile, ...] = ()
    footer: str | None = None
    location: Location | None = None
    reply_until: datetime | None = None
    replies_left: int | None = None


class Ticket(Struct, frozen=True, kw_only=True):
    """Where a case lies in its helpdesk: *ref* is the id there, *facts* what the connector wants kept."""

    ref: str
    facts: Mapping[str, Any] = {}
    state: State = "open"
    assignee: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """What became of an agent's message, as its helpdesk is told: *ref* is the message's id there."""

    ref: str | None
    status: str
    text: str
    reason: str | None = None


# --- connectors: what comes from the helpdesk -------------------------------------------------------


class HeardFile(Struct, frozen=True, kw_only=True):
    """A file that an agent attached; *url* is absolute."""

    url: str
    filename: str
    mime_type: str | None = None


class Heard(Struct, frozen=True, kw_only=True):
    """One entry of a ticket. Only a ``reply`` is ever sent to the customer; *reason* says why another
    kind is not.

    *ref* is its id, unique in its helpdesk; *order* is where it stands among the ticket's entries.
    """

    ref: str
    order: int
    kind: Literal["reply", "note", "echo", "ignored"]
    text: str = ""
    html: str | None = None
    files: tuple[HeardFile, ...] = ()
    author: str | None = None
    reason: str | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """What a callback or a look at a ticket showed. None: nothing was said of it."""

    ticket: str
    items: tuple[Heard, ...] = ()
    state: State | None = None
    assignee: str | None = None
    knows_assignee: bool = False


class Callback(Struct, frozen=True, kw_only=True):
    """What a callback means. Not *proven*: it is a hint, and the ticket is read before anything is sent.

    *more* is what one callback says of further tickets. *final*: no look at a ticket will tell its state
    and assignee, so those of a proven callback count.
    """

    seen: Seen | None
    proven: bool
    response: Response = Response()
    more: tuple[Seen, ...] = ()
    final: bool = False


class Desk(Protocol):
    """A connector: one helpdesk's API. Each method makes as few calls as it can, and raises SendError.

    *files_each* is how many files one post may have.

    ``Ambiguous`` says that a call may have taken effect; the core then asks ``find_…`` before it tries
    again. ``Rejected`` and ``Unsupported`` speak of the one post, everything else of the helpdesk. Their
    ``external_code`` is the HTTP status, where there is one: by it the core tells a gateway's answers (502 to
    504) and a ticket that is gone (404, 410) from a refusal.
    """

    files_each: int

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """Make a ticket that begins with *post*; the ticket and the post's id there."""
        ...

    async def add(self, ticket: Ticket, post: Post) -> str:
        """Put *post* into the ticket; its id there."""
        ...

    async def change(self, ticket: Ticket, state: State) -> None:
        """Give the ticket that state."""
        ...

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """Give the ticket to the agent with that id there; None: to nobody.

        Raises:
            Rejected: it knows no such agent.
        """
        ...

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """Tell the agents what became of a reply of theirs, where it is worth telling."""
        ...

    async def find_ticket(self, case: Case, post: Post) -> tuple[Ticket, str | None] | None:
        """The ticket that an ``open`` nobody answered has made; None: it made none.

        Without an id of the post: the ticket is there, and the post is not in it.

        Raises:
            Unknowable: this helpdesk cannot be asked; the same for ``find``.
        """
        ...

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """The ids of entries that may be this post, which nobody confirmed; the core knows the others."""
        ...

    async def look(self, ticket: Ticket, after: int | None) -> Seen:
        """The ticket as it is now, with its entries after the one of that order (or more), ascending."""
        ...

    async def accept(self, request: IntakeRequest) -> Callback:
        """What a callback says. The path and its secret have been checked.

        Raises:
            NotAuthentic: it should be signed and is not.
            NotRecognised: it is no callback of this helpdesk.
        """
        ...

    async def fetch(self, file: HeardFile) -> bytes:
        """A file that an agent attached."""
        ...

    def check(self, callback_url: str | None) -> AsyncIterator[Check]:
        """The findings of ``hub check``; the first fails when the helpdesk or its credentials do."""
        ...


class Line(Struct, frozen=True, kw_only=True):
    """One message of a ticket's conversation as people read it; *files* are (key, name)."""

    is_ours: bool
    who: str
    text: str
    at: datetime
    status: str | None = None
    files: tuple[tuple[str, str], ...] = ()


class Insight(Protocol):
    """The conversations behind a connector's own tickets."""

    async def lines(self, ticket: str) -> Sequence[Line] | None:
        """The latest messages, in their order; None: there is no such ticket."""
        ...

    async def file(self, ticket: str, key: str) -> PostFile | None:
        """A file of that conversation."""
        ...


class DeskTools(Struct, frozen=True, kw_only=True):
    """What the hub hands to a connector: *http* for its calls, *files* the same for large answers.

    *callback_url* is where ``accept`` is reached from outside, None while ``hub.public_url`` is not set.
    """

    http: Http
    files: Http
    clock: Callable[[], datetime]
    callback_url: str | None = None
    insight: Insight | None = None


class DeskMaker(Protocol):
    """Builds the connector of one configured destination."""

    def __call__(self, target: Target, tools: DeskTools, /) -> Desk: ...


class Destination(Struct, frozen=True, kw_only=True):
    """What a kind of helpdesk is: *courier* or *desk* is set.

    The settings of a connector have ``callback_secret``, the last part of its callback's path, and may
    have ``poll_s`` and ``on_reopen``.
    """

    key: str
    title: str
    settings: type[Struct]
    courier: CourierMaker | None = None
    desk: DeskMaker | None = None
    events: Sequence[str] = ()
    docs_url: str = ""
