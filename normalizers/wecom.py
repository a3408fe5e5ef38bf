"""Enterprise WeChat (企业微信), self-built app: what a push means.

Sources: https://developer.work.weixin.qq.com/document/path/90239 (messages), …/path/90240 (events),
…/path/90970 (directory), …/path/92130 (customers), …/path/97712 (kefu accounts); nodes that are repeated
or misspelt: samples of WxJava and go-workwx.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hub.channel import Account
from hub.model import (
    Address,
    Attachment,
    Choice,
    ConversationRef,
    Ignored,
    InboundEvent,
    Location,
    Message,
    MessageKind,
    Notice,
    Participant,
    Result,
)
from normalizers._wechat_fields import identity, integer, listed, number, read_fields, text_of

__all__ = ["normalize", "opens"]

Fields = Mapping[str, Any]

# The platform's events, in lower case, as we call them, and which fields tell a person more.
_NOTICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "subscribe": ("subscribed", ()),
    "unsubscribe": ("unsubscribed", ()),
    "enter_agent": ("app_entered", ()),
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
    "template_card_menu_event": ("card_menu_clicked", ("EventKey",)),
    "batch_job_result": ("job_finished", ("BatchJob.JobType", "BatchJob.ErrMsg")),
    "upload_media_job_finish": ("upload_finished", ("JobId",)),
    "change_contact": ("directory_changed", ("ChangeType", "UserID", "Id", "TagId")),
    "change_external_contact": (
        "external_contact_changed",
        ("ChangeType", "UserID", "ExternalUserID"),
    ),
    "change_external_chat": ("external_group_changed", ("ChangeType", "UpdateDetail", "ChatId")),
    "change_external_tag": ("external_tag_changed", ("ChangeType", "TagType", "Id")),
    "customer_acquisition": ("customer_acquisition", ("ChangeType", "LinkId")),
    "open_approval_change": ("approval_changed", ("ApprovalInfo.OpenSpName",)),
    "sys_approval_change": ("approval_changed", ("ApprovalInfo.SpName",)),
    "switch_workbench_mode": ("workbench_switched", ("Mode",)),
    "share_agent_change": ("shared_app_changed", ()),
    "share_chain_change": ("shared_app_changed", ()),
    "close_inactive_agent": ("app_closed_as_inactive", ()),
    "reopen_inactive_agent": ("app_reopened", ()),
    "msgaudit_notify": ("archive_has_news", ()),
    "kf_account_auth_change": ("kefu_access_changed", ("AuthAddOpenKfId", "AuthDelOpenKfId")),
    "book_meeting_room": ("meeting_room_booked", ("MeetingRoomId",)),
    "cancel_meeting_room": ("meeting_room_cancelled", ("MeetingRoomId",)),
    "add_schedule": ("schedule_changed", ("ScheduleId",)),
    "modify_schedule": ("schedule_changed", ("ScheduleId",)),
    "delete_schedule": ("schedule_changed", ("ScheduleId",)),
    "modify_calendar": ("calendar_changed", ("CalId",)),
    "delete_calendar": ("calendar_changed", ("CalId",)),
}

# What a member does in the app; all other events are about the enterprise and belong to nobody.
_BY_MEMBER = frozenset(
    {
        "subscribe",
        "unsubscribe",
        "enter_agent",
        "location",
        "click",
        "view",
        "view_miniprogram",
        "scancode_push",
        "scancode_waitmsg",
        "pic_sysphoto",
        "pic_photo_or_album",
        "pic_weixin",
        "location_select",
        "template_card_menu_event",
    }
)

# Pushes to the maker of a third-party suite: they carry its tickets and codes, which nobody is shown.
_SUITE_ONLY = frozenset(
    {
        "suite_ticket",
        "create_auth",
        "change_auth",
        "cancel_auth",
        "reset_permanent_code",
        "register_corp",
        "approve_special_auth",
        "cancel_special_auth",
        "corp_arch_auth",
    }
)

_IN_THE_MODEL = frozenset({"FromUserName", "CreateTime", "MsgId", "Content", "WelcomeCode"})
_SYSTEM = frozenset({"", "sys"})
_MAX_ID = 200
_LATEST = 4_102_444_800  # 2100-01-01: beyond it, CreateTime was not in seconds
_OPENING_COUNTS_S = 3600  # a member may open the app a hundred times a day: one notice an hour


class _Push(NamedTuple):
    """A push and what every result made from it shares."""

    fields: Fields
    event: InboundEvent
    account: Account[Any]

    def text(self, name: str) -> str:
        """The field *name*; ``Outer.Inner`` looks inside a node."""
        outer, _, inner = name.partition(".")
        nested = self.fields.get(outer)
        if inner:
            return text_of(nested, inner) if isinstance(nested, dict) else ""
        return text_of(self.fields, outer)

    @property
    def key(self) -> str:
        return identity(self.fields or None, self.event.body)

    @property
    def member(self) -> str:
        return self.text("FromUserName").strip()[:_MAX_ID]

    @property
    def sender(self) -> Participant:
        scope = self.account.settings.corp_id
        return Participant("contact", Address("wecom", scope, self.member or "unknown"))

    @property
    def conversation(self) -> ConversationRef:
        return ConversationRef(thread_key=self.member or "unknown")

    @property
    def sent_at(self) -> datetime:
        seconds = integer((self.text("CreateTime") or self.text("TimeStamp")).strip())
        if not seconds or seconds > _LATEST:
            return self.event.received_at
        return datetime.fromtimestamp(seconds, UTC)

    @property
    def extra(self) -> dict[str, Any]:
        return {name: value for name, value in self.fields.items() if name not in _IN_THE_MODEL}


class _Content(NamedTuple):
    """What kind of message it is and what it says."""

    kind: MessageKind
    text: str
    attachments: tuple[Attachment, ...] = ()
    location: Location | None = None
    choice: Choice | None = None


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message or notice in *event*; what cannot be read is shown as ``unsupported``."""
    fields = read_fields(event.body)
    push = _Push(fields or {}, event, account)
    if fields is None:
        return [_message(push, _Content("unsupported", "[unreadable message from WeCom]"))]
    kind = push.text("MsgType").strip().lower()
    if kind == "event" or (not kind and push.text("InfoType")):
        return [_happened(push)]
    return [_message(push, _CONTENTS.get(kind, _unknown)(push))]


# --- messages ---------------------------------------------------------------------------------------


def _message(push: _Push, content: _Content) -> Message:
    return Message(
        channel=push.account.channel,
        account=push.account.name,
        kind=content.kind,
        text=content.text,
        sender=push.sender,
        conversation=push.conversation,
        dedupe_key=push.key,
        external_id=push.text("MsgId").strip()[:_MAX_ID] or None,
        sent_at=push.sent_at,
        received_at=push.event.received_at,
        attachments=content.attachments,
        location=content.location,
        choice=content.choice,
        extra=push.extra,
    )


def _text(push: _Push) -> _Content:
    return _Content("text", push.text("Content") or "[empty message]")


def _unknown(push: _Push) -> _Content:
    kind = push.text("MsgType").strip()[:_MAX_ID] or "no type"
    return _Content("unsupported", f"[unsupported message: {kind}]")


def _source(push: _Push, **names: str) -> dict[str, str]:
    return {ours: value for ours, theirs in names.items() if (value := push.text(theirs))}


def _image(push: _Push) -> _Content:
    source = _source(push, media_id="MediaId", pic_url="PicUrl")
    return _Content("image", "[image]", (Attachment(kind="image", source=source),))


def _voice(push: _Push) -> _Content:
    source = _source(push, media_id="MediaId", format="Format")
    sound = push.text("Format").strip().lower()
    mime_type = f"audio/{sound}" if sound in ("amr", "speex") else None
    attachment = Attachment(kind="voice", mime_type=mime_type, source=source)
    return _Content("voice", "[voice]", (attachment,))


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


_CONTENTS: Mapping[str, Callable[[_Push], _Content]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "location": _location,
    "link": _link,
}


# --- events -----------------------------------------------------------------------------------------


def _happened(push: _Push) -> Result:
    info = push.text("InfoType").strip().lower()
    if info in _SUITE_ONLY:
        return Ignored(f"a push for the maker of a third-party suite: {info}")
    name = push.text("Event").strip().lower() or info
    if name == "kf_msg_or_event":
        return Ignored("news of WeChat customer service: an account of wechat_kefu pulls it")
    if name in ("template_card_event", "taskcard_click") and push.member not in _SYSTEM:
        return _message(push, _card_answer(push))
    return _notice(push, name)


def _notice(push: _Push, name: str) -> Notice:
    kind, telling = _NOTICES.get(name, ("event", ("Event", "InfoType")))
    details = (detail for field in telling for detail in _details(push, field))
    known_person = name in _BY_MEMBER or (name not in _NOTICES and bool(push.text("AgentID")))
    personal = known_person and push.member not in _SYSTEM
    return Notice(
        channel=push.account.channel,
        account=push.account.name,
        kind=kind,
        text=" ".join((f"[{kind.replace('_', ' ')}]", *details)),
        sender=push.sender if personal else None,
        conversation=push.conversation if personal else None,
        dedupe_key=_opening(push) if name == "enter_agent" else push.key,
        sent_at=push.sent_at,
        received_at=push.event.received_at,
        extra=push.extra,
    )


def _details(push: _Push, field: str) -> list[str]:
    """What *field* says; a node that is repeated says several things."""
    if "." in field:
        return [said] if (said := push.text(field).strip()) else []
    values = (one for one in listed(push.fields.get(field)) if isinstance(one, str | int | float))
    return [said for one in values if (said := str(one).strip())]


def _opening(push: _Push) -> str:
    """One key for all openings of the app by one member within the hour."""
    hour = int(push.sent_at.timestamp()) // _OPENING_COUNTS_S
    return f"enter_agent:{push.text('AgentID')[:_MAX_ID]}:{push.member}:{hour}"


def _card_answer(push: _Push) -> _Content:
    """A button or a form of a card that we sent: the answer to our ``TaskId``."""
    key = push.text("EventKey").strip()
    selected = _selected(push)
    options = ",".join(option for _, chosen in selected for option in chosen)
    said = "; ".join(f"{question}: {', '.join(chosen)}" for question, chosen in selected)
    task = push.text("TaskId").strip()[:_MAX_ID] or None
    text = f"[choice] {said or key}".rstrip()
    return _Content("choice", text, choice=Choice(options or key, None, task))


def _selected(push: _Push) -> list[tuple[str, list[str]]]:
    """What was chosen, by question; the platform also spells it ``OpitonIds`` and ``OpitonId``."""
    items = push.fields.get("SelectedItems")
    found = []
    for item in listed(items.get("SelectedItem")) if isinstance(items, dict) else ():
        if isinstance(item, dict):
            ids = item.get("OptionIds") or item.get("OpitonIds")
            inside = ids if isinstance(ids, dict) else {}
            chosen = listed(inside.get("OptionId")) + listed(inside.get("OpitonId"))
            plain = [one.strip() for one in chosen if isinstance(one, str) and one.strip()]
            found.append((text_of(item, "QuestionKey").strip(), plain))
    return found


def opens(to: Address, account: Account[Any], /) -> tuple[Address, ConversationRef]:
    """Writing first: to a member of the corporation, by their id."""
    member = to.value.strip()[:_MAX_ID]
    return Address("wecom", account.settings.corp_id, member), ConversationRef(thread_key=member)
