"""What a lane's holder writes: each function is one transaction, and fails once the lane is lost.

The locks are taken in the order of :mod:`hub.store.outbox`; the lane's own row comes last.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import structlog

from hub import ledger
from hub.channel import Sender
from hub.core import Core
from hub.errors import Ambiguous, OptedOut, SendError, WindowClosed
from hub.model import Allowance, Draft, Receipt
from hub.outbox import Change, apply_early, change_status, to_json
from hub.outbox.states import worst
from hub.replies.composing import home_of
from hub.replies.pace import Pace
from hub.replies.restraint import keep_pace
from hub.replies.tries import Try, doubt_since, doubtful, may_be_out, spoken
from hub.store import AWAY, Transaction, outbox, quotas, replies
from hub.store import drafts as draft_rows
from hub.store.consents import Consent, keep_consents
from hub.store.drafts import Intent
from hub.store.inbox import short_key
from hub.store.replies import Fenced, ReplyLane

__all__ = [
    "Changed",
    "Fenced",
    "Holder",
    "QuotaFull",
]

T = TypeVar("T")

INSIST_S = 60.0
"""For how long the outcome of a call is kept in memory when the database is away."""

_log = structlog.get_logger("hub.replies")


class QuotaFull(Exception):
    """A quota of the platform is used up for *wait_s* seconds more; nothing was begun."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Changed(Exception):
    """A person or a report has changed the message meanwhile; it is looked at again."""


class Holder:
    """Who holds a lane, and the only hand that writes to its messages."""

    def __init__(self, core: Core, lane: ReplyLane, pace: Pace, claimed: float) -> None:
        """*claimed* is when the claim was asked for, by the monotonic clock: never later than the
        database gave the lease."""
        self.core = core
        self.lane = lane
        self.pace = pace
        self.destinations: set[str] = set()
        self._expires = claimed + pace.lease_s

    @property
    def left_s(self) -> float:
        """How much of the lease is left for certain."""
        return self._expires - time.monotonic()

    def renewed(self, asked: float) -> None:
        """The lease was prolonged by a statement that was sent at *asked*."""
        self._expires = max(self._expires, asked + self.pace.lease_s)

    async def write(
        self, work: Callable[[Transaction], Awaitable[T]], *, insist_s: float = 0.0
    ) -> T:
        """The result of *work* in a transaction that commits only while the lane is ours.

        While the database is away it is tried again for *insist_s*; *work* must not mind that an
        earlier try was committed after all.

        Raises:
            Fenced: the lane is another's; nothing was written.
        """
        until = time.monotonic() + insist_s
        while True:
            try:
                return await self._write(work)
            except AWAY as error:
                if time.monotonic() > until:
                    raise
                _log.warning("database_away", error=type(error).__name__)
                await asyncio.sleep(0.3)

    async def _write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        asked = time.monotonic()

        async def fenced(tx: Transaction) -> T:
            await replies.lock_conversation(tx, self.lane.conversation_id)
            done = await work(tx)
            await replies.fence(tx, self.lane, self.pace.lease_s)
            return done

        done = await self.core.db.transaction(fenced)
        self.renewed(asked)
        return done

    # -- before the call ---------------------------------------------------------------------------

    async def begin(
        self, message: Any, row: Any, draft: Draft, *, windowed: bool, sender: Sender | None = None
    ) -> Try:
        """Commit the intent to make the call, with what it takes from an allowance.

        Raises:
            WindowClosed: no allowance has enough left.
            QuotaFull: the customer has had as many as the platform lets them have for now.
            Paced: the account has said as much as it may for now.
            Changed: the draft does not wait any more.
        """

        async def work(tx: Transaction) -> tuple[UUID | None, Draft]:
            locked = await outbox.lock_messages(tx, [message["id"]])
            if not locked or locked[0]["status"] not in ("queued", "sending"):
                raise Changed
            await self._count(tx, row["id"], draft)
            allowance_id: UUID | None = row["allowance_id"]
            if draft.role == "say" and sender is not None:
                await keep_pace(tx, sender, self.lane.account, self.core.clock())
            kept = await ledger.reserved(tx, row["id"]) if allowance_id else None
            taken = kept
            if windowed and draft.role == "say" and draft.cost and allowance_id is None:
                taken = await self._reserve(tx, draft)
                allowance_id = taken.id if taken else None
            turn = taken.turn if taken else None
            intent = Intent(row["id"], self.lane.epoch, self.core.name, allowance_id, turn)
            if not await draft_rows.begin_draft(tx, intent, self.core.clock()):
                raise Changed
            if locked[0]["status"] != "sending":
                await self._quietly(tx, message["id"], "sending")
            return allowance_id, spoken(draft, taken, again=kept is not None)

        allowance_id, spoken_draft = await self.write(work)
        return Try(
            message, row, spoken_draft, row["tries"] + 1, allowance_id, may_be_out(row, draft)
        )

    async def _count(self, tx: Transaction, draft_id: UUID, draft: Draft) -> None:
        if not draft.quotas:
            return
        account, now = self.lane.account, self.core.clock()
        wait_s = await quotas.wait_s(tx, account, draft.quotas, now, draft_id)
        if wait_s:
            raise QuotaFull(wait_s)
        await quotas.note_uses(tx, account, draft.quotas, now, draft_id)

    async def _reserve(self, tx: Transaction, draft: Draft) -> ledger.Reserved | None:
        conversation_id = self.lane.conversation_id
        named = UUID(draft.allowance) if draft.allowance else None
        now = self.core.clock()
        taken = await ledger.reserve(tx, conversation_id, draft.cost, now, named)
        if taken is None and (await ledger.known(tx, [conversation_id])).get(conversation_id):
            raise WindowClosed("what the platform allows until the customer writes is used up")
        return taken

    async def _quietly(
        self, tx: Transaction, message_id: UUID, status: str, error: SendError | None = None
    ) -> None:
        """Change a status that is the hub's own business and is not told."""
        shown = error.as_json() if error else None
        now = self.core.clock()
        patch = to_json({"status": status, "status_at": now, "error": shown})
        change = outbox.StatusChange(
            message_id, status, None, to_json(shown) if shown else None, patch
        )
        await outbox.change_messages(tx, [change], now)

    async def _change(self, tx: Transaction, change: Change) -> None:
        rung = await change_status(tx, self.core.settings, [change], self.core.clock())
        self.destinations |= rung

    async def replace_drafts(self, message: Any, drafts: Sequence[outbox.NewDraft]) -> None:
        """Put newly composed drafts in the place of those of which none has left."""

        async def work(tx: Transaction) -> None:
            locked = await outbox.lock_messages(tx, [message["id"]])
            if not locked or locked[0]["status"] not in ("queued", "sending"):
                raise Changed
            await draft_rows.remove_drafts(tx, message["id"])
            await outbox.insert_drafts(tx, drafts)

        await self.write(work)

    # -- after the call ----------------------------------------------------------------------------

    async def took(self, message: Any, row: Any, receipt: Receipt) -> None:
        """The platform took the call: keep its ids and results, and what it had reported before."""
        status = receipt.status if row["role"] == "say" else "sent"
        external_id = short_key(receipt.external_id) if receipt.external_id else None
        ids = [one for one in (external_id, *map(short_key, receipt.known_ids)) if one]
        results = to_json(receipt.results)
        account = self.lane.account

        async def work(tx: Transaction) -> None:
            now = self.core.clock()
            await outbox.lock_external_ids(tx, [(account, one) for one in ids])
            locked = (await outbox.lock_messages(tx, [message["id"]]))[0]
            await draft_rows.finish_draft(
                tx, row["id"], status, now, external_id=external_id, results=results
            )
            if ids:
                await outbox.remember_own_ids(
                    tx, account, self.lane.conversation_id, message["id"], ids
                )
            await self._settle(tx, locked, external_id)
            if ids:
                self.destinations |= await apply_early(
                    tx, self.core.settings, account, message["id"], ids, now
                )

        await self.write(work, insist_s=INSIST_S)

    async def _settle(self, tx: Transaction, locked: Any, external_id: str | None) -> None:
        """Give a locked message the status that its drafts say; its first external id is its own."""
        drafts = await outbox.drafts_of(tx, [locked["id"]])
        status = worst([row["state"] for row in drafts if row["role"] == "say"])
        first = external_id if locked["external_id"] is None else None
        if status == "queued" and locked["status"] == "sending":
            status = "sending"  # files are prepared, nothing is said yet
        if status != locked["status"] or first:
            await self._change(tx, Change(locked["id"], status, None, first))

    async def reuse(self, row: Any, results: str) -> None:
        """Use what an equal prepare has brought before."""

        async def work(tx: Transaction) -> None:
            await draft_rows.finish_draft(tx, row["id"], "sent", self.core.clock(), results=results)

        await self.write(work, insist_s=INSIST_S)

    async def again(
        self,
        tried: Try,
        error: SendError,
        *,
        refund: bool,
        counts: bool = True,
        kept: bool | None = None,
    ) -> None:
        """The call is to be made again later; *refund* when it is proven that nothing was sent.

        *kept*: under the same allowance and turn, as whatever may have arrived is. What an earlier
        try may have brought to the customer is not forgotten for what came of a later one.
        """
        if tried.may_be_out:
            refund, kept, error = False, True, doubtful(error)
        shown = dict(error.as_json())
        if isinstance(error, Ambiguous):
            shown["since"] = doubt_since(tried.row) or self.core.clock()

        async def work(tx: Transaction) -> None:
            now = self.core.clock()
            locked = (await outbox.lock_messages(tx, [tried.message["id"]]))[0]
            waits = await draft_rows.give_back(
                tx,
                tried.row["id"],
                now,
                keep_allowance=not refund if kept is None else kept,
                counts=counts,
                error=to_json(shown),
            )
            if refund and tried.draft.quotas:
                await quotas.give_back(tx, tried.row["id"])
            if waits and refund and tried.allowance_id:
                await ledger.refund(tx, tried.allowance_id, tried.draft.cost)
            drafts = await outbox.drafts_of(tx, [locked["id"]])
            status = worst([row["state"] for row in drafts if row["role"] == "say"])
            if locked["status"] == "unknown":  # that was told; so is the good news
                await self._change(tx, Change(locked["id"], status, error.as_json()))
            else:
                await self._quietly(tx, locked["id"], status, error)

        await self.write(work, insist_s=INSIST_S)

    async def prepare_again(self, tried: Try, error: SendError) -> None:
        """What the message's prepares had brought is no good any more, for others neither."""

        async def work(tx: Transaction) -> None:
            await outbox.lock_messages(tx, [tried.message["id"]])
            await draft_rows.forget_prepared(tx, tried.message["id"], self.lane.account)

        await self.write(work, insist_s=INSIST_S)
        await self.again(tried, error, refund=True)

    async def unknown(self, message: Any, row: Any, error: SendError) -> None:
        """Nobody knows whether the call arrived; it stands, and is told."""

        async def work(tx: Transaction) -> None:
            shown = error.as_json()
            locked = (await outbox.lock_messages(tx, [message["id"]]))[0]
            await draft_rows.finish_draft(
                tx, row["id"], "unknown", self.core.clock(), error=to_json(shown)
            )
            if locked["status"] in ("queued", "sending"):
                await self._change(tx, Change(locked["id"], "unknown", shown))

        await self.write(work, insist_s=INSIST_S)

    async def fail(self, message: Any, error: SendError, tried: Try | None = None) -> None:
        """The reply ends here: what has not gone out of it is given up, and why is told."""

        async def work(tx: Transaction) -> None:
            now = self.core.clock()
            locked = (await outbox.lock_messages(tx, [message["id"]]))[0]
            if locked["status"] not in ("queued", "sending", "unknown"):
                raise Changed
            shown = _error_of(error, await outbox.drafts_of(tx, [message["id"]]))
            if tried is not None:
                await draft_rows.finish_draft(
                    tx, tried.row["id"], "failed", now, error=to_json(error.as_json())
                )
                if tried.allowance_id and not isinstance(error, WindowClosed):
                    await ledger.refund(tx, tried.allowance_id, tried.draft.cost)
                if tried.draft.quotas:
                    await quotas.give_back(tx, tried.row["id"])
                if isinstance(error, OptedOut):
                    await self._keep_opt_out(tx, error)
            await draft_rows.cancel_waiting_drafts(tx, [message["id"]], now)
            await self._change(tx, Change(message["id"], "failed", shown))

        await self.write(work, insist_s=INSIST_S)

    async def _keep_opt_out(self, tx: Transaction, error: OptedOut) -> None:
        """The platform knows what the customer has never told us."""
        place = await replies.lock_conversation(tx, self.lane.conversation_id)
        source = error.external_code or error.code
        at = self.core.clock()
        kept = Consent(self.lane.account, home_of(place), "withdrawn", source, at)
        await keep_consents(tx, [kept])

    async def hold(self, message: Any, error: WindowClosed, tried: Try | None = None) -> None:
        """The reply waits until the customer writes."""

        async def work(tx: Transaction) -> None:
            locked = (await outbox.lock_messages(tx, [message["id"]]))[0]
            if locked["status"] not in ("queued", "sending"):
                raise Changed
            shown = error.as_json()
            if tried is not None:
                await draft_rows.give_back(
                    tx,
                    tried.row["id"],
                    self.core.clock(),
                    keep_allowance=False,
                    counts=False,
                    error=to_json(shown),
                )
            await self._change(tx, Change(message["id"], "held", shown))

        await self.write(work, insist_s=INSIST_S)

    async def answered(self) -> None:
        """The answer is given: nothing more goes into it."""
        place = self.lane.conversation_id

        async def work(tx: Transaction) -> None:
            for one in (await ledger.known(tx, [place])).get(place, ()):
                if one.id and one.remaining and one.mode == "free":
                    await ledger.exhaust(tx, UUID(one.id))

        await self.write(work, insist_s=INSIST_S)

    async def exhausted(self, tried: Try) -> bool:
        """The platform has the last word: it allows nothing more under that allowance.

        True: it was not the last one, and the draft may speak under another.
        """
        taken = tried.allowance_id
        conversation_id = self.lane.conversation_id

        async def work(tx: Transaction) -> bool:
            if taken is None:
                await ledger.open_allowances(tx, [self._refused(tried)])
                return False
            await ledger.exhaust(tx, taken)
            known = await ledger.known(tx, [conversation_id])
            now = self.core.clock()
            left = ledger.state_of(known.get(conversation_id, ()), True, now).remaining
            return left is None or left >= tried.draft.cost

        return await self.write(work)

    def _refused(self, tried: Try) -> tuple[UUID, str, Allowance]:
        """What is known of a platform that refuses what no allowance was known for: nothing is left."""
        now = self.core.clock()
        nothing = Allowance(
            trigger="refused", key=str(tried.row["id"]), opened_at=now, until=now, remaining=0
        )
        return self.lane.conversation_id, self.lane.account, nothing


def _error_of(error: SendError, drafts: Sequence[Any]) -> Mapping[str, Any]:
    """*error* as it is shown, with how much of the reply is out."""
    says = [row["state"] for row in drafts if row["role"] == "say"]
    out = sum(state in ("sent", "delivered", "read") for state in says)
    shown = dict(error.as_json())
    return shown | {"parts": len(says), "parts_sent": out} if len(says) > 1 else shown
