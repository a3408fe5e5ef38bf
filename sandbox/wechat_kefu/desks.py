"""The customer-service accounts of the simulated platform: what was said at each, and who has it.

Sources: https://developer.work.weixin.qq.com/document/path/94670 (the feed), …/path/94698 (sessions)
"""

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from sandbox.journal import Clock
from sandbox.wechat.errors import PlatformError
from sandbox.wechat.mixing import LONGEST_WAIT_SECONDS

NOBODYS, HUBS, QUEUED, SERVED, ENDED = range(5)
STEPS: dict[int, frozenset[int]] = {
    NOBODYS: frozenset({HUBS, QUEUED, SERVED, ENDED}),
    HUBS: frozenset({QUEUED, SERVED, ENDED}),
    QUEUED: frozenset({SERVED, ENDED}),
    SERVED: frozenset({SERVED, ENDED}),
    ENDED: frozenset(),
}
"""Which steps of a session the interface may make; from the end only the customer leads on."""

HOURS = 3600
WINDOW_SECONDS = 48 * HOURS
REPLIES_IN_WINDOW = 5
KEPT_SECONDS = 3 * 24 * HOURS
TOKEN_SECONDS = 600
CODE_SECONDS = {"welcome": 20, "ended": 20, "queued": WINDOW_SECONDS, "served": WINDOW_SECONDS}


@dataclass(slots=True)
class Session:
    """One customer at one desk."""

    state: int = ENDED
    servicer: str = ""
    last_message_at: float = float("-inf")
    replies_left: int = 0
    welcomed_at: float = float("-inf")
    sent_ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Code:
    """What lets one message be said in answer to an event."""

    desk: str
    customer: str
    kind: str
    state: int
    until: float


@dataclass(slots=True)
class Desk:
    """One customer-service account (``open_kfid``); *first* is the place of its first item."""

    open_kfid: str
    name: str
    first: int = 0
    items: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)

    def session(self, customer: str) -> Session:
        """The session with *customer*, made when there is none."""
        return self.sessions.setdefault(customer, Session())


class Desks:
    """All desks, and the rules that hold at each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._desks: dict[str, Desk] = {}
        self._codes: dict[str, Code] = {}
        self._numbers = 0
        self._held: list[tuple[float, Desk, dict[str, Any]]] = []
        self.twice = 0
        """How many of the next items come twice, under the same id."""
        self.mixed = 0
        """How many of the next items are overtaken by the one after them."""

    def open(self, name: str = "desk", open_kfid: str | None = None, *, first: int = 0) -> str:
        """A new desk; returns its ``open_kfid``.

        A desk that is opened again by another process begins at a *first* that no cursor has
        reached yet: the platform's feed never begins anew.
        """
        own = open_kfid or f"wk{secrets.token_urlsafe(20)}"
        self._desks[own] = Desk(own, name, first)
        return own

    def all(self) -> list[Desk]:
        """Every desk, in the order in which they were opened."""
        return list(self._desks.values())

    def get(self, open_kfid: object) -> Desk:
        """
        Raises:
            PlatformError: 95000 no id at all, 95004 no such desk.
        """
        if not isinstance(open_kfid, str) or not open_kfid.startswith("wk"):
            raise PlatformError(95000)
        if open_kfid not in self._desks:
            raise PlatformError(95004)
        return self._desks[open_kfid]

    def known(self, desk: Desk, customer: object) -> Session:
        """The session of a customer who has been at *desk*.

        Raises:
            PlatformError: 40096, nobody of that id.
        """
        if not isinstance(customer, str) or customer not in desk.sessions:
            raise PlatformError(40096)
        session = desk.sessions[customer]
        if session.state != ENDED and session.last_message_at + WINDOW_SECONDS < self._clock():
            session.state = ENDED
        return session

    # -- the feed ------------------------------------------------------------------------------------

    def add(self, desk: Desk, item: dict[str, Any]) -> dict[str, Any]:
        """Put *item* at the end of the desk's feed, with its id and time."""
        self._numbers += 1
        now = self._clock()
        stamped = {"msgid": f"kf{self._numbers:010}{secrets.token_hex(16)}", "send_time": int(now)}
        stamped |= item
        overtaken, self._held = self._held, []
        if not overtaken and self.mixed > 0:
            self.mixed -= 1
            self._held.append((now, desk, stamped))
            return stamped
        copies = 2 if self.twice > 0 else 1
        self.twice -= copies - 1
        desk.items += [(now, stamped)] * copies
        for _, place, late in overtaken:
            place.items.append((now, late))
        return stamped

    def _let_go(self) -> None:
        """An item that nothing has overtaken for ten seconds goes its way."""
        now = self._clock()
        waiting, self._held = self._held, []
        for since, desk, item in waiting:
            if since + LONGEST_WAIT_SECONDS <= now:
                desk.items.append((now, item))
            else:
                self._held.append((since, desk, item))

    def close_window(self, customer: str) -> None:
        """Nothing may be said to *customer* any more (95002); an empty text: to nobody."""
        for desk in self._desks.values():
            for own, session in desk.sessions.items():
                if customer in ("", own):
                    session.last_message_at = self._clock() - WINDOW_SECONDS - 1

    def page(
        self, desk: Desk, cursor: object, limit: int
    ) -> tuple[list[dict[str, Any]], str, bool]:
        """At most *limit* items after *cursor*, the cursor past them, and whether there are more.

        Raises:
            PlatformError: 40058, the cursor is not one of this desk's.
        """
        self._let_go()
        start = max(_read_cursor(cursor, desk) - desk.first, 0) if cursor else 0
        oldest = self._clock() - KEPT_SECONDS
        while start < len(desk.items) and desk.items[start][0] < oldest:
            start += 1
        end = max(start, min(start + limit, len(desk.items)))
        items = [item for _, item in desk.items[start:end]]
        return items, _cursor(desk.first + end, desk), end < len(desk.items)

    def new_token(self, desk: Desk) -> str:
        """What a bell brings; good for ten minutes."""
        token = secrets.token_urlsafe(36)
        desk.tokens[token] = self._clock() + TOKEN_SECONDS
        return token

    def check_token(self, desk: Desk, token: object) -> None:
        """
        Raises:
            PlatformError: 95007.
        """
        if not isinstance(token, str) or desk.tokens.get(token, 0.0) <= self._clock():
            raise PlatformError(95007)

    # -- sessions ------------------------------------------------------------------------------------

    def customer_wrote(self, desk: Desk, customer: str) -> None:
        """Whatever a customer writes opens five replies, and the session if it had ended."""
        session = desk.session(customer)
        if session.state == ENDED:
            session.state = NOBODYS
        session.last_message_at = self._clock()
        session.replies_left = REPLIES_IN_WINDOW

    def move(self, desk: Desk, customer: str, state: int, servicer: str = "") -> str | None:
        """Lead the session to *state*; the code that this step brings, if any.

        Raises:
            PlatformError: 95013 it has ended, 95016 there is no such step.
        """
        session = self.known(desk, customer)
        if session.state == ENDED:
            raise PlatformError(95013)
        if state not in STEPS[session.state]:
            raise PlatformError(95016)
        session.state, session.servicer = state, servicer
        kind = {QUEUED: "queued", SERVED: "served", ENDED: "ended"}.get(state)
        return self.new_code(desk, customer, kind) if kind else None

    def new_code(self, desk: Desk, customer: str, kind: str) -> str:
        """A code for one answer to an event."""
        code = secrets.token_urlsafe(24)
        state = desk.session(customer).state
        until = self._clock() + CODE_SECONDS[kind]
        self._codes[code] = Code(desk.open_kfid, customer, kind, state, until)
        return code

    def use_code(self, value: object) -> Code:
        """
        Raises:
            PlatformError: 40058, it is unknown, used, over, or the session has gone on.
        """
        code = self._codes.get(value) if isinstance(value, str) else None
        if code is None or code.until <= self._clock():
            raise PlatformError(40058, "invalid code")
        if self._desks[code.desk].session(code.customer).state != code.state:
            raise PlatformError(40058, "invalid code: the session has gone on")
        del self._codes[str(value)]
        return code

    def take_reply(self, desk: Desk, customer: object, msgid: str | None) -> Session:
        """Use up one reply.

        Raises:
            PlatformError: 95018 state, 95002 time, 95001 count, 95033 repeated id.
        """
        session = self.known(desk, customer)
        if msgid is not None and msgid in session.sent_ids:
            raise PlatformError(95033)
        if session.last_message_at + WINDOW_SECONDS < self._clock():
            raise PlatformError(95002)
        if session.state not in (NOBODYS, HUBS):
            raise PlatformError(95018)
        if session.replies_left <= 0:
            raise PlatformError(95001)
        session.replies_left -= 1
        if msgid is not None:
            session.sent_ids.add(msgid)
        return session


def _cursor(position: int, desk: Desk) -> str:
    """Opaque to the caller, at most 64 bytes, and never the same twice for one place."""
    text = f"{position}/{desk.open_kfid[-8:]}/{secrets.token_hex(4)}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: object, desk: Desk) -> int:
    try:
        position, whose, _ = base64.urlsafe_b64decode(str(cursor)).decode().split("/")
    except ValueError as error:
        raise PlatformError(40058, "invalid cursor") from error
    if not position.isdigit() or whose != desk.open_kfid[-8:]:
        raise PlatformError(40058, "invalid cursor")
    return int(position)
