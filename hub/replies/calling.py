"""One call to a platform, and how it read on the wire."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from hub.errors import Ambiguous, Rejected, SendError
from hub.exchange import Exchange, recording
from hub.model import Receipt
from hub.replies.composing import Outlet
from hub.replies.records import Holder
from hub.replies.tries import Try
from hub.store import AWAY
from hub.store import drafts as draft_rows

__all__ = ["call"]

_log = structlog.get_logger("hub.replies")


async def call(holder: Holder, outlet: Outlet, tried: Try, results: Mapping[str, Any]) -> Receipt:
    """The platform's answer; any way of not getting one is a SendError."""
    seen: list[Exchange] = []
    limit_s = max(holder.pace.send_s, tried.draft.timeout_s or 0)
    try:
        with recording(seen.append):
            async with asyncio.timeout(limit_s):
                receipt = await outlet.sender.send(tried.draft, results)
    except SendError:
        raise
    except TimeoutError as error:
        raise Ambiguous(f"no answer in {limit_s:g} s") from error
    except Exception as error:
        _log.exception("sender_failed", account=holder.lane.account)
        raise Ambiguous(f"the channel failed: {type(error).__name__}") from error
    finally:
        await _keep_exchanges(holder, tried, seen)
    if receipt.status == "failed":
        raise Rejected(receipt.detail or "", external_code=receipt.code)
    if receipt.status == "unknown":
        raise Ambiguous(receipt.detail or "", external_code=receipt.code)
    return receipt


async def _keep_exchanges(holder: Holder, tried: Try, seen: Sequence[Exchange]) -> None:
    if not seen:
        return
    try:
        await draft_rows.insert_exchanges(holder.core.db, tried.row["id"], seen)
    except AWAY as error:  # what came of the call matters more than how it read
        _log.warning("exchange_lost", error=type(error).__name__)
