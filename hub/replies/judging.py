"""What becomes of a reply whose call was not simply taken: tried again, held, unknown, failed."""

from typing import Any, NoReturn

from hub.errors import Ambiguous, BadCredentials, SendError, Stale, Unreachable, WindowClosed
from hub.model import Draft
from hub.replies.composing import Outlet, Stored, stored_of
from hub.replies.moving import announce_held, move
from hub.replies.records import Changed, Holder
from hub.replies.tries import Try, doubtful, nothing_left
from hub.store import outbox

__all__ = ["Judge", "Pause", "Settled"]


class Pause(Exception):
    """The lane sleeps: what is at its head cannot go on before."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(0.0, seconds)


class Settled(Exception):
    """The message is done with, one way or another; the lane goes on with the next."""


class Judge:
    """Writes what an error means for a message; each verdict ends by raising how the lane goes on.

    Pause: it sleeps. Settled: the next message. Changed: the same one is looked at again.
    """

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._core = holder.core
        self._pace = holder.pace
        self._lane = holder.lane

    async def refused(self, tried: Try, outlet: Outlet, error: SendError) -> NoReturn:
        """The call raised *error*: write what that means."""
        if isinstance(error, Ambiguous):
            await self.ambiguous(tried, error)
        if isinstance(error, BadCredentials):
            await self._holder.again(tried, error, refund=True, counts=False)
            await self._stop_account(error)
        if tried.may_be_out:
            await self.ambiguous(tried, doubtful(error), again=error.retryable)
        if isinstance(error, WindowClosed):
            await self.closed(tried.message, outlet, error, tried)
        if isinstance(error, Stale) and tried.number <= len(self._pace.retries_s):
            await self._holder.prepare_again(tried, error)
            raise Changed
        if error.retryable:
            await self.later(tried, error, refund=True)
        await self._holder.fail(tried.message, error, tried)
        raise Settled

    async def _stop_account(self, error: BadCredentials) -> NoReturn:
        """The account sends nothing more, so no lane of it is claimed until it is revived."""
        account, accounts = self._lane.account, self._core.accounts
        await accounts.stop_account(account, error.reason)
        stopped = account in await accounts.stopped()
        raise Pause(self._pace.reconcile_s if stopped else self._pace.stopped_s)

    async def ambiguous(self, tried: Try, error: Ambiguous, *, again: bool = True) -> NoReturn:
        """Nobody knows whether it arrived; made *again* where the platform removes repeats."""
        if tried.draft.role == "prepare":
            await self.later(tried, Unreachable(error.detail), refund=False)
        if again and tried.draft.repeatable and tried.number <= len(self._pace.retries_s):
            await self.later(tried, error, refund=False)
        await self._holder.unknown(tried.message, tried.row, error)
        raise Changed

    async def later(self, tried: Try, error: SendError, *, refund: bool) -> NoReturn:
        """Try again by the schedule, or give up at its end."""
        pauses = self._pace.retries_s
        if tried.number > len(pauses):
            await self._holder.fail(tried.message, error, tried)
            raise Settled
        asked = min(error.retry_after or 0.0, self._pace.retry_after_max_s)
        await self._holder.again(tried, error, refund=refund)
        raise Pause(max(pauses[tried.number - 1], asked))

    async def closed(
        self, message: Any, outlet: Outlet, error: WindowClosed, tried: Try | None = None
    ) -> NoReturn:
        """The platform allows nothing now: hold or fail, as the account's plan says."""
        if tried is not None and await self._holder.exhausted(tried):
            await self._holder.again(tried, error, refund=False, counts=False, kept=False)
            raise Changed  # there is another allowance, and it may go under that one
        stored = stored_of(message)
        if outlet.when_closed == "fail" or stored is None:
            await self._holder.fail(message, error, tried)
            raise Settled
        other_ways = outlet.when_closed != "hold" or outlet.capabilities.proactive
        if tried is not None and other_ways and tried.draft.cost:
            await self._holder.again(tried, error, refund=False, counts=False, kept=False)
            raise Changed  # composed again, by what the platform has said
        await self._hold(message, outlet, stored, error, tried)
        raise Settled

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
        may_move = outlet.when_closed == "other" and tried is None and nothing_left(drafts)
        if may_move and await move(self._holder, message, outlet, stored):
            return
        await self._holder.hold(message, error, tried)
        await announce_held(self._holder, message, outlet, stored)

    async def found_sending(self, message: Any, row: Any, draft: Draft) -> NoReturn:
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
            raise Settled
        await self._holder.unknown(message, row, error)
        raise Changed
