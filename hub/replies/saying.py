"""Saying what waits in one lane, in order, one call at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import msgspec
import structlog

from hub import ledger
from hub.channel import Reconciler
from hub.errors import (
    Ambiguous,
    BadCredentials,
    QuotaUsedUp,
    Rejected,
    SendError,
    Stale,
    Unreachable,
    WindowClosed,
)
from hub.exchange import Exchange, recording
from hub.failpoints import failpoint
from hub.model import Draft, Receipt
from hub.replies.composing import (
    NotReady,
    Outlet,
    Stored,
    compose,
    new_drafts,
    outlet_of,
    read_draft,
)
from hub.replies.errors import AccountRemoved, Expired, free_again
from hub.replies.moving import announce_held, move
from hub.replies.records import (
    Changed,
    Holder,
    QuotaFull,
    Try,
    age_s,
    doubt_since,
    doubtful,
    may_be_out,
    results_of,
)
from hub.replies.restraint import Paced
from hub.store import AWAY, outbox, replies
from hub.store import drafts as draft_rows
from hub.store.inbox import short_key

__all__ = ["LaneRun", "Ready"]

_log = structlog.get_logger("hub.replies")

NEW_ACCOUNT_S = 30.0
"""Processes take new settings into force at different moments."""


class _Pause(Exception):
    """The lane sleeps: what is at its head cannot go on before."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(0.0, seconds)


class _Settled(Exception):
    """The message is done with, one way or another; the lane goes on with the next."""


class Ready(NamedTuple):
    """What of a reply is still to be said, and what was made for it before."""

    message: Any
    says: Sequence[tuple[Any, Draft]]
    results: Mapping[str, Any]
    only_in_answer: bool


class LaneRun:
    """One claim of one lane."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._core = holder.core
        self._pace = holder.pace
        self._lane = holder.lane
        self.stopping = False

    async def run(self) -> tuple[bool, float]:
        """Whether all that the claim counted is handled, and for how long the lane sleeps.

        Raises:
            Fenced: another process has the lane.
        """
        each = self._pace.messages_each_lane
        stood = self._core.clock() - timedelta(seconds=self._pace.unknown_stands_s)
        waiting = await replies.waiting_messages(
            self._core.db, [self._lane.conversation_id], stood, each
        )
        # What cannot wait for a helpdesk does not wait for one's earlier replies either.
        for row in sorted(waiting, key=lambda row: (not row["urgent"], row["seq"])):
            try:
                await self._say(row)
            except _Settled:
                continue
            except Changed:
                return False, 0.0
            except _Pause as pause:
                return False, pause.seconds
        return len(waiting) < each, 0.0

    # -- a message ---------------------------------------------------------------------------------

    async def _say(self, message: Any) -> None:
        failpoint("reply.claimed")
        outlet = await self._outlet(message)
        drafts: Sequence[Any] = await outbox.drafts_of(self._core.db, [message["id"]])
        if message["status"] == "unknown":
            await self._find_out(message, outlet, drafts)
        stored = _stored(message)
        if stored is not None and _nothing_left(drafts):
            drafts = await self._compose_again(message, outlet, stored, drafts)
        await self._say_drafts(message, outlet, drafts)

    async def _outlet(self, message: Any) -> Outlet:
        if self.stopping:
            raise _Pause(0)
        account = self._lane.account
        outlet = outlet_of(self._core, account)
        if outlet is not None:
            return outlet
        if account in self._core.settings.accounts:
            raise _Pause(self._pace.stopped_s / 10)  # switched off: what waits stays
        if age_s(message["created_at"], self._core.clock()) < NEW_ACCOUNT_S:
            raise _Pause(2.0)
        await self._holder.fail(message, AccountRemoved(account))
        raise _Settled

    async def ready(self, message: Any) -> Ready | None:
        """What of *message* can be said in an answer now; None: it is left to the lane."""
        try:
            return await self._ready_for_answer(message)
        except (_Pause, _Settled, Changed):
            return None

    async def _ready_for_answer(self, message: Any) -> Ready | None:
        outlet = await self._outlet(message)
        rows: Sequence[Any] = await outbox.drafts_of(self._core.db, [message["id"]])
        stored = _stored(message)
        if stored is not None and _nothing_left(rows):
            rows = await self._compose_again(message, outlet, stored, rows, in_answer=True)
        drafts = [(row, read_draft(row)) for row in rows]
        only_in_answer = any(draft.only_in_answer for _, draft in drafts)
        results: dict[str, Any] = {}
        says = []
        for row, draft in drafts:
            if row["state"] == "queued" and draft.role == "say":
                says.append((row, draft))
            elif row["state"] == "queued" and only_in_answer:
                results |= await self._make(message, outlet, row, draft, results)
            elif row["state"] == "sent":
                results |= results_of([row])
            else:
                return None
        return Ready(message, says, results, only_in_answer)

    async def _compose_again(
        self,
        message: Any,
        outlet: Outlet,
        stored: Stored,
        drafts: Sequence[Any],
        *,
        in_answer: bool = False,
    ) -> Sequence[Any]:
        """The drafts as things are now; what is allowed may have changed since they were made."""
        try:
            await self._keep_order(message, stored, in_answer=in_answer)
            made = await compose(
                self._core.db,
                outlet,
                await replies.conversation(self._core.db, self._lane.conversation_id),
                stored,
                message["id"],
                message["created_at"],
                wait_for_files=True,
            )
        except NotReady:
            raise _Pause(self._pace.file_s) from None
        except WindowClosed as error:
            await self._closed(message, outlet, error)
        except SendError as error:
            await self._holder.fail(message, error)
            raise _Settled from error
        rows = new_drafts(message["id"], made)
        if _same(rows, drafts):
            return drafts
        await self._holder.replace_drafts(message, rows)
        return await outbox.drafts_of(self._core.db, [message["id"]])

    async def _keep_order(self, message: Any, stored: Stored, *, in_answer: bool) -> None:
        """A reply does not overtake one that waits for the customer, unless a person said so.

        An answer carries several replies, in their order.
        """
        if stored.forced or stored.request.template is not None:
            return
        place = message["conversation_id"], message["seq"]
        if await replies.earlier_held(self._core.db, *place):
            raise WindowClosed("an earlier reply waits for the customer")
        if not in_answer and await replies.earlier_queued(self._core.db, *place):
            raise Changed  # the customer has written since this claim began, and it may go now

    async def _closed(
        self, message: Any, outlet: Outlet, error: WindowClosed, tried: Try | None = None
    ) -> NoReturn:
        """The platform allows nothing now: hold or fail, as the account's plan says."""
        if tried is not None and await self._holder.exhausted(tried):
            await self._holder.again(tried, error, refund=False, counts=False, kept=False)
            raise Changed  # there is another allowance, and it may go under that one
        stored = _stored(message)
        if outlet.when_closed == "fail" or stored is None:
            await self._holder.fail(message, error, tried)
            raise _Settled
        other_ways = outlet.when_closed != "hold" or outlet.capabilities.proactive
        if tried is not None and other_ways and tried.draft.cost:
            await self._holder.again(tried, error, refund=False, counts=False, kept=False)
            raise Changed  # composed again, by what the platform has said
        await self._hold(message, outlet, stored, error, tried)
        raise _Settled

    async def _hold(
        self,
        message: Any,
        outlet: Outlet,
        stored: Stored,
        error: WindowClosed,
        tried: Try | None,
    ) -> None:
        """Hold it for the customer, unless another channel takes it."""
        drafts = await outbox.drafts_of(self._core.db, [message["id"]])
        may_move = outlet.when_closed == "other" and tried is None and _nothing_left(drafts)
        if may_move and await move(self._holder, message, outlet, stored):
            return
        await self._holder.hold(message, error, tried)
        await announce_held(self._holder, message, outlet, stored)

    # -- its drafts --------------------------------------------------------------------------------

    async def _say_drafts(self, message: Any, outlet: Outlet, drafts: Sequence[Any]) -> None:
        results: dict[str, Any] = {}
        for row in drafts:
            draft = read_draft(row)
            if row["state"] == "sending":
                await self._found_sending(message, row, draft)
            if row["state"] == "queued":
                results |= await self._make(message, outlet, row, draft, results)
            else:
                results |= results_of([row])

    async def _found_sending(self, message: Any, row: Any, draft: Draft) -> NoReturn:
        """Whoever began this call did not write what came of it, and never will."""
        error = Ambiguous("the process that was sending it stopped before it had an answer")
        tried = Try(message, row, draft, row["tries"], row["allowance_id"])
        # An answer is given after it is written down: what stands as being sent never left.
        may_repeat = draft.role == "prepare" or draft.repeatable or draft.only_in_answer
        is_last = row["tries"] > len(self._pace.retries_s)  # it may be what ends the processes
        if may_repeat and not is_last:
            await self._holder.again(tried, error, refund=False)
            raise Changed
        if draft.role == "prepare":
            ended = f"{row['tries']} processes have ended while they were making it"
            await self._holder.fail(message, Unreachable(ended), tried)
            raise _Settled
        await self._holder.unknown(message, row, error)
        raise Changed

    async def _make(
        self, message: Any, outlet: Outlet, row: Any, draft: Draft, results: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make one call; what it brought for those after it."""
        if self._is_too_late(row, draft):
            if may_be_out(row, draft):
                await self._holder.unknown(message, row, doubtful(Expired()))
                raise Changed
            await self._holder.fail(message, Expired())
            raise _Settled
        if draft.role == "prepare" and (ready := await self._ready(draft)) is not None:
            await self._holder.reuse(row, ready)
            return msgspec.json.decode(ready, type=dict[str, Any])
        if self.stopping:
            raise _Pause(0)
        if draft.only_in_answer:
            await self._leave_to_answer(message, outlet)
        try:
            tried = await self._holder.begin(
                message, row, draft, windowed=outlet.windowed, sender=outlet.sender
            )
        except Paced as paced:
            raise _Pause(paced.seconds) from None
        except WindowClosed as error:
            await self._closed(message, outlet, error)
        except QuotaFull as full:
            if full.wait_s <= self._pace.quota_wait_s:
                raise _Pause(full.wait_s) from full
            await self._holder.fail(message, QuotaUsedUp(free_again(full.wait_s)))
            raise _Settled from full
        failpoint("reply.sending")
        if self._holder.left_s < self._pace.send_s:
            # Too late to open the socket: the lane may be another's before the answer is here.
            await self._holder.again(tried, Unreachable("held up"), refund=True, counts=False)
            raise _Pause(0)
        try:
            receipt = await self._call(outlet, tried, results)
        except SendError as error:
            failpoint("reply.answered")
            await self._judge(tried, outlet, error)
        failpoint("reply.answered")
        await self._holder.took(message, row, receipt)
        failpoint("reply.recorded")
        return receipt.results

    def _is_too_late(self, row: Any, draft: Draft) -> bool:
        """Whether it is of no use any more, or its repeat would not be taken for one."""
        now = self._core.clock()
        if draft.deadline is not None and draft.deadline <= now:
            return True
        since = doubt_since(row) if may_be_out(row, draft) else None
        return (
            since is not None
            and draft.repeatable_for_s is not None
            and age_s(since, now) > draft.repeatable_for_s
        )

    async def _leave_to_answer(self, message: Any, outlet: Outlet) -> NoReturn:
        """While a callback is being answered, whoever answers it takes the draft; else it waits."""
        place = self._lane.conversation_id
        states = await ledger.reply_states(self._core.db, {place: True}, self._core.clock())
        if states[place].remaining:
            raise _Pause(self._pace.answer_s)
        error = WindowClosed("it goes out in the answer to the customer's next message")
        await self._closed(message, outlet, error)

    async def _ready(self, draft: Draft) -> str | None:
        """What an equal prepare of the account has brought, while it is fresh."""
        if draft.fingerprint is None or draft.fresh_for_s is None:
            return None
        for row in await draft_rows.drafts_ready(
            self._core.db, self._lane.account, draft.fingerprint
        ):
            if age_s(row["finished_at"], self._core.clock()) < draft.fresh_for_s:
                results: str = row["results"]
                return results
        return None

    async def _call(self, outlet: Outlet, tried: Try, results: Mapping[str, Any]) -> Receipt:
        """The platform's answer; any way of not getting one is a SendError."""
        seen: list[Exchange] = []
        limit_s = max(self._pace.send_s, tried.draft.timeout_s or 0)
        try:
            with recording(seen.append):
                async with asyncio.timeout(limit_s):
                    receipt = await outlet.sender.send(tried.draft, results)
        except SendError:
            raise
        except TimeoutError as error:
            raise Ambiguous(f"no answer in {limit_s:g} s") from error
        except Exception as error:
            _log.exception("sender_failed", account=self._lane.account)
            raise Ambiguous(f"the channel failed: {type(error).__name__}") from error
        finally:
            await self._keep_exchanges(tried, seen)
        if receipt.status == "failed":
            raise Rejected(receipt.detail or "", external_code=receipt.code)
        if receipt.status == "unknown":
            raise Ambiguous(receipt.detail or "", external_code=receipt.code)
        return receipt

    async def _keep_exchanges(self, tried: Try, seen: Sequence[Exchange]) -> None:
        if not seen:
            return
        try:
            await draft_rows.insert_exchanges(self._core.db, tried.row["id"], seen)
        except AWAY as error:  # what came of the call matters more than how it read
            _log.warning("exchange_lost", error=type(error).__name__)

    # -- what went wrong ---------------------------------------------------------------------------

    async def _judge(self, tried: Try, outlet: Outlet, error: SendError) -> NoReturn:
        """Write what *error* means; always raises, to pause the lane or to go on with the next."""
        if isinstance(error, Ambiguous):
            await self._ambiguous(tried, error)
        if isinstance(error, BadCredentials):
            await self._holder.again(tried, error, refund=True, counts=False)
            await self._stop_account(error)
        if tried.may_be_out:
            await self._ambiguous(tried, doubtful(error), again=error.retryable)
        if isinstance(error, WindowClosed):
            await self._closed(tried.message, outlet, error, tried)
        if isinstance(error, Stale) and tried.number <= len(self._pace.retries_s):
            await self._holder.prepare_again(tried, error)
            raise Changed
        if error.retryable:
            await self._later(tried, error, refund=True)
        await self._holder.fail(tried.message, error, tried)
        raise _Settled

    async def _stop_account(self, error: BadCredentials) -> NoReturn:
        """The account sends nothing more, so no lane of it is claimed until it is revived."""
        account, accounts = self._lane.account, self._core.accounts
        await accounts.stop_account(account, error.reason)
        stopped = account in await accounts.stopped()
        raise _Pause(self._pace.reconcile_s if stopped else self._pace.stopped_s)

    async def _ambiguous(self, tried: Try, error: Ambiguous, *, again: bool = True) -> NoReturn:
        """Nobody knows whether it arrived; made *again* where the platform removes repeats."""
        if tried.draft.role == "prepare":
            await self._later(tried, Unreachable(error.detail), refund=False)
        if again and tried.draft.repeatable and tried.number <= len(self._pace.retries_s):
            await self._later(tried, error, refund=False)
        await self._holder.unknown(tried.message, tried.row, error)
        raise Changed

    async def _later(self, tried: Try, error: SendError, *, refund: bool) -> NoReturn:
        """Try again by the schedule, or give up at its end."""
        pauses = self._pace.retries_s
        if tried.number > len(pauses):
            await self._holder.fail(tried.message, error, tried)
            raise _Settled
        asked = min(error.retry_after or 0.0, self._pace.retry_after_max_s)
        await self._holder.again(tried, error, refund=refund)
        raise _Pause(max(pauses[tried.number - 1], asked))

    # -- unknown -----------------------------------------------------------------------------------

    async def _find_out(self, message: Any, outlet: Outlet, drafts: Sequence[Any]) -> NoReturn:
        """Ask the platform about a reply that is ``unknown``; the lane waits while it is fresh."""
        left = self._pace.unknown_stands_s - age_s(message["status_at"], self._core.clock())
        if not isinstance(outlet.sender, Reconciler):
            raise _Pause(left)
        for row in drafts:
            if row["state"] == "unknown":
                await self._ask(outlet.sender, message, row)
        raise _Pause(min(left, self._pace.reconcile_s))

    async def _ask(self, sender: Reconciler, message: Any, row: Any) -> None:
        draft = read_draft(row)
        try:
            async with asyncio.timeout(self._pace.send_s):
                receipt = await sender.reconcile(draft)
        except (SendError, TimeoutError) as error:
            _log.info("not_reconciled", account=self._lane.account, error=type(error).__name__)
            return
        if receipt is None or receipt.status == "unknown":
            return
        if await self._is_of_another(message, receipt):  # two replies had the same words
            _log.info("not_reconciled", account=self._lane.account, error="of another message")
            return
        if receipt.status == "failed":
            tried = Try(message, row, draft, row["tries"], row["allowance_id"])
            await self._later(tried, Unreachable("the platform never got it"), refund=True)
        await self._holder.took(message, row, receipt)
        raise Changed

    async def _is_of_another(self, message: Any, receipt: Receipt) -> bool:
        """Whether what the platform names is known to be another message of ours."""
        if not receipt.external_id:
            return False
        key = self._lane.account, short_key(receipt.external_id)
        owner = (await outbox.outbound_of(self._core.db, [key])).get(key)
        return owner is not None and owner != message["id"]


def _stored(message: Any) -> Stored | None:
    """What the reply was made from; None for the hub's own, which are sent as they are."""
    text = message["reply_context"]
    return None if text == "{}" else msgspec.json.decode(text, type=Stored)


def _nothing_left(drafts: Sequence[Any]) -> bool:
    """Whether nothing of the message can have reached the platform."""
    return all(
        row["state"] == "queued"
        and row["allowance_id"] is None
        and not may_be_out(row, read_draft(row))
        for row in drafts
    )


def _same(made: Sequence[outbox.NewDraft], drafts: Sequence[Any]) -> bool:
    now = [msgspec.json.decode(draft.call, type=Draft) for draft in made]
    return now == [read_draft(row) for row in drafts]
