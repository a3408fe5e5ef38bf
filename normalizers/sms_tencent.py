"""Tencent Cloud SMS: what a reply or one element of a report means.

Sources: https://cloud.tencent.com/document/product/382/5809, …/59178
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hub.channel import Account
from hub.model import InboundEvent, Receipt, Result
from hub.phones import e164
from normalizers._sms import objects_in, text_in, unreadable
from normalizers._sms_mainland import beijing_time, reply_of, who

__all__ = ["normalize", "number_in"]

_LATEST = 4_102_444_800  # 2100-01-01


def number_in(fields: Mapping[str, Any]) -> str:
    """The number in E.164; its country stands in a field of its own."""
    country, mobile = text_in(fields, "nationcode").strip("+ "), text_in(fields, "mobile")
    return e164(f"+{country}{mobile}" if country and mobile else mobile, "CN")


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """A reply of a customer, or a report; what cannot be read is shown as ``unsupported``."""
    fields = (objects_in(event.body) or [{}])[0]
    if text_in(fields, "mobile") and "text" in fields:
        return list(_reply(event, account, fields))
    if text_in(fields, "report_status") and (text_in(fields, "sid") or text_in(fields, "ext")):
        return [_report(event, account, fields)]
    return [unreadable(account, event, "Tencent Cloud")]


def _reply(
    event: InboundEvent, account: Account[Any], fields: Mapping[str, Any]
) -> Iterable[Result]:
    extend = text_in(fields, "extend").strip()[:20]
    return reply_of(
        who(account, event, number_in(fields), extend),
        text_in(fields, "text"),
        _time(text_in(fields, "time")),
        None,
        extend,
        extend_code=extend,
        sign_name=text_in(fields, "sign"),
    )


def _time(text: str) -> datetime | None:
    """Unix seconds."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and 0 < int(text) < _LATEST):
        return None
    return datetime.fromtimestamp(int(text), UTC)


def _report(event: InboundEvent, account: Account[Any], fields: Mapping[str, Any]) -> Receipt:
    """Delivered, or failed with the network's code; ``ext`` is our message's id, where it is given."""
    succeeded = text_in(fields, "report_status").upper() == "SUCCESS"
    ours = text_in(fields, "ext")
    return Receipt(
        status="delivered" if succeeded else "failed",
        external_id=text_in(fields, "sid")[:100] or event.dedupe_key,
        message_id=ours if ours.startswith("msg_") else None,
        occurred_at=beijing_time(text_in(fields, "user_receive_time")) or event.received_at,
        code=None if succeeded else text_in(fields, "errmsg")[:64] or None,
        detail=None if succeeded else text_in(fields, "description")[:300] or None,
        address=who(account, event, number_in(fields), "").person,
        dedupe_key=event.dedupe_key,
    )
