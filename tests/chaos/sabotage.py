"""Five builds that break the promise, each by one rule; a chaos runner that finds nothing wrong is blind.

They change a process that :mod:`chaos.launch` starts, and nothing else knows of them.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import hub.ingest
import hub.ingest.filing
import hub.store.tickets
from hub.errors import SendError, Unreachable
from hub.intake import Committer
from hub.model import Draft, InboundEvent
from hub.replies.judging import Judge
from hub.replies.records import Changed
from hub.replies.tries import Try
from hub.store import Database, Transaction, inbox
from hub.store.inbox import Claimed, InboxRow

__all__ = ["SABOTAGES"]


def ack_before_commit() -> None:
    """Answers 200 when the message is in memory, and commits it afterwards."""
    later: list[asyncio.Task[None]] = []

    commit = Committer.store

    async def store(
        self: Committer, account: str, channel: str, events: Sequence[InboundEvent]
    ) -> None:
        later.append(asyncio.create_task(commit(self, account, channel, events)))

    Committer.store = store  # type: ignore[method-assign]


TAKE = """
UPDATE inbox SET state = 9 WHERE id IN (
    SELECT i.id FROM inbox i JOIN unnest($1::text[], $2::smallint[]) AS c (account, number)
           ON i.account = c.account AND i.partition = c.number
    WHERE i.state = 0 ORDER BY i.id LIMIT $3 FOR UPDATE OF i SKIP LOCKED)
RETURNING *, account || '/' || partition AS partition_id
"""


def no_partition_holder() -> None:
    """Whoever is free takes the next few rows, as from any queue without an order."""

    async def claim(
        db: Database, holder: str, accounts: Sequence[str], limit: int
    ) -> list[Claimed]:
        rows = await db.fetch(
            "SELECT DISTINCT p.id, p.account, p.number FROM partitions p JOIN inbox i "
            "ON i.account = p.account AND i.partition = p.number AND i.state = 0 "
            "WHERE p.account = ANY($1::text[])",
            list(accounts),
        )
        return [Claimed(row["id"], row["account"], row["number"], 0, False) for row in rows]

    async def read(
        db: Database, claimed: Sequence[Claimed], each: int, *limits: int
    ) -> list[InboxRow]:
        accounts = [one.account for one in claimed]
        rows = await db.fetch(TAKE, accounts, [one.number for one in claimed], each)
        return sorted((inbox._inbox_row(row) for row in rows), key=lambda row: row.id)

    async def keep(db: Database, claimed: Sequence[Claimed]) -> set[str]:
        return {one.id for one in claimed}

    async def release(db: Database, claimed: Sequence[Claimed]) -> None:
        return

    async def finish(
        tx: Transaction, claimed: Sequence[Claimed], filed: Sequence[InboxRow]
    ) -> set[str]:
        await tx.fetch("UPDATE inbox SET state = 1 WHERE id = ANY($1)", [row.id for row in filed])
        return {one.id for one in claimed}

    hub.ingest.claim_partitions = claim
    hub.ingest.read_claimed = read
    hub.ingest.keep_partitions = keep
    hub.ingest.release_partitions = release
    hub.ingest.filing.finish = finish


_COMPARED = re.compile(r" AND (?:\w+\.)?epoch = (\w+\.\w+|\$\d+)")


def no_epochs() -> None:
    """Whoever once held a lease may write for ever: no statement compares epochs."""

    def blind(sql: str) -> str:
        return _COMPARED.sub(
            lambda found: f" AND {found[1]}::bigint IS NOT NULL" if found[1][0] == "$" else "", sql
        )

    for kind in (Database, Transaction):
        _before(kind, blind)


def _before(kind: Any, change: Callable[[str], str]) -> None:
    fetch = kind.fetch

    async def changed(self: Any, sql: str, *values: Any) -> Any:
        return await fetch(self, change(sql), *values)

    kind.fetch = changed


def resend_ambiguous() -> None:
    """A reply whose outcome nobody knows is simply sent again."""

    async def ambiguous(self: Judge, tried: Try, error: SendError) -> NoReturn:
        await self.later(tried, Unreachable(error.detail), refund=False)

    async def found_sending(self: Judge, message: Any, row: Any, draft: Draft) -> NoReturn:
        tried = Try(message, row, draft, row["tries"], row["allowance_id"])
        await self._holder.again(tried, Unreachable("once more"), refund=False)
        raise Changed

    Judge.ambiguous = ambiguous  # type: ignore[assignment, method-assign]
    Judge.found_sending = found_sending  # type: ignore[method-assign]


def forget_posts() -> None:
    """Repeats a post to a helpdesk that nobody confirmed, without asking whether it is there."""

    async def begin_post(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    hub.store.tickets.begin_post = begin_post  # type: ignore[assignment]


SABOTAGES: Mapping[str, Callable[[], None]] = {
    "ack_before_commit": ack_before_commit,
    "no_partition_holder": no_partition_holder,
    "no_epochs": no_epochs,
    "resend_ambiguous": resend_ambiguous,
    "forget_posts": forget_posts,
}
