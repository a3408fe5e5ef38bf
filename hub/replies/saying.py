"""Saying what waits in one lane, in order, one call at a time."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import msgspec

from hub import ledger
from hub.errors import QuotaUsedUp, SendError, Unreachable, WindowClosed
from hub.failpoints import failpoint
from hub.model import Draft
from hub.replies.calling import call
from hub.replies.composing import (
    NotReady,
    Outlet,
    Stored,
    compose,
    new_drafts,
    outlet_of,
    read_draft,
    stored_of,
)
from hub.replies.errors import AccountRemoved, Expired, free_again
from hub.replies.judging import Judge, Pause, Settled
from hub.replies.records import Changed, Holder, QuotaFull
from hub.replies.restraint import Paced
from hub.replies.tries import age_s, doubt_since, doubtful, may_be_out, nothing_left, results_of
from hub.replies.unknown import Inquiry
from hub.store import drafts as draft_rows
from hub.store import outbox, replies

__all__ = ["LaneRun", "Ready"]

NEW_ACCOUNT_S = 30.0
"""Processes take new settings into force at different moments."""


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
        self._judge = Judge(holder)
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
            except Settled:
                continue
            except Changed:
                return False, 0.0
            except Pause as pause:
                return False, pause.seconds
        return len(waiting) < each, 0.0

    # -- a message ---------------------------------------------------------------------------------

    async def _say(self, message: Any) -> None:
        failpoint("reply.claimed")
        outlet = await self._outlet(message)
        drafts: Sequence[Any] = await outbox.drafts_of(self._core.db, [message["id"]])
        if message["status"] == "unknown":
            await Inquiry(self._holder, self._judge).find_out(message, outlet, drafts)
        stored = stored_of(message)
        if stored is not None and nothing_left(drafts):
            drafts = await self._compose_again(message, outlet, stored, drafts)
        await self._say_drafts(message, outlet, drafts)

    async def _outlet(self, message: Any) -> Outlet:
        if self.stopping:
            raise Pause(0)
        account = self._lane.account
        outlet = outlet_of(self._core, account)
        if outlet is not None:
            return outlet
        if account in self._core.settings.accounts:
            raise Pause(self._pace.stopped_s / 10)  # switched off: what waits stays
        if age_s(message["created_at"], self._core.clock()) < NEW_ACCOUNT_S:
            raise Pause(2.0)
        await self._holder.fail(message, AccountRemoved(account))
        raise Settled

    async def ready(self, message: Any) -> Ready | None:
        """What of *message* can be said in an answer now; None: it is left to the lane."""
        try:
            return await self._ready_for_answer(message)
        except (Pause, Settled, Changed):
            return None

    async def _ready_for_answer(self, message: Any) -> Ready | None:
        outlet = await self._outlet(message)
        rows: Sequence[Any] = await outbox.drafts_of(self._core.db, [message["id"]])
        stored = stored_of(message)
        if stored is not None and nothing_left(rows):
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
            raise Pause(self._pace.file_s) from None
        except WindowClosed as error:
            await self._judge.closed(message, outlet, error)
        except SendError as error:
            await self._holder.fail(message, error)
            raise Settled from error
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

    # -- its drafts --------------------------------------------------------------------------------

    async def _say_drafts(self, message: Any, outlet: Outlet, drafts: Sequence[Any]) -> None:
        results: dict[str, Any] = {}
        for row in drafts:
            draft = read_draft(row)
            if row["state"] == "sending":
                await self._judge.found_sending(message, row, draft)
            if row["state"] == "queued":
                results |= await self._make(message, outlet, row, draft, results)
            else:
                results |= results_of([row])

    async def _make(
        self, message: Any, outlet: Outlet, row: Any, draft: Draft, results: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make one call; what it brought for those after it."""
        if self._is_too_late(row, draft):
            if may_be_out(row, draft):
                await self._holder.unknown(message, row, doubtful(Expired()))
                raise Changed
            await self._holder.fail(message, Expired())
            raise Settled
        if draft.role == "prepare" and (ready := await self._ready(draft)) is not None:
            await self._holder.reuse(row, ready)
            return msgspec.json.decode(ready, type=dict[str, Any])
        if self.stopping:
            raise Pause(0)
        if draft.only_in_answer:
            await self._leave_to_answer(message, outlet)
        try:
            tried = await self._holder.begin(
                message, row, draft, windowed=outlet.windowed, sender=outlet.sender
            )
        except Paced as paced:
            raise Pause(paced.seconds) from None
        except WindowClosed as error:
            await self._judge.closed(message, outlet, error)
        except QuotaFull as full:
            if full.wait_s <= self._pace.quota_wait_s:
                raise Pause(full.wait_s) from full
            await self._holder.fail(message, QuotaUsedUp(free_again(full.wait_s)))
            raise Settled from full
        failpoint("reply.sending")
        if self._holder.left_s < self._pace.send_s:
            # Too late to open the socket: the lane may be another's before the answer is here.
            await self._holder.again(tried, Unreachable("held up"), refund=True, counts=False)
            raise Pause(0)
        try:
            receipt = await call(self._holder, outlet, tried, results)
        except SendError as error:
            failpoint("reply.answered")
            await self._judge.refused(tried, outlet, error)
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
            raise Pause(self._pace.answer_s)
        error = WindowClosed("it goes out in the answer to the customer's next message")
        await self._judge.closed(message, outlet, error)

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


def _same(made: Sequence[outbox.NewDraft], drafts: Sequence[Any]) -> bool:
    now = [msgspec.json.decode(draft.call, type=Draft) for draft in made]
    return now == [read_draft(row) for row in drafts]
