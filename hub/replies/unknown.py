"""Finding out what became of a reply that is ``unknown``."""

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn

import structlog

from hub.channel import Reconciler
from hub.errors import SendError, Unreachable
from hub.model import Receipt
from hub.replies.composing import Outlet, read_draft
from hub.replies.judging import Judge, Pause
from hub.replies.records import Changed, Holder
from hub.replies.tries import Try, age_s
from hub.store import outbox
from hub.store.inbox import short_key

__all__ = ["Inquiry"]

_log = structlog.get_logger("hub.replies")


class Inquiry:
    """Asks the platform, where its sender can be asked, while the reply is fresh."""

    def __init__(self, holder: Holder, judge: Judge) -> None:
        self._holder = holder
        self._judge = judge
        self._core = holder.core
        self._pace = holder.pace
        self._lane = holder.lane

    async def find_out(self, message: Any, outlet: Outlet, drafts: Sequence[Any]) -> NoReturn:
        """Ask the platform about a reply that is ``unknown``; the lane waits while it is fresh."""
        left = self._pace.unknown_stands_s - age_s(message["status_at"], self._core.clock())
        if not isinstance(outlet.sender, Reconciler):
            raise Pause(left)
        for row in drafts:
            if row["state"] == "unknown":
                await self._ask(outlet.sender, message, row)
        raise Pause(min(left, self._pace.reconcile_s))

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
            await self._judge.later(tried, Unreachable("the platform never got it"), refund=True)
        await self._holder.took(message, row, receipt)
        raise Changed

    async def _is_of_another(self, message: Any, receipt: Receipt) -> bool:
        """Whether what the platform names is known to be another message of ours."""
        if not receipt.external_id:
            return False
        key = self._lane.account, short_key(receipt.external_id)
        owner = (await outbox.outbound_of(self._core.db, [key])).get(key)
        return owner is not None and owner != message["id"]
