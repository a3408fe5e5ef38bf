"""Taking replies in many at a time: what arrives while one transaction runs shares the next.

Only plain ones go this way: words to a conversation that nobody else works on, with an open window,
nothing held before them, and a channel that counts nothing. For all others :func:`accept` decides, in a
transaction of their own; so does it for whatever would be refused.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from hub import feed, ledger
from hub.core import Core
from hub.errors import SendError
from hub.ids import new_id
from hub.model import Draft
from hub.outbox import status_event, to_json
from hub.replies.composing import Facts, Outlet, Stored, compose_by, new_drafts, outlet_of
from hub.replies.making import Said
from hub.replies.request import Author, ReplyRequest
from hub.replies.restraint import is_restrained
from hub.store import AWAY, Transaction, accepting, idempotency, outbox

__all__ = ["Asked", "Together", "UnderKey"]

BATCH = 64
AT_ONCE = 2
"""Transactions at a time: while the database has one, the next is put together."""
WORTH_ONE = 32
"""So many replies that wait begin a transaction beside one that runs; fewer wait for its end."""

_log = structlog.get_logger("hub.replies")


class UnderKey(NamedTuple):
    """The idempotency key of a request, and the hash of what it says."""

    token_id: UUID
    key: str
    request_sha256: str


class Asked(NamedTuple):
    """A reply that somebody wants said. *queues*: those that they may see; None for all."""

    conversation_id: UUID
    request: ReplyRequest
    author: Author
    queues: Sequence[str] | None
    under: UnderKey | None


class _Waiting(NamedTuple):
    asked: Asked
    shown: "asyncio.Future[bytes | None]"
    lock: int | None


class _Ready(NamedTuple):
    """A reply that can be stored: *shown* is its message as JSON."""

    waiting: _Waiting
    row: outbox.NewOutbound
    drafts: Sequence[Draft]
    shown: str
    queue: str


class _KeyKnown(Exception):
    """A key of the batch was used before."""


class Together:
    """Takes in the replies of one process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._queue: list[_Waiting] = []
        self._busy: set[object] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, asked: Asked) -> bytes | None:
        """The message as JSON once it is on disk with its calls; None: nothing was done, ask ``accept``.

        Raises:
            what ``AWAY`` lists: the database is away; nobody knows whether it was stored.
        """
        if not _is_plain(asked.request):
            return None
        under = asked.under
        waiting = _Waiting(
            asked,
            asyncio.get_running_loop().create_future(),
            idempotency.lock_of(under.token_id, under.key) if under else None,
        )
        self._queue.append(waiting)
        self._go_on()
        return await waiting.shown

    def _go_on(self) -> None:
        wanted = WORTH_ONE if self._tasks else 1
        if len(self._tasks) == AT_ONCE or len(self._queue) < wanted:
            return
        if batch := self._take():
            task = asyncio.create_task(self._work(batch), name="replies-together")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on()

    def _take(self) -> list[_Waiting]:
        """What can go now: conversations and keys that no transaction under way has."""
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        keys: set[int] = set()
        for one in self._queue:
            if len(batch) == BATCH or self._busy & _marks(one) or one.lock in keys:
                left.append(one)
            else:
                keys |= {one.lock} if one.lock is not None else set()
                batch.append(one)
        for one in batch:
            self._busy |= _marks(one)
        self._queue = left
        return batch

    async def _work(self, batch: Sequence[_Waiting]) -> None:
        await asyncio.sleep(0)  # what has arrived at the same moment goes too
        try:
            await self._store(batch)
        finally:
            for one in batch:
                self._busy -= _marks(one)
                if not one.shown.done():
                    one.shown.set_result(None)

    async def _store(self, batch: Sequence[_Waiting]) -> None:
        try:
            ready, rung = await self._core.db.transaction(lambda tx: self._enter(tx, batch))
        except _KeyKnown:
            return
        except AWAY as error:
            for one in batch:
                if not one.shown.done():
                    one.shown.set_exception(error)
            return
        except Exception as error:  # each finds out for itself
            _log.error("not_together", error=repr(error), exc_info=True)
            return
        for made in ready:
            if not made.waiting.shown.done():
                made.waiting.shown.set_result(made.shown.encode())
        if ready:
            self._core.bells.ring("reply")
        if rung:
            self._core.bells.ring("deliver")

    async def _enter(
        self, tx: Transaction, batch: Sequence[_Waiting]
    ) -> tuple[Sequence[_Ready], frozenset[str]]:
        places = await accepting.lock_free(tx, [_asking(one) for one in batch])
        ready = await self._ready(tx, {(row["id"], row["lock"]): row for row in places}, batch)
        if not ready:
            return (), frozenset()
        now = self._core.clock()
        told = [status_event(one.row._asdict() | {"queue": one.queue}) for one in ready]
        events = feed.prepare(self._core.settings, told, now)
        stored = await accepting.store(
            tx,
            [_new(*one) for one in zip(ready, events.ids, events.bodies, strict=True)],
            [draft for one in ready for draft in new_drafts(one.row.id, one.drafts)],
            [(one.row.account, one.row.conversation_id) for one in ready],
            events.addressed,
            list(_kept(ready)),
            now,
        )
        if not stored:
            raise _KeyKnown
        return ready, frozenset(one.destination for one in events.addressed)

    async def _ready(
        self,
        tx: Transaction,
        places: Mapping[tuple[UUID, int | None], Any],
        batch: Sequence[_Waiting],
    ) -> Sequence[_Ready]:
        """Those of *batch* that are plain as things are now, once their conversations are locked."""
        last = {place["id"]: place["last_seq"] for place in places.values()}
        facts = {row["id"]: row for row in await accepting.facts_of(tx, list(last))}
        known = await ledger.known(tx, last)
        ready = []
        for one in batch:
            place = places.get((one.asked.conversation_id, one.lock))
            if place is None or place["used"] or facts[place["id"]]["held"]:
                continue
            withdrawn = facts[place["id"]]["withdrawn_at"]
            about = Facts(withdrawn, known.get(place["id"], ()))
            if made := self._made(one, place, last[place["id"]] + 1, about):
                last[place["id"]] += 1
                ready.append(made)
        return ready

    def _made(self, waiting: _Waiting, place: Any, seq: int, facts: Facts) -> _Ready | None:
        asked = waiting.asked
        outlet = outlet_of(self._core, place["account"])
        seen = asked.queues is None or place["queue"] in asked.queues
        if not (place["ours"] and seen and outlet is not None and _counts_nothing(outlet)):
            return None
        now = self._core.clock()
        stored = Stored(request=asked.request, queues=asked.author.queues)
        said = Said(new_id(), seq, place, stored, asked.author, now)
        if not outlet.windowed:
            facts = facts._replace(allowances=())
        try:
            drafts = compose_by(outlet, place, said.stored, facts, said.id, now)
        except SendError:
            return None
        if any(draft.quotas for draft in drafts):
            return None
        body = said.body(drafts)
        shown = to_json(body)
        return _Ready(waiting, said.row(body, shown), drafts, shown, place["queue"])


def _is_plain(request: ReplyRequest) -> bool:
    """Whether *request* says something, and refers to nothing that has to be looked up."""
    words = bool(request.text and request.text.strip())
    return words and not (request.attachments or request.in_reply_to or request.template)


def _counts_nothing(outlet: Outlet) -> bool:
    """Whether nothing but the ledger decides what the account may say now."""
    return not (
        outlet.when_closed == "other"
        or outlet.capabilities.drops_repeats_for
        or is_restrained(type(outlet.sender))
    )


def _marks(waiting: _Waiting) -> set[object]:
    marks: set[object] = {waiting.asked.conversation_id}
    return marks if waiting.lock is None else marks | {waiting.lock}


def _asking(waiting: _Waiting) -> accepting.Asking:
    asked = waiting.asked
    if asked.under is None:
        return accepting.Asking(asked.conversation_id)
    return accepting.Asking(
        asked.conversation_id, asked.under.token_id, asked.under.key, waiting.lock
    )


def _new(ready: _Ready, event_id: UUID, event_body: bytes) -> accepting.NewReply:
    row = ready.row
    return accepting.NewReply(
        row.id, row.conversation_id, row.seq, row.kind, row.body, row.context, event_id, event_body
    )


def _kept(ready: Iterable[_Ready]) -> Iterable[idempotency.Kept]:
    for one in ready:
        if under := one.waiting.asked.under:
            yield idempotency.Kept(*under, one.shown.encode())
