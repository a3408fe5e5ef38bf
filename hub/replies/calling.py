"""One call to a platform, and how it read on the wire."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog

from hub import telemetry
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
    if not telemetry.is_on():
        return await _call(holder, outlet, tried, results, seen)
    began, error = time.time(), None
    try:
        return await _call(holder, outlet, tried, results, seen)
    except SendError as failure:
        error = failure.code
        raise
    finally:
        _tell(holder, tried, seen, began, error)


def _tell(
    holder: Holder, tried: Try, seen: Sequence[Exchange], began: float, error: str | None
) -> None:
    """Spans of the call and of what it took on the wire."""
    message, own = tried.message["id"], telemetry.new_span()
    facts: dict[str, str | int] = {"hub.account": holder.lane.account, "hub.try": tried.number}
    telemetry.tell(
        telemetry.Span(
            "send",
            message,
            own,
            telemetry.root_of(message),
            began,
            time.time(),
            facts=facts,
            error=error,
        )
    )
    for one in seen:
        start = one.at.timestamp()
        place = urlsplit(one.url)
        about: dict[str, str | int] = {
            "http.request.method": one.method,
            "server.address": place.hostname or "",
            "url.path": place.path,
        }
        if one.status is not None:
            about["http.response.status_code"] = one.status
        telemetry.tell(
            telemetry.Span(
                f"call {one.method}",
                message,
                telemetry.new_span(),
                own,
                start,
                start + one.duration_ms / 1000,
                "client",
                about,
                "no answer" if one.status is None else None,
            )
        )


async def _call(
    holder: Holder,
    outlet: Outlet,
    tried: Try,
    results: Mapping[str, Any],
    seen: list[Exchange],
) -> Receipt:
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
