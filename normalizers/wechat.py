"""WeChat Official Account: what a push means.

Sources: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
and …/Receiving_event_pushes.html; allowances: …/doc/subscription/guide/product/kf/intro.md
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hub.channel import Account
from hub.model import (
    Address,
    Allowance,
    Attachment,
    Choice,
    ConversationRef,
    InboundEvent,
    Location,
    Message,
    MessageKind,
    Notice,
    Participant,
    Receipt,
    ReceiptStatus,
    ReplyState,
    Result,
)
from normalizers._wechat_fields import identity, integer, listed, number, read_fields, text_of
from normalizers._wechat_profile import PROOF, profile_of

__all__ = ["is_answerable", "normalize"]

Fields = Mapping[str, Any]

# What a customer's act lets us say, how often and for how long; since 2023-06-12.
_ALLOWANCES: Mapping[str, tuple[int, timedelta]] = {
    "message": (5, timedelta(hours=48)),
    "menu": (3, timedelta(minutes=1)),
    "subscribe": (3, timedelta(minutes=1)),
    "scan": (3, timedelta(minutes=1)),
    "mini_program": (2, timedelta(minutes=1)),
}
_ANSWER_MARGIN = timedelta(seconds=0.3)
"""A reply that comes later may miss the answer that goes out."""

# The platform's events, in lower case, as we call them, and which fields tell a person more.
_NOTICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "subscribe": ("subscribed", ("EventKey",)),
    "unsubscribe": ("unsubscribed", ()),
    "scan": ("scanned", ("EventKey",)),
    "location": ("location_reported", ("Latitude", "Longitude")),
    "click": ("menu_clicked", ("EventKey",)),
    "view": ("menu_viewed", ("EventKey",)),
    "view_miniprogram": ("mini_program_viewed", ("EventKey",)),
    "scancode_push": ("code_scanned", ("EventKey",)),
    "scancode_waitmsg": ("code_scanned", ("EventKey",)),
    "pic_sysphoto": ("photos_announced", ("EventKey",)),
    "pic_photo_or_album": ("photos_announced", ("EventKey",)),
    "pic_weixin": ("photos_announced", ("EventKey",)),
    "location_select": ("location_selected", ("EventKey",)),
    "publishjobfinish": ("published", ()),
    "freepublishjobfinish": ("published", ()),
    "subscribe_msg_popup_event": ("subscription_answered", ()),
    "subscribe_msg_change_event": ("subscription_changed", ()),
    "kf_create_session": ("native_session_opened", ("KfAccount",)),
    "kf_close_session": ("native_session_closed", ("KfAccount",)),
    "kf_switch_session": ("native_session_moved", ("FromKfAccount", "ToKfAccount")),
    "user_enter_tempsession": ("session_entered", ("SessionFrom",)),
    "user_info_modified": ("profile_changed", ("RevokeInfo",)),
    "user_authorization_revoke": ("authorization_revoked", ("RevokeInfo",)),
    "user_authorization_cancellation": ("authorization_cancelled", ()),
    "qualification_verify_success": ("account_verified", ()),
    "qualification_verify_fail": ("account_verification_failed", ("FailReason",)),
    "naming_verify_success": ("account_name_verified", ()),
    "naming_verify_fail": ("account_name_verification_failed", ("FailReason",)),
    "annual_renew": ("account_renewal_due", ()),
    "verify_expired": ("account_verification_expired", ()),
}

# Which events open an allowance; tapping an item of a msgmenu counts as a menu click too.
_TRIGGERS = {
    "subscribe": "subscribe",
    "scan": "scan",
    "click": "menu",
    "scancode_push": "menu",
    "scancode_waitmsg": "menu",
    "user_enter_tempsession": "mini_program",
}

# Further events in whose answer something may be said.
_ANSWERABLE = frozenset(
    {*_TRIGGERS, "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select"}
)

# These are about the account and come from no customer.
_WITHOUT_CUSTOMER = frozenset(
    {
        "publishjobfinish",
        "freepublishjobfinish",
        "qualification_verify_success",
        "qualification_verify_fail",
        "naming_verify_success",
        "naming_verify_fail",
        "annual_renew",
        "verify_expired",
    }
)

# What WeChat sends in place of a sticker or anything else that it does not pass on.
_NOT_PASSED_ON = ("【收到不支持的消息类型，暂无法显示】", "[Unsupported Message]")

_IN_THE_MODEL = frozenset({"FromUserName", "CreateTime", "MsgId", "Content"})
_MAX_ID = 200
_LATEST = 4_102_444_800  # 2100-01-01: beyond it, CreateTime was not in seconds


class _Push(NamedTuple):
    """A push and what every result made from it shares."""

    fields: Fields
    event: InboundEvent
    account: Account[Any]

    def text(self, name: str) -> str:
        return text_of(self.fields, name)

    @property
    def key(self) -> str:
        return identity(self.fields or None, self.event.body)

    @property
    def openid(self) -> str:
        return self.text("FromUserName").strip()[:_MAX_ID] or "unknown"

    @property
    def address(self) -> Address:
        return Address("wechat", self.account.settings.app_id, self.openid)

    @property
    def sent_at(self) -> datetime:
        seconds = integer(self.text("CreateTime").strip())
        if not seconds or seconds > _LATEST:
            return self.event.received_at
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def extra(self) -> dict[str, Any]:
        return {name: value for name, value in self.fields.items() if name not in _IN_THE_MODEL}

    @property
    def is_passive(self) -> bool:
        return bool(self.account.settings.passive)

    def allowance(self, trigger: str) -> Allowance:
        """What the push lets us say; a newer one of the same kind takes the place of an older."""
        if self.is_passive:
            return self._answer()
        count, span = _ALLOWANCES[trigger]
        return Allowance(
            trigger=trigger,
            key=self.key,
            opened_at=self.sent_at,
            until=self.sent_at + span,
            remaining=count,
            group=trigger,
        )

    def _answer(self) -> Allowance:
        """In passive mode: one message, in the HTTP answer that waits now."""
        wait = timedelta(seconds=self.account.settings.passive_wait_s)
        return Allowance(
            trigger="answer",
            key=self.key,
            opened_at=self.event.received_at,
            until=self.event.received_at + max(wait - _ANSWER_MARGIN, wait / 2),
            remaining=1,
            group="answer",
        )


class _Content(NamedTuple):
    """What kind of message it is and what it says."""

    kind: MessageKind
    text: str
    attachments: tuple[Attachment, ...] = ()
    location: Location | None = None
    choice: Choice | None = None


def is_answerable(fields: Fields) -> bool:
    """Whether something may be said to the customer in the HTTP answer to this push."""
    if not text_of(fields, "FromUserName").strip():
        return False
    if text_of(fields, "MsgType").strip().lower().endswith("event"):
        return text_of(fields, "Event").strip().lower() in _ANSWERABLE
    return True


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message, notice or receipts in *event*; what cannot be read is shown as ``unsupported``."""
    if event.proof == PROOF:
        return [profile_of(event, account)]
    fields = read_fields(event.body)
    push = _Push(fields or {}, event, account)
    if fields is None:
        return [_message(push, _Content("unsupported", "[unreadable message from WeChat]"))]
    kind = push.text("MsgType").strip().lower()
    if kind.endswith("event"):
        return _happened(push)
    content = _CONTENTS.get(kind, _unknown)(push)
    return [_message(push, content)]


# --- messages ---------------------------------------------------------------------------------------


def _message(push: _Push, content: _Content) -> Message:
    opened = push.allowance("menu" if content.choice else "message") if push.fields else None
    return Message(
        channel=push.account.channel,
        account=push.account.name,
        kind=content.kind,
        text=content.text,
        sender=Participant("contact", push.address),
        conversation=ConversationRef(thread_key=push.openid),
        dedupe_key=push.key,
        external_id=push.text("MsgId").strip()[:_MAX_ID] or None,
        sent_at=push.sent_at,
        received_at=push.event.received_at,
        attachments=content.attachments,
        location=content.location,
        choice=content.choice,
        reply=ReplyState(opened.until, opened.remaining) if opened else None,
        allowances=(opened,) if opened else (),
        extra=push.extra,
    )


def _text(push: _Push) -> _Content:
    said = push.text("Content")
    if said.strip() in _NOT_PASSED_ON:
        return _Content("unsupported", said.strip())
    menu_id = push.text("bizmsgmenuid")
    if menu_id:
        return _Content("choice", said or f"[choice] {menu_id}", choice=Choice(menu_id, said))
    return _Content("text", said or "[empty message]")


def _unknown(push: _Push) -> _Content:
    if push.text("Encrypt"):
        return _Content("unsupported", "[encrypted message: the account is in mode plain]")
    kind = push.text("MsgType") or "no type"
    return _Content("unsupported", f"[unsupported message: {kind}]")


def _source(push: _Push, **names: str) -> dict[str, str]:
    return {ours: value for ours, theirs in names.items() if (value := push.text(theirs))}


def _image(push: _Push) -> _Content:
    source = _source(push, media_id="MediaId", pic_url="PicUrl")
    return _Content("image", "[image]", (Attachment(kind="image", source=source),))


def _voice(push: _Push) -> _Content:
    source = _source(push, media_id="MediaId", media_id_16k="MediaId16K", format="Format")
    sound = push.text("Format").lower()
    mime_type = f"audio/{sound}" if sound in ("amr", "speex") else None
    attachment = Attachment(kind="voice", mime_type=mime_type, source=source)
    return _Content("voice", push.text("Recognition").strip() or "[voice]", (attachment,))


def _video(push: _Push) -> _Content:
    source = _source(push, media_id="MediaId", thumb_media_id="ThumbMediaId")
    attachment = Attachment(kind="video", mime_type="video/mp4", source=source)
    return _Content("video", "[video]", (attachment,))


def _location(push: _Push) -> _Content:
    latitude, longitude = number(push.text("Location_X")), number(push.text("Location_Y"))
    if latitude is None or longitude is None:
        return _Content("unsupported", "[location that cannot be read]")
    label = push.text("Label").strip() or None
    place = f"{push.text('Location_X').strip()},{push.text('Location_Y').strip()}"
    text = f"[location] {label}, {place}" if label else f"[location] {place}"
    return _Content("location", text, location=Location(latitude, longitude, label))


def _link(push: _Push) -> _Content:
    parts = ("[link]", push.text("Title").strip(), push.text("Url").strip())
    return _Content("link", " ".join(part for part in parts if part))


def _card(push: _Push) -> _Content:
    return _Content("card", f"[mini program] {push.text('Title').strip()}".rstrip())


_CONTENTS: Mapping[str, Callable[[_Push], _Content]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "shortvideo": _video,
    "location": _location,
    "link": _link,
    "miniprogrampage": _card,
}


# --- events -----------------------------------------------------------------------------------------


def _happened(push: _Push) -> list[Result]:
    name = push.text("Event").strip().lower()
    if name in _JOBS:
        return [_JOBS[name](push)]
    if name == "subscribe_msg_sent_event":
        return _subscription_receipts(push)
    return [_notice(push, name)]


def _notice(push: _Push, name: str) -> Notice:
    kind, telling = _NOTICES.get(name, ("event", ("Event",)))
    details = (push.text(field).strip() for field in telling)
    text = " ".join((f"[{kind.replace('_', ' ')}]", *(detail for detail in details if detail)))
    customer = name not in _WITHOUT_CUSTOMER
    return Notice(
        channel=push.account.channel,
        account=push.account.name,
        kind=kind,
        text=text,
        sender=Participant("contact", push.address) if customer else None,
        conversation=ConversationRef(thread_key=push.openid) if customer else None,
        dedupe_key=push.key,
        sent_at=push.sent_at,
        received_at=push.event.received_at,
        allowances=tuple(_opened(push, name)),
        extra=push.extra,
    )


def _opened(push: _Push, name: str) -> Iterator[Allowance]:
    """What an event lets us say."""
    if name in _TRIGGERS:
        yield push.allowance(_TRIGGERS[name])
    elif push.is_passive and name in _ANSWERABLE:
        yield push.allowance("menu")
    if name == "subscribe_msg_popup_event":
        yield from _grants(push)


def _reports(push: _Push, container: str) -> list[Fields]:
    """The entries of a list-like node: JSON has ``List`` at the root, XML inside *container*."""
    nested = push.fields.get(container)
    found = listed(nested.get("List") if isinstance(nested, dict) else push.fields.get("List"))
    return [one for one in found if isinstance(one, dict)]


def _grants(push: _Push) -> Iterator[Allowance]:
    """Each template that the customer has accepted may be used once."""
    for index, report in enumerate(_reports(push, "SubscribeMsgPopupEvent")):
        template = text_of(report, "TemplateId").strip()
        if template and text_of(report, "SubscribeStatusString").strip().lower() == "accept":
            yield Allowance(
                trigger="subscription",
                key=f"{template}:{push.key}:{index}",
                opened_at=push.sent_at,
                remaining=1,
                mode="template",
            )


def _receipt(push: _Push, status: ReceiptStatus, report: str) -> Receipt:
    return Receipt(
        status=status,
        external_id=push.text("MsgID").strip() or None,
        occurred_at=push.sent_at,
        code=None if status == "delivered" else report,
        detail=report or None,
        address=push.address,
        dedupe_key=push.key,
        extra=push.extra,
    )


def _template_job(push: _Push) -> Receipt:
    """Status is "success", "failed:user block" or "failed: system failed" (the blanks differ)."""
    report = push.text("Status").strip()
    return _receipt(push, "delivered" if report == "success" else "failed", report)


def _mass_job(push: _Push) -> Receipt:
    """Status is "send success", "send fail" or "err(num)"."""
    report = push.text("Status").strip()
    return _receipt(push, "delivered" if report == "send success" else "failed", report)


_JOBS: Mapping[str, Callable[[_Push], Receipt]] = {
    "templatesendjobfinish": _template_job,
    "masssendjobfinish": _mass_job,
}


def _subscription_receipts(push: _Push) -> list[Result]:
    """One receipt for each message that the event reports on, or a notice when it names none."""
    made: list[Result] = [
        _subscription_receipt(push, report, index)
        for index, report in enumerate(_reports(push, "SubscribeMsgSentEvent"))
    ]
    return made or [_notice(push, "subscribe_msg_sent_event")]


def _subscription_receipt(push: _Push, report: Fields, index: int) -> Receipt:
    code = text_of(report, "ErrorCode").strip()
    return Receipt(
        status="delivered" if code == "0" else "failed",
        external_id=text_of(report, "MsgID").strip() or None,
        occurred_at=push.sent_at,
        code=None if code == "0" else code,
        detail=text_of(report, "ErrorStatus").strip() or None,
        address=push.address,
        dedupe_key=f"{push.key}:{index}",
        extra={"MsgType": "event", "Event": push.text("Event"), **report},
    )
