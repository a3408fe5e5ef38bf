"""From a sender to the one connection of its account, whichever process holds that one, and back.

A question is a row that the holder takes in one statement: so it is known whether somebody took it
(its outcome may be unknown) or nobody did (nothing was done). Bells only make it quick.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from hub.bells import Bells
from hub.channel import Question
from hub.errors import Ambiguous, SendError, Unreachable
from hub.exchange import Redactor, observers
from hub.store import AWAY, Database, leases
from hub.store import relay as rows

__all__ = ["AccountRelay", "Relays"]

TAKE_S = 5.0
"""How long a question waits to be taken; a connection that is only coming back gets as long."""

LOOK_S = 2.0
"""How often the holder looks without a bell; its lease of 30 s is renewed each time."""

SWITCHED = 101
"""The status of a WebSocket, for whoever looks at an exchange."""

LINGER_S = 1.0
"""How long the last answers get when the holder goes."""

FIRST_POLL_S, MAX_POLL_S = 0.01, 0.2

_log = structlog.get_logger("hub.relay")


def _all_errors(kind: type[SendError]) -> list[type[SendError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in _all_errors(child))]


def _error_of(facts: Mapping[str, Any]) -> SendError:
    """The error that the holder raised, of the same class."""
    kinds = {kind.code: kind for kind in reversed(_all_errors(SendError))}
    kind = kinds.get(str(facts.get("code")), Ambiguous)
    return kind(
        str(facts.get("detail") or ""),
        external_code=facts.get("external_code"),
        retry_after=facts.get("retry_after"),
    )


class Relays:
    """The relays of all accounts, for one process."""

    def __init__(self, db: Database, bells: Bells, holder: str) -> None:
        """*holder* names this process in leases."""
        self._db = db
        self._bells = bells
        self._holder = holder

    def of(self, account: str) -> "AccountRelay":
        """The relay of one account."""
        return AccountRelay(self._db, self._bells, self._holder, account)


class AccountRelay:
    """What a channel gets as ``tools.relay``."""

    def __init__(self, db: Database, bells: Bells, holder: str, account: str) -> None:
        self._db = db
        self._bells = bells
        self._holder = holder
        self._account = account
        self._lease = f"relay:{account}"
        self._bell = f"relay:{account}"

    # -- who asks ------------------------------------------------------------------------------------

    async def ask(self, question: Question, *, timeout: float = 15.0) -> Question:
        """As ``hub.channel.Relay`` says; *timeout* counts from the moment that it was taken.

        Shown among the exchanges of a reply as a call of the method ``WS``.
        """
        watching = observers(None)
        seen = Redactor().begin("WS", self._lease, {}, question)
        try:
            answer = await self._ask(question, timeout)
        except SendError as error:
            for watcher in watching:
                watcher(seen.failed(error))
            raise
        for watcher in watching:
            watcher(seen.answered(SWITCHED, {}, msgspec.json.encode(answer)))
        return answer

    async def _ask(self, question: Question, timeout: float) -> Question:
        try:
            if not await rows.is_served(self._db, self._lease):
                raise Unreachable("there is no connection to the platform now")
            asked = msgspec.json.encode(question).decode()
            call = await rows.ask(self._db, self._account, asked, TAKE_S)
        except AWAY as error:
            raise Unreachable(f"the database is away: {type(error).__name__}") from error
        self._bells.ring(self._bell)
        try:
            return await self._answer_to(call, timeout)
        except AWAY as error:
            raise Ambiguous(f"the database went away: {type(error).__name__}") from error
        finally:
            await self._withdraw(call)

    async def _answer_to(self, call: int, timeout: float) -> Question:
        taken = await self._until(call, lambda row: row["taken_at"] is not None, TAKE_S)
        if taken is None and await rows.withdraw(self._db, call, untaken_only=True):
            raise Unreachable("the connection to the platform did not take it")
        answered = await self._until(call, lambda row: row["answer"] is not None, timeout)
        if not answered:
            raise Ambiguous(f"no answer in {timeout:g} s")
        facts = msgspec.json.decode(answered["answer"], type=dict[str, Any])
        if "error" in facts:
            raise _error_of(facts["error"])
        said: Question = facts["answer"]
        return said

    async def _until(self, call: int, reached: Callable[[Any], bool], within_s: float) -> Any:
        """The row of *call* once *reached* says so; None when it has not in *within_s* seconds."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + within_s, FIRST_POLL_S
        while True:
            row = await rows.look(self._db, call)
            if row is not None and reached(row):
                return row
            if loop.time() > deadline:
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_S)

    async def _withdraw(self, call: int) -> None:
        try:
            await rows.withdraw(self._db, call)
        except AWAY as error:  # an hour later it is swept away
            _log.debug("call_left", error=type(error).__name__)

    # -- who serves ----------------------------------------------------------------------------------

    async def serve(self, answer: Callable[[Question], Awaitable[Question]]) -> None:
        """As ``hub.channel.Relay`` says."""
        epoch = await self._seize()
        self._bells.ring(self._bell)  # the one before looks at once, and finds its lease gone
        under_way: set[asyncio.Task[None]] = set()
        try:
            while (taken := await self._take(epoch)) is not None:
                for call, question in taken:
                    task = asyncio.create_task(self._answer(call, question, answer))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                if not taken:
                    await self._bells.wait(self._bell, LOOK_S)
        finally:
            await self._release(epoch)
            if under_way:  # what has its answer by now is told; the rest stays unknown
                _, late = await asyncio.wait(under_way, timeout=LINGER_S)
                for task in late:
                    task.cancel()

    async def _seize(self) -> int:
        while True:
            try:
                return await leases.seize(self._db, self._lease, self._holder)
            except AWAY as error:
                _log.warning("database_away", error=type(error).__name__, account=self._account)
                await asyncio.sleep(1.0)

    async def _take(self, epoch: int) -> list[tuple[int, str]] | None:
        try:
            return await rows.take(self._db, self._account, self._lease, epoch)
        except AWAY as error:
            _log.warning("database_away", error=type(error).__name__, account=self._account)
            await asyncio.sleep(1.0)
            return []

    async def _release(self, epoch: int) -> None:
        try:
            await rows.leave(self._db, self._lease, epoch)
        except AWAY as error:
            _log.debug("lease_left", error=type(error).__name__)

    async def _answer(
        self, call: int, question: str, answer: Callable[[Question], Awaitable[Question]]
    ) -> None:
        """What was taken is always answered, with an error if need be."""
        try:
            facts: dict[str, Any] = {"answer": await answer(msgspec.json.decode(question))}
        except SendError as error:
            facts = {"error": {**error.as_json(), "retry_after": error.retry_after}}
        except Exception as error:
            _log.exception("relay_failed", account=self._account)
            facts = {"error": {"code": Ambiguous.code, "detail": type(error).__name__}}
        try:
            await rows.answer(self._db, call, msgspec.json.encode(facts).decode())
        except AWAY as error:  # the asker finds no answer in time: unknown, as it is
            _log.warning("answer_lost", error=type(error).__name__, account=self._account)
