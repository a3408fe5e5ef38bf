"""Step 2, file: from raw events to messages, in order within each partition.

A partition has one holder at a time, who reads its rows in id order, normalizes them and files them in
one transaction that also gives the partition back.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
import structlog

from hub.channel import Account
from hub.core import Core
from hub.failpoints import failpoint
from hub.ingest.filing import (
    Choice,
    Choose,
    Facts,
    Filed,
    Raced,
    Read,
    conversation_json,
    file_batch,
)
from hub.model import Attachment, InboundEvent, Message, Result
from hub.settings import AccountPlan, Settings
from hub.store import AWAY, Transaction
from hub.store.inbox import (
    Claimed,
    InboxRow,
    claim_partitions,
    count_crash,
    keep_partitions,
    park,
    read_claimed,
    release_partitions,
)

__all__ = ["Choice", "Choose", "Facts", "Filed", "Ingester", "Parsers", "conversation_json"]

BATCH = 500
MAX_PARTITIONS = 64
MAX_CRASHES = 3
RENEW_S = 10.0
POLL_S = 1.0
RACES = 10

_log = structlog.get_logger("hub.ingest")


class Parsers(Protocol):
    """Normalizes hostile input where it can do no harm."""

    async def normalize(
        self, channel_key: str, event: InboundEvent, account: Account[Any]
    ) -> list[Result]:
        """What the channel's normalizer says; raises when the child crashed or went over a limit."""
        ...


class Keep(Protocol):
    """Puts the bytes of a file where attachments lie."""

    async def __call__(self, attachment: Attachment) -> Attachment:
        """*attachment* with its content stored and its size and hash filled in."""
        ...


class Ingester:
    """Files what the inbox holds; any number of processes may run one."""

    def __init__(
        self, core: Core, choose: Callable[[Settings], Choose], parsers: Parsers, keep: Keep
    ) -> None:
        self._core = core
        self._choose = choose
        self._parsers = parsers
        self._keep = keep
        self.filed = 0

    async def run(self) -> None:
        """File until cancelled; the database may come and go."""
        while True:
            try:
                while await self.once():
                    pass
            except AWAY as error:
                _log.warning("database_away", error=type(error).__name__)
                await asyncio.sleep(0.5)
            await self._core.bells.wait("ingest", POLL_S)

    async def once(self) -> int:
        """File one batch; how many rows it took."""
        settings = self._core.settings
        accounts = list(settings.accounts)
        claimed = await claim_partitions(self._core.db, self._core.name, accounts, MAX_PARTITIONS)
        if not claimed:
            return 0
        failpoint("ingest.claimed")
        async with self._renewing(claimed):
            rows = await read_claimed(self._core.db, claimed, max(8, BATCH // len(claimed)))
            rows = await self._suspects_alone(claimed, rows)
            reads = await self._read_all(settings, rows)
            failpoint("ingest.before_commit")
            await self._file(settings, claimed, reads)
        return max(len(rows), 1)

    @asynccontextmanager
    async def _renewing(self, claimed: Sequence[Claimed]) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_S)
                with contextlib.suppress(*AWAY):
                    await keep_partitions(self._core.db, claimed)

        task = asyncio.create_task(renew(), name="ingest-renew")
        try:
            yield
        finally:
            task.cancel()

    # -- what a row means ----------------------------------------------------------------------------

    async def _suspects_alone(
        self, claimed: Sequence[Claimed], rows: Sequence[InboxRow]
    ) -> list[InboxRow]:
        """The rows to file now: one that may have killed a process is tried alone, thrice at most."""
        expired = {one.id for one in claimed if one.expired}
        suspects = [row.id for row in rows if row.partition_id in expired]
        if suspects:
            await count_crash(self._core.db, suspects, "the process that was filing it ended")
        chosen: list[InboxRow] = []
        closed: set[str] = set()
        for row in rows:
            if row.partition_id in closed:
                continue
            crashes = row.crashes + (row.partition_id in expired)
            if crashes > MAX_CRASHES:
                await park(self._core.db, row.id, f"crashed {row.crashes} times")
                _log.error("row_parked", inbox_id=row.id, account=row.account)
                continue
            if crashes:
                closed.add(row.partition_id)
                if any(other.partition_id == row.partition_id for other in chosen):
                    continue  # it comes next, alone
            chosen.append(row)
        return chosen

    async def _read_all(self, settings: Settings, rows: Sequence[InboxRow]) -> list[Read]:
        reads: list[Read] = []
        stopped: set[str] = set()
        for row in rows:
            if row.partition_id in stopped:
                continue
            results = await self._meaning(settings.accounts[row.account], row)
            if results is None:
                stopped.add(row.partition_id)  # what comes after it must not overtake it
                continue
            windowed = settings.accounts[row.account].channel.capabilities.reply_window is not None
            reads.append(Read(row, results, windowed))
        return reads

    async def _meaning(self, plan: AccountPlan, row: InboxRow) -> Sequence[Result] | None:
        """What *row* means; None when it cannot be told: it was parked, or it is tried again."""
        try:
            if plan.channel.hostile:
                results: Iterable[Result] = await self._parsers.normalize(
                    plan.channel.key, row.event, plan.account
                )
            else:
                results = list(plan.channel.normalize(row.event, plan.account))
            return [await self._with_files(one) for one in results]
        except AWAY:
            raise
        except Exception as error:
            crashes = row.crashes + 1
            _log.exception("normalize_failed", inbox_id=row.id, account=row.account)
            text = f"{type(error).__name__}: {error}"
            if plan.channel.hostile and crashes < MAX_CRASHES:
                await count_crash(self._core.db, [row.id], text)
            else:
                await park(self._core.db, row.id, text)
            return None

    async def _with_files(self, one: Result) -> Result:
        if not isinstance(one, Message) or all(a.content is None for a in one.attachments):
            return one
        kept = [await self._keep(a) if a.content is not None else a for a in one.attachments]
        return msgspec.structs.replace(one, attachments=tuple(kept))

    # -- writing -------------------------------------------------------------------------------------

    async def _file(
        self, settings: Settings, claimed: Sequence[Claimed], reads: Sequence[Read]
    ) -> None:
        if not reads:
            await release_partitions(self._core.db, claimed)
            return
        try:
            filed = await self._transact(settings, claimed, reads)
        except AWAY:
            raise
        except Exception as error:
            _log.exception("filing_failed", rows=len(reads))
            await self._file_alone(settings, claimed, reads, error)
            return
        self._ring(filed)

    async def _transact(
        self, settings: Settings, claimed: Sequence[Claimed], reads: Sequence[Read]
    ) -> Filed:
        choose = self._choose(settings)

        async def work(tx: Transaction) -> Filed:
            return await file_batch(tx, settings, choose, claimed, reads, self._core.clock())

        for _ in range(RACES):
            with contextlib.suppress(Raced):
                return await self._core.db.transaction(work)
        raise RuntimeError("other processes kept filing the same messages")

    async def _file_alone(
        self,
        settings: Settings,
        claimed: Sequence[Claimed],
        reads: Sequence[Read],
        error: Exception,
    ) -> None:
        """The batch failed: file the first row of each partition alone, or park it."""
        firsts = {read.row.partition_id: read for read in reversed(reads)}
        for one in claimed:
            read = firsts.get(one.id)
            try:
                if read is None:
                    await release_partitions(self._core.db, [one])
                    continue
                self._ring(await self._transact(settings, [one], [read]))
            except AWAY:
                raise
            except Exception as alone:
                assert read is not None  # noqa: S101
                _log.exception("row_parked", inbox_id=read.row.id)
                await park(self._core.db, read.row.id, f"{type(alone).__name__}: {alone}")
                await release_partitions(self._core.db, [one])

    def _ring(self, filed: Filed) -> None:
        self.filed += filed.messages
        if filed.destinations:
            self._core.bells.ring("deliver")
        if filed.replies:
            self._core.bells.ring("reply")
        if filed.media:
            self._core.bells.ring("media")
