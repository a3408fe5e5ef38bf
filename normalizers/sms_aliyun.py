"""Alibaba Cloud SMS: what one element of a batch means.

Sources: https://help.aliyun.com/document_detail/101847.html, …/101867.html
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hub.channel import Account
from hub.model import InboundEvent, Receipt, Result
from normalizers._sms import objects_in, text_in, unreadable
from normalizers._sms_mainland import beijing_time, reply_of, who

__all__ = ["normalize"]

_SUCCESS = frozenset({"true", "1"})


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """A reply of a customer, or a report; what cannot be read is shown as ``unsupported``."""
    fields = (objects_in(event.body) or [{}])[0]
    number = text_in(fields, "phone_number")
    if number and "content" in fields:
        return list(_reply(event, account, fields))
    if number and "success" in fields:
        return [_report(event, account, fields)]
    return [unreadable(account, event, "Alibaba Cloud")]


def _reply(
    event: InboundEvent, account: Account[Any], fields: Mapping[str, Any]
) -> Iterable[Result]:
    extend = text_in(fields, "dest_code").strip()[:20]
    return reply_of(
        who(account, event, text_in(fields, "phone_number"), extend),
        text_in(fields, "content"),
        beijing_time(text_in(fields, "send_time")),
        text_in(fields, "sequence_id")[:64] or None,
        extend,
        dest_code=extend,
        sign_name=text_in(fields, "sign_name"),
    )


def _report(event: InboundEvent, account: Account[Any], fields: Mapping[str, Any]) -> Receipt:
    """Delivered, or failed with the network's code; ``out_id`` is our message's id."""
    succeeded = str(fields.get("success")).lower() in _SUCCESS
    ours = text_in(fields, "out_id")
    biz_id = text_in(fields, "biz_id")[:64]
    return Receipt(
        status="delivered" if succeeded else "failed",
        external_id=biz_id or event.dedupe_key,
        message_id=ours if ours.startswith("msg_") else None,
        occurred_at=beijing_time(text_in(fields, "report_time")) or event.received_at,
        code=None if succeeded else text_in(fields, "err_code")[:64] or None,
        detail=None if succeeded else text_in(fields, "err_msg")[:300] or None,
        address=who(account, event, text_in(fields, "phone_number"), "").person,
        dedupe_key=event.dedupe_key,
        extra={"sms_size": text_in(fields, "sms_size")},
    )
