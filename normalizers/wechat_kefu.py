"""WeChat customer service (微信客服): what a pulled item means.

Source: https://developer.work.weixin.qq.com/document/path/94670 (items and events),
…/path/96428 (answers to events). Items of ``origin`` 3 are the customer's, 5 are what a person of the
enterprise wrote in WeCom itself, 4 are events; some samples give events another origin, so the type counts.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from hub.channel import Account
from hub.model import (
    Address,
    Allowance,
    ConversationRef,
    Draft,
    InboundEvent,
    Message,
    Notice,
    Participant,
    Receipt,
    ReplyState,
    Result,
)
from normalizers import wecom
from normalizers._kefu_contents import Content, Part, content_of
from normalizers._kefu_item import customer_of, desk_of, item_key
from normalizers._wechat_fields import integer, read_fields, same_person, text_of

__all__ = ["normalize"]

Fields = Mapping[str, Any]

_WINDOW = timedelta(hours=48)
_REPLIES_IN_WINDOW = 5
_CODE_GOOD_FOR = timedelta(seconds=20)
Role = Literal["contact", "agent", "system"]
_ROLES: Mapping[str, Role] = {"4": "system", "5": "agent"}
_LATEST = 4_102_444_800  # 2100-01-01: beyond it, send_time was not in seconds
_IN_THE_MODEL = frozenset({"msgid", "send_time"})

# The platform's events as we call them, and which fields of them tell a person more.
_NOTICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "enter_session": ("session_entered", ("scene", "scene_param")),
    "servicer_status_change": ("servicer_status_changed", ("servicer_userid", "status")),
    "session_status_change": ("session_changed", ("new_servicer_userid",)),
    "user_recall_msg": ("message_recalled", ("recall_msgid",)),
    "servicer_recall_msg": ("message_recalled_by_servicer", ("recall_msgid",)),
    "reject_customer_msg_switch_change": (
        "customer_refusal_changed",
        ("servicer_userid", "reject_switch"),
    ),
}
_SESSION_CHANGES = {
    "1": "taken from the pool",
    "2": "handed over",
    "3": "ended",
    "4": "reopened by a servicer",
}
_ENDED = "3"

# Why a message that the platform had taken did not arrive.
_FAILURES: Mapping[str, str] = {
    "0": "unknown reason",
    "1": "the customer-service account is deleted",
    "2": "the app is closed",
    "4": "the customer wrote more than 48 hours ago",
    "5": "the session has ended",
    "6": "more than 5 messages to one of the customer's",
    "7": "no channels account is linked",
    "8": "the enterprise is not verified",
    "10": "the customer refuses messages",
    "11": "no member of the enterprise is logged in",
    "12": "this type is forbidden to the app's maker",
    "13": "security",
}


class _Item(NamedTuple):
    """An item and what every result made from it shares."""

    fields: Fields
    event: InboundEvent
    account: Account[Any]

    @property
    def kind(self) -> str:
        return text_of(self.fields, "msgtype").strip().lower()

    @property
    def part(self) -> Part:
        """What stands under the name of the type."""
        inside = self.fields.get(self.kind)
        return Part(self.kind, inside if isinstance(inside, dict) else {})

    def text(self, name: str) -> str:
        return self.part.text(name)

    @property
    def key(self) -> str:
        return item_key(self.fields or None, self.event.body)

    @property
    def desk(self) -> str:
        return desk_of(self.fields) or self.event.headers.get("open_kfid", "") or "unknown"

    @property
    def address(self) -> Address:
        corp_id = self.account.settings.corp_id
        return Address("wechat_kefu", corp_id, customer_of(self.fields) or "unknown")

    @property
    def name(self) -> str | None:
        """The customer's name, where the listener has asked for it."""
        return self.event.headers.get("nickname") or None

    @property
    def conversation(self) -> ConversationRef:
        return ConversationRef(thread_key=f"{self.desk}:{self.address.value}")

    @property
    def sent_at(self) -> datetime:
        seconds = integer(text_of(self.fields, "send_time").strip())
        if not seconds or seconds > _LATEST:
            return self.event.received_at
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def extra(self) -> dict[str, Any]:
        return {name: value for name, value in self.fields.items() if name not in _IN_THE_MODEL}


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message, notice or receipt in *event*; what cannot be read is shown as ``unsupported``.

    The app's callback also brings events of the enterprise, as XML; they mean what they mean to an app.
    """
    if event.body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        return wecom.normalize(event, account)
    fields = read_fields(event.body)
    item = _Item(fields or {}, event, account)
    if fields is None:
        return [_message(item, Content("unsupported", "[unreadable message from WeChat]"))]
    if item.kind == "event":
        return [_happened(item)]
    if not item.kind and "nickname" in fields:
        return [_profile(item)]
    return [_message(item, content_of(item.part))]


# --- messages ---------------------------------------------------------------------------------------


def _message(item: _Item, content: Content) -> Message:
    """The words of a servicer and of the platform stand in the customer's conversation, but open nothing."""
    role: Role = _ROLES.get(text_of(item.fields, "origin"), "contact")
    opened = _allowance(item) if role == "contact" and item.fields else None
    return Message(
        channel=item.account.channel,
        account=item.account.name,
        kind=content.kind,
        text=content.text,
        sender=Participant(role, item.address, item.name if role == "contact" else None),
        conversation=item.conversation,
        dedupe_key=item.key,
        external_id=text_of(item.fields, "msgid").strip()[:200] or None,
        sent_at=item.sent_at,
        received_at=item.event.received_at,
        attachments=content.attachments,
        location=content.location,
        choice=content.choice,
        reply=ReplyState(opened.until, opened.remaining) if opened else None,
        allowances=(opened,) if opened else (),
        reply_context={"open_kfid": item.desk},
        extra=item.extra,
    )


def _allowance(item: _Item) -> Allowance:
    return Allowance(
        trigger="message",
        key=item.key,
        opened_at=item.sent_at,
        until=item.sent_at + _WINDOW,
        remaining=_REPLIES_IN_WINDOW,
        group="message",
    )


# --- events -----------------------------------------------------------------------------------------


def _happened(item: _Item) -> Result:
    name = item.text("event_type").lower()
    if name == "msg_send_fail" and item.text("fail_msgid"):
        return _failure(item)
    kind, telling = _NOTICES.get(name, ("event", ("event_type",)))
    details = [said for field in telling if (said := item.text(field))]
    if name == "session_status_change":
        change = item.text("change_type")
        details.insert(0, _SESSION_CHANGES.get(change, change))
    personal = bool(customer_of(item.fields))
    return Notice(
        channel=item.account.channel,
        account=item.account.name,
        kind=kind,
        text=" ".join((f"[{kind.replace('_', ' ')}]", *filter(None, details))),
        sender=Participant("contact", item.address, item.name) if personal else None,
        conversation=item.conversation if personal else None,
        dedupe_key=item.key,
        external_id=text_of(item.fields, "msgid").strip()[:200] or None,
        sent_at=item.sent_at,
        received_at=item.event.received_at,
        drafts=tuple(_answers(item, name)) if personal else (),
        extra=_without_codes(item.extra),
    )


def _profile(item: _Item) -> Notice:
    """Who a customer is, as ``customer/batchget`` tells it when they are met first."""
    name = text_of(item.fields, "nickname").strip()[:200] or None
    return Notice(
        channel=item.account.channel,
        account=item.account.name,
        kind="customer_profile",
        text=f"[customer profile] {name or ''}".rstrip(),
        sender=Participant("contact", item.address, name),
        conversation=item.conversation,
        dedupe_key=item.event.dedupe_key,
        sent_at=item.event.received_at,
        received_at=item.event.received_at,
        same_as=same_person(item.fields),
        extra=item.extra,
    )


def _without_codes(extra: Mapping[str, Any]) -> dict[str, Any]:
    """*extra* without the codes that let anybody speak to the customer once."""
    happened = extra.get("event")
    if not isinstance(happened, dict):
        return dict(extra)
    codes = ("welcome_code", "msg_code")
    return {**extra, "event": {name: one for name, one in happened.items() if name not in codes}}


def _failure(item: _Item) -> Receipt:
    """A message that the platform had taken did not arrive; ``fail_msgid`` is the id that we gave it."""
    code = item.text("fail_type")
    return Receipt(
        status="failed",
        external_id=item.text("fail_msgid"),
        occurred_at=item.sent_at,
        code=f"fail_type {code}" if code else None,
        detail=_FAILURES.get(code, "unknown reason"),
        address=item.address,
        dedupe_key=item.key,
        extra=item.extra,
    )


def _answers(item: _Item, name: str) -> Iterator[Draft]:
    """What the account says by itself, within the 20 seconds that the event's code is good for.

    Nothing is said to what is old: the first pull brings three days of history.
    """
    settings = item.account.settings
    ended = name == "session_status_change" and item.text("change_type") == _ENDED
    text, code = None, ""
    if name == "enter_session":
        text, code = settings.welcome_text, item.text("welcome_code")
    elif ended:
        text, code = settings.goodbye_text, item.text("msg_code")
    until = item.sent_at + _CODE_GOOD_FOR
    if not text or not code or item.event.received_at >= until:
        return
    yield Draft(
        method="POST",
        url=f"{settings.api_base.rstrip('/')}/cgi-bin/kf/send_msg_on_event?access_token=***",
        headers={"content-type": "application/json; charset=utf-8"},
        json={
            "code": code,
            "msgid": hashlib.sha256(f"{item.key} {code}".encode()).hexdigest()[:32],
            "msgtype": "text",
            "text": {"content": text},
        },
        text=text,
        cost=0,
        deadline=until,
    )
