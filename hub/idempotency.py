"""Requests that may be made twice and take effect once.

The key is written in the same transaction as the effect: either both are there or neither, so a request
that failed leaves its key free.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from hub.core import now as wall_clock
from hub.errors import HubError
from hub.store import Database, Transaction
from hub.store import idempotency as rows

__all__ = ["KEPT", "Answer", "IdempotencyMismatch", "StillRunning", "once"]

KEPT = timedelta(hours=24)
TWIN_WAITS_MS = 2000
MAX_KEY = 255


class IdempotencyMismatch(HubError):
    """This idempotency key was used before, for another request."""


class StillRunning(HubError):
    """A request with this idempotency key is still being worked on."""


class Answer(NamedTuple):
    """What the caller gets: the same bytes each time; *replayed* says that this is a repeat."""

    status: int
    body: bytes
    replayed: bool = False


class _Refused(Exception):
    """Takes the answer to a request that failed out of the transaction, which is rolled back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


async def once(
    db: Database,
    token_id: UUID,
    key: str,
    request_sha256: str,
    work: Callable[[Transaction], Awaitable[Answer]],
    *,
    clock: Callable[[], datetime] = wall_clock,
) -> Answer:
    """The answer of *work*, which takes effect once for each *key* of a token within 24 hours.

    A twin that runs at the same moment is waited for, at most 2 s. An answer of 400 or more, like an
    exception, undoes the transaction and leaves the key free.

    Raises:
        IdempotencyMismatch: the key was used for a request with another hash (answered 422).
        StillRunning: the twin has not ended in time (answered 409).
    """
    if len(key) > MAX_KEY:
        raise ValueError(f"an idempotency key has at most {MAX_KEY} characters")

    async def attempt(tx: Transaction) -> Answer:
        now = clock()
        ours = await rows.take_key(
            tx, token_id, key, request_sha256, now, now - KEPT, TWIN_WAITS_MS
        )
        if not ours:
            return await _stored(tx, token_id, key, request_sha256)
        answer = await work(tx)
        if answer.status >= 400:
            raise _Refused(answer)
        await rows.keep_answer(tx, token_id, key, answer.status, answer.body)
        return answer

    try:
        return await db.transaction(attempt)
    except _Refused as refused:
        return refused.answer
    except rows.TwinRuns as error:
        raise StillRunning from error


async def _stored(tx: Transaction, token_id: UUID, key: str, request_sha256: str) -> Answer:
    found = await rows.stored(tx, token_id, key)
    if found["request_sha256"] != request_sha256:
        raise IdempotencyMismatch
    return Answer(found["status"], bytes(found["answer"]), replayed=True)
