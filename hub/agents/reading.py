"""One look at one ticket: what agents said since, how it stands there, and what follows from it."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import structlog

from hub.conversations import change
from hub.core import Core
from hub.destination import Heard, Seen
from hub.errors import Rejected, SendError, Unsupported
from hub.failpoints import failpoint
from hub.fetch import TooLarge
from hub.ids import show_id
from hub.store import Transaction, tickets
from hub.store import heard as rows
from hub.store.heard import Claimed, Waiting
from hub.tickets import RunningDesk, desk_token
from hub.tickets.posting import post_note

__all__ = ["AgentReply", "NotYet", "Reading", "Said", "Say"]

HINT_S = 60.0
"""Some helpdesks call before they have written down what they tell: for so long it may still appear."""

SWAPPED_S = 5.0
"""So far apart may callbacks come in the wrong order; only a look at the ticket shows that none is
missing."""

FILE_S = 600.0
"""So long a reply waits for a file of its own that the helpdesk cannot give."""

_log = structlog.get_logger("hub.agents")


class AgentReply(NamedTuple):
    """What an agent wants said; *files* are ids of uploads that belong to *token_id*."""

    text: str | None
    html: str | None
    files: tuple[str, ...]
    author: str
    token_id: UUID


class Said(Protocol):
    """A reply that was accepted."""

    @property
    def message_id(self) -> UUID: ...
    def ring(self, core: Core, /) -> None: ...


class Say(Protocol):
    """Has a reply said in a conversation, in that transaction; raises SendError when it cannot be."""

    async def __call__(
        self, core: Core, tx: Transaction, conversation_id: UUID, reply: AgentReply, /
    ) -> Said: ...


class NotYet(SendError):
    """A file of an agent's message cannot be had now."""

    code = "file_not_yet"
    retryable = True


class _Lost(Exception):
    """The ticket is another process's by now, or the message was handled already."""


class Reading:
    """A ticket that is ours for the moment."""

    def __init__(self, core: Core, desk: RunningDesk, claimed: Claimed, say: Say) -> None:
        self._core = core
        self._running = desk
        self._name = desk.name
        self._claimed = claimed
        self._ticket = claimed.ticket
        self._say = say
        self.is_early = False
        """What a callback told cannot be read yet, or waits for an earlier one: look again soon."""

    async def read(self) -> None:
        """Read the ticket and handle what is new.

        Raises:
            NotYet: a file is missing, and what follows it waits.
            SendError: the helpdesk did not answer; what signed callbacks brought was handled.
        """
        started = self._core.clock()
        failure: SendError | None = None
        seen: Seen | None = None
        try:
            seen = await self._running.desk.look(self._ticket, self._claimed.seen)
        except SendError as error:
            failure = error
        if seen is not None:
            await self._enter(seen)
            self.is_early = await rows.forget_hints(
                self._core.db, self._name, self._ticket.ref, started - timedelta(seconds=HINT_S)
            )
        try:
            await self._handle_all(seen)
        except _Lost:
            return
        except NotYet as error:
            raise failure or error from error
        if failure is not None:
            raise failure

    async def say_what_waits(self) -> None:
        """Handle what signed callbacks brought, and ask the helpdesk nothing.

        Raises:
            NotYet: a file is missing, and what follows it waits.
        """
        with contextlib.suppress(_Lost):
            await self._say_all(None)

    async def _handle_all(self, seen: Seen | None) -> None:
        """Replies in their order, then how the ticket stands, then what agents are to be told."""
        await self._say_all(seen)
        if seen is not None:
            await self._note(seen)
        for one in await self._those("refused"):
            await self._tell(one)

    async def _say_all(self, seen: Seen | None) -> None:
        for one in await self._those("waiting"):
            if seen is None and self._waited_s(one) < SWAPPED_S:
                self.is_early = True
                break  # the callback of an earlier one may be on its way
            await self._handle(one)

    async def _those(self, state: str) -> list[Waiting]:
        found = await rows.waiting(self._core.db, self._name, self._ticket.ref)
        return [one for one in found if one.state == state]

    def _waited_s(self, one: Waiting) -> float:
        return (self._core.clock() - one.seen_at).total_seconds()

    async def _enter(self, seen: Seen) -> None:
        """Keep what was seen; what the hub posted itself is an echo, whoever it seems to be from."""
        own = await tickets.own_refs(self._core.db, self._name, [one.ref for one in seen.items])
        states = [
            "waiting" if one.kind == "reply" and one.ref not in own else "left"
            for one in seen.items
        ]
        if seen.items:
            await rows.enter(
                self._core.db, self._name, seen.ticket, seen.items, states, self._core.clock()
            )

    # -- what was said -------------------------------------------------------------------------------

    async def _handle(self, one: Waiting) -> None:
        try:
            await self._reply(one, await self._files(one.heard))
        except TooLarge as error:
            await self._refuse(one, f"a file is too large ({error.detail})")
        except SendError as error:
            is_late = self._waited_s(one) > FILE_S
            if (error.retryable or error.code == "ambiguous") and not is_late:
                raise NotYet(error.detail) from error
            await self._refuse(one, " ".join(filter(None, (error.sentence, error.detail))))

    async def _files(self, heard: Heard) -> tuple[str, ...]:
        """What the agent attached, kept here; the ids."""
        ids = []
        for file in heard.files:
            content = await self._running.desk.fetch(file)
            made = await self._core.media.upload(
                _one_piece(content),
                filename=file.filename,
                mime_type=file.mime_type,
                token_id=desk_token(self._name),
                at=self._core.clock(),
            )
            ids.append(made.id or "")
        return tuple(ids)

    async def _reply(self, one: Waiting, files: tuple[str, ...]) -> None:
        """Have it said; the mark that it was is in the same transaction."""
        heard, conversation_id = one.heard, self._claimed.conversation_id
        reply = AgentReply(
            heard.text or None,
            heard.html,
            files,
            heard.author or self._name,
            desk_token(self._name),
        )

        async def work(tx: Transaction) -> Said:
            made = await self._say(self._core, tx, conversation_id, reply)
            settled = await rows.settle(tx, one.id, "waiting", "said", message_id=made.message_id)
            if not settled or not await rows.fence(tx, self._claimed):
                raise _Lost
            return made

        said = await self._core.db.transaction(work)
        failpoint("agents.said")
        said.ring(self._core)
        _log.info("agent_said", destination=self._name, message=show_id("msg", said.message_id))

    async def _refuse(self, one: Waiting, reason: str) -> None:
        """It cannot be said: the agent will be told in the ticket."""
        await rows.settle(self._core.db, one.id, "waiting", "refused", reason=reason)

    async def _tell(self, one: Waiting) -> None:
        reason = one.reason or "it was refused"
        text = f"Not sent to the customer: {reason}"
        if excerpt := one.heard.text.strip()[:80]:
            text += f"\n> {excerpt}"
        key = f"refused:{one.heard.ref}"
        try:
            await post_note(
                self._core, self._running, self._claimed.conversation_id, self._ticket, key, text
            )
        except (Rejected, Unsupported) as error:
            _log.warning("agent_not_told", destination=self._name, error=error.reason)
        await rows.settle(self._core.db, one.id, "refused", "told", reason=reason)

    # -- how it stands -------------------------------------------------------------------------------

    async def _note(self, seen: Seen) -> None:
        """Take over a state or an assignee that is another than last time."""
        changes: dict[str, Any] = {}
        if seen.state is not None and seen.state != self._ticket.state:
            changes["state"] = seen.state
        assignee = seen.assignee if seen.knows_assignee else self._ticket.assignee
        if assignee != self._ticket.assignee:
            changes["assignee"] = assignee
        last = max((one.order for one in seen.items), default=None)
        if not changes and last is None:
            return

        async def work(tx: Transaction) -> frozenset[str]:
            rung = await self._change(tx, changes)
            if not await rows.fence(tx, self._claimed):
                raise _Lost
            await rows.note_seen(tx, self._claimed, last, seen.state, assignee)
            return rung

        if await self._core.db.transaction(work):
            self._core.bells.ring("deliver")

    async def _change(self, tx: Transaction, changes: Mapping[str, Any]) -> frozenset[str]:
        if not changes:
            return frozenset()
        return await change(
            tx, self._core.settings, self._claimed.conversation_id, changes, self._core.clock()
        )


async def _one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content
