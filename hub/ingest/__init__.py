"""Step 2, file: from raw events to messages, in order within each partition.

A partition has one holder at a time, who reads its rows in id order, normalizes them and files them in
one transaction that also gives the partition back.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Protocol

import msgspec
import structlog

from hub import telemetry
from hub.channel import Account
from hub.core import Core
from hub.failpoints import failpoint
from hub.feed import Offer
from hub.ingest.choosing import Choice, Choose, Facts
from hub.ingest.filing import Filed, Raced, file_batch
from hub.ingest.said import Read
from hub.model import Attachment, InboundEvent, Message, Result
from hub.settings import AccountPlan, Settings
from hub.store import AWAY, TROUBLE, Transaction
from hub.store.inbox import (
    Claimed,
    InboxRow,
    claim_partitions,
    count_crash,
    keep_partitions,
    park,
    read_claimed,
    release_all,
    release_partitions,
)

__all__ = ["Choice", "Choose", "Facts", "Filed", "Ingester", "Parsers"]

BATCH = 500
BATCH_BYTES = 32 << 20
MAX_PARTITIONS = 64
MAX_CRASHES = 3
LONE_CRASHES = 2
RENEW_S = 10.0
POLL_S = 1.0
PACE_S = 0.008
"""Batches start no closer together: at a moderate rate fewer and larger ones cost half as much."""
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
        self,
        core: Core,
        choose: Callable[[Settings], Choose],
        parsers: Parsers,
        keep: Keep,
        offer: Callable[[], AbstractContextManager[Offer | None]] = contextlib.nullcontext,
    ) -> None:
        self._core = core
        self._choose = choose
        self._parsers = parsers
        self._keep = keep
        self._offer = offer
        """What a deliverer beside this takes at once, for the time of one transaction."""
        self._unsure: set[str] = set()  # holders that may hold what nobody works on
        self._more: dict[str, bool] = {}  # whether a holder's last batch left something behind
        self.filed = 0

    async def run(self) -> None:
        """File until cancelled; the database may come and go.

        Hostile channels are filed beside the others, which never wait for a parser.
        """
        slow: asyncio.Task[int] | None = None
        try:
            while True:
                if slow is None or slow.done():
                    if slow is not None:
                        slow.result()
                    slow = asyncio.create_task(self._drain(hostile=True), name="ingest-hostile")
                    slow.add_done_callback(self._look_again)
                started = asyncio.get_running_loop().time()
                await self._drain(hostile=False)
                await self._core.bells.wait("ingest", POLL_S)
                await asyncio.sleep(started + PACE_S - asyncio.get_running_loop().time())
        finally:
            if slow is not None:
                slow.cancel()
                await asyncio.gather(slow, return_exceptions=True)
            with contextlib.suppress(*AWAY):
                await release_all(self._core.db, list(self._unsure))

    def _look_again(self, slow: "asyncio.Task[int]") -> None:
        if not slow.cancelled() and (slow.exception() or slow.result()):
            self._core.bells.ring_here("ingest")

    async def _drain(self, *, hostile: bool) -> int:
        """File until nothing waits; how many rows."""
        total = 0
        try:
            while count := await self.once(hostile):
                total += count
                if not self._more[self._holder(hostile)]:  # what comes from now on rings
                    break
        except AWAY as error:
            _log.warning("database_away", error=type(error).__name__)
            await asyncio.sleep(0.5)
        return total

    async def once(self, hostile: bool | None = None) -> int:
        """File one batch, of hostile channels, of the others, or (None) of all; how many rows it took."""
        settings = self._core.settings
        accounts = [
            name
            for name, plan in settings.accounts.items()
            if hostile is None or plan.channel.hostile is hostile
        ]
        if not accounts:
            return 0
        holder = self._holder(hostile)
        if holder in self._unsure:
            await release_all(self._core.db, [holder])
        self._unsure.add(holder)  # also a claim may be made and its answer lost
        claimed = await claim_partitions(self._core.db, holder, accounts, MAX_PARTITIONS)
        count = 0
        if claimed:
            failpoint("ingest.claimed")
            async with self._renewing(claimed):
                count = await self._take(settings, claimed, holder)
        self._unsure.discard(holder)
        return count

    def _holder(self, hostile: bool | None) -> str:
        return f"{self._core.name}{'+' if hostile else ''}"

    async def _take(self, settings: Settings, claimed: Sequence[Claimed], holder: str) -> int:
        each = max(8, BATCH // len(claimed))
        rows = await read_claimed(self._core.db, claimed, each, BATCH_BYTES)
        found = len(rows)
        size = sum(len(row.event.body) for row in rows)
        cut = found >= each or len(claimed) >= MAX_PARTITIONS or size >= BATCH_BYTES
        rows = await self._suspects_alone(claimed, rows)
        lone = next((row for row in rows if row.crashes >= LONE_CRASHES), None)
        if lone is not None:  # nobody else may be blamed if it ends this process too
            rows = [lone]
            others = [one for one in claimed if one.id != lone.partition_id]
            claimed = [one for one in claimed if one.id == lone.partition_id]
            await release_partitions(self._core.db, others)
        reads, away = await self._read_all(settings, rows)
        failpoint("ingest.before_commit")
        whole = await self._file(settings, claimed, reads)
        self._more[holder] = cut or len(reads) < found or not whole
        if away is not None:
            try:
                raise away
            finally:
                del away  # with what it remembers it would keep these rows
        return max(len(rows), 1)

    @asynccontextmanager
    async def _renewing(self, claimed: Sequence[Claimed]) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_S)
                with contextlib.suppress(*TROUBLE):
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
        suspects = _suspects(claimed, rows)
        if suspects:
            text = "the process that was filing it ended"
            await count_crash(self._core.db, list(suspects), text)
        chosen: list[InboxRow] = []
        begun: set[str] = set()
        closed: set[str] = set()
        for found in rows:
            row = found._replace(crashes=found.crashes + 1) if found.id in suspects else found
            if row.partition_id in closed:
                continue
            if row.crashes > MAX_CRASHES:
                await park(self._core.db, row.id, f"crashed {row.crashes} times")
                _log.error("row_parked", inbox_id=row.id, account=row.account)
                continue
            if row.crashes:
                closed.add(row.partition_id)
                if row.partition_id in begun:
                    continue  # it comes next, alone
            begun.add(row.partition_id)
            chosen.append(row)
        return chosen

    async def _read_all(
        self, settings: Settings, rows: Sequence[InboxRow]
    ) -> tuple[list[Read], Exception | None]:
        """What *rows* mean, and what is away, if anything: a row whose files cannot be kept now keeps
        nobody waiting outside its partition."""
        reads: list[Read] = []
        stopped: set[str] = set()
        away: Exception | None = None
        for row in rows:
            if row.partition_id in stopped:
                continue
            try:
                results = await self._meaning(settings.accounts[row.account], row, away)
            except AWAY as error:
                results, away = None, error.with_traceback(None)
            if results is None:
                stopped.add(row.partition_id)  # what comes after it must not overtake it
                continue
            windowed = settings.accounts[row.account].channel.capabilities.reply_window is not None
            reads.append(Read(row, results, windowed))
        return reads, away

    async def _meaning(
        self, plan: AccountPlan, row: InboxRow, away: Exception | None
    ) -> Sequence[Result] | None:
        """What *row* means; None when it cannot be told: it was parked, or it is tried again."""
        try:
            results = await self._results(plan, row.event)
            return [await self._with_files(one, away) for one in results]
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

    async def _results(self, plan: AccountPlan, event: InboundEvent) -> Sequence[Result]:
        if plan.channel.hostile:
            return await self._parsers.normalize(plan.channel.key, event, plan.account)
        try:
            return list(plan.channel.normalize(event, plan.account))
        except AWAY as error:  # a time out of range is an OSError too
            raise ValueError(f"{type(error).__name__}: {error}") from error

    async def _with_files(self, one: Result, away: Exception | None) -> Result:
        if not isinstance(one, Message) or all(a.content is None for a in one.attachments):
            return one
        if away is not None:  # it takes its time to find that out
            raise away
        kept = [await self._keep(a) if a.content is not None else a for a in one.attachments]
        return msgspec.structs.replace(one, attachments=tuple(kept))

    # -- writing -------------------------------------------------------------------------------------

    async def _file(
        self, settings: Settings, claimed: Sequence[Claimed], reads: Sequence[Read]
    ) -> bool:
        """File *reads* at once; False: they had to be filed one by one."""
        if not reads:
            await release_partitions(self._core.db, claimed)
            return True
        try:
            filed = await self._transact(settings, claimed, reads)
        except TROUBLE:
            raise
        except Exception:
            _log.exception("filing_failed", rows=len(reads))
            await self._file_alone(settings, claimed, reads)
            return False
        self._ring(filed)
        return True

    async def _transact(
        self, settings: Settings, claimed: Sequence[Claimed], reads: Sequence[Read]
    ) -> Filed:
        choose = self._choose(settings)

        for attempt in range(RACES):
            with contextlib.suppress(Raced), self._offer() as offer:

                async def work(
                    tx: Transaction, look: bool = attempt > 0, offer: Offer | None = offer
                ) -> Filed:
                    if offer:
                        offer.anew()
                    now = self._core.clock()
                    return await file_batch(
                        tx, settings, choose, claimed, reads, now, look=look, offer=offer
                    )

                began = time.time()
                filed = await self._core.db.transaction(work)
                if filed.told:
                    _tell(filed, reads, began)
                return filed
        raise RuntimeError("other processes kept filing the same messages")

    async def _file_alone(
        self, settings: Settings, claimed: Sequence[Claimed], reads: Sequence[Read]
    ) -> None:
        """The batch failed: file each row alone, in order, and park what cannot be filed.

        The first row gives its partition back; the epoch still fences the rows after it.
        """
        owners = {one.id: one for one in claimed}
        for read in reads:
            try:
                self._ring(await self._transact(settings, [owners[read.row.partition_id]], [read]))
            except TROUBLE:
                raise
            except Exception as error:
                _log.exception("row_parked", inbox_id=read.row.id)
                await park(self._core.db, read.row.id, f"{type(error).__name__}: {error}")
        await release_partitions(self._core.db, claimed)

    def _ring(self, filed: Filed) -> None:
        self.filed += filed.messages
        if filed.destinations:
            self._core.bells.ring("deliver")
        if filed.replies:
            self._core.bells.ring("reply")
        if filed.media:
            self._core.bells.ring("media")
        if filed.claims:
            self._core.bells.ring("identity")


def _tell(filed: Filed, reads: Sequence[Read], began: float) -> None:
    """Spans of what has been filed: how long it waited in the inbox, and how long filing took."""
    rows = {read.row.id: read.row for read in reads}
    now = time.time()
    for message, number in filed.told:
        if (row := rows.get(number)) is None:
            continue
        root = telemetry.root_of(message)
        facts = {"hub.account": row.account, "hub.channel": row.channel}
        received = row.event.received_at.timestamp()
        telemetry.tell(
            telemetry.Span("receive", message, root, None, received, now, "server", facts)
        )
        telemetry.tell(
            telemetry.Span("file", message, telemetry.new_span(), root, began, now, facts=facts)
        )


def _suspects(claimed: Sequence[Claimed], rows: Sequence[InboxRow]) -> set[int]:
    """Which rows may have ended the last holder of their partition: one that was alone, or all up to
    one that would have been alone."""
    expired = {one.id for one in claimed if one.expired}
    suspects: set[int] = set()
    begun: set[str] = set()
    for row in rows:
        if row.partition_id not in expired:
            continue
        if row.crashes:
            expired.discard(row.partition_id)
            if row.partition_id in begun:
                continue
        begun.add(row.partition_id)
        suspects.add(row.id)
    return suspects
