"""Twilio: what a callback means, a message or a report about one of ours.

Sources: https://www.twilio.com/docs/messaging/guides/webhook-request,
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from hub.channel import Account
from hub.model import (
    Address,
    Attachment,
    Ignored,
    InboundEvent,
    Message,
    Receipt,
    ReceiptStatus,
    Result,
)
from hub.phones import e164
from hub.text import clean
from normalizers._sms import Sms, Wish, consent_of, consent_word, unreadable

__all__ = ["STATES", "normalize"]

# What Twilio calls the states of a message, and what they mean here.
STATES: Mapping[str, ReceiptStatus] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "partially_delivered": "sent",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}
_OPTED_OUT = "21610"
_WISHES: Mapping[str, Wish] = {"STOP": "stop", "START": "start", "HELP": "help"}
_IN_THE_MODEL = frozenset(
    {"AccountSid", "ApiVersion", "Body", "From", "MessageSid", "SmsMessageSid", "SmsSid"}
)
_MOST_FILES = 20
_MOST_FACTS = 60
_KINDS = {"image": "image", "audio": "voice", "video": "video"}
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}")


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message, report or wish in *event*; what cannot be read is shown as ``unsupported``."""
    fields = _fields(event.body)
    if "MessageStatus" in fields:
        return list(_report(event, account, fields))
    if fields.get("From") and (fields.get("MessageSid") or fields.get("SmsSid")):
        return list(_message(event, account, fields))
    if "CallSid" in fields:
        return [Ignored("a callback about a call, not about a message")]
    return [unreadable(account, event, "Twilio")]


def _fields(body: bytes) -> dict[str, str]:
    """The first value of each field."""
    text = body.decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return {}
    return {clean(name): clean(value) for name, value in reversed(pairs)}


# --- messages ---------------------------------------------------------------------------------------


def _message(
    event: InboundEvent, account: Account[Any], fields: Mapping[str, str]
) -> Iterator[Result]:
    sms = Sms(account, event, _address(fields["From"]))
    files = tuple(_files(fields))
    text = _text(fields, bool(files))
    yield Message(
        channel=account.channel,
        account=account.name,
        kind=files[0].kind if files and not text else "text",
        text=text or (f"[{files[0].kind}]" if files else "[empty message]"),
        sender=sms.sender,
        conversation=sms.conversation,
        dedupe_key=event.dedupe_key,
        external_id=fields.get("MessageSid") or fields["SmsSid"],
        sent_at=event.received_at,
        received_at=event.received_at,
        attachments=files,
        reply_context={"to": fields.get("To", "")},
        extra=_extra(fields),
    )
    wish = _WISHES.get(fields.get("OptOutType", "").upper()) or consent_word(text)
    if wish is not None:
        yield consent_of(sms, wish, event.received_at, event.dedupe_key)


def _address(number: str) -> Address:
    """``whatsapp:+…`` and the like are other ways to a person than the number alone."""
    scheme, colon, value = number.rpartition(":")
    return Address(scheme if colon and scheme else "tel", "", e164(value)[:200] or "unknown")


def _text(fields: Mapping[str, str], with_files: bool) -> str:
    """The text; beside files a long one may arrive as base64.

    Source: reports of that in nyaruka/courier, which decodes it too.
    """
    text = fields.get("Body", "")
    if not with_files or len(text) < 60 or not _BASE64.fullmatch(text):
        return text
    try:
        decoded = base64.b64decode(text, validate=False).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text
    return clean(decoded) if decoded.isprintable() or "\n" in decoded else text


def _files(fields: Mapping[str, str]) -> Iterator[Attachment]:
    for number in range(_MOST_FILES):
        url = fields.get(f"MediaUrl{number}")
        if not url:
            return
        mime_type = fields.get(f"MediaContentType{number}", "").partition(";")[0].strip().lower()
        kind: Any = _KINDS.get(mime_type.partition("/")[0], "file")
        yield Attachment(kind=kind, mime_type=mime_type[:255] or None, source={"url": url})


def _extra(fields: Mapping[str, str]) -> dict[str, Any]:
    told = (
        (name, value)
        for name, value in fields.items()
        if value and name not in _IN_THE_MODEL and not name.startswith("Media")
    )
    return dict(list(told)[:_MOST_FACTS])


# --- reports ----------------------------------------------------------------------------------------


def _report(
    event: InboundEvent, account: Account[Any], fields: Mapping[str, str]
) -> Iterator[Result]:
    """The state of a message of ours; they arrive in any order, and a lower one changes nothing."""
    status = STATES.get(fields["MessageStatus"].lower())
    sid = fields.get("MessageSid") or fields.get("SmsSid")
    ours = event.headers.get("message_id")
    if status is None or not (sid or ours):
        yield Ignored(f"a report of the state {fields['MessageStatus'][:40]!r}")
        return
    code = fields.get("ErrorCode") or None
    person = _address(fields.get("To", ""))
    yield Receipt(
        status=status,
        external_id=sid,
        message_id=ours,
        occurred_at=event.received_at,
        code=code if status == "failed" else None,
        detail=_detail(fields) if status == "failed" else None,
        address=person,
        dedupe_key=event.dedupe_key,
        extra=_extra(fields),
    )
    if code == _OPTED_OUT:
        sms = Sms(account, event, person)
        yield consent_of(sms, "stop", event.received_at, event.dedupe_key)


_REASONS: Mapping[str, str] = {
    "21610": "the recipient has opted out",
    "30003": "the handset is switched off or out of reach",
    "30005": "nobody has this number, or it is out of service",
    "30006": "a landline, or a network that cannot be reached",
    "30007": "filtered as spam by Twilio or the network",
    "30008": "the network gave no reason",
}
"""Source: https://www.twilio.com/docs/api/errors"""


def _detail(fields: Mapping[str, str]) -> str:
    told = fields.get("ErrorMessage") or _REASONS.get(fields.get("ErrorCode", ""))
    return (told or fields["MessageStatus"])[:300]
