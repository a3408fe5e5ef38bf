"""QQ official bot: what an event means.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/event.html (messages),
…/user/manage/event.html, …/group/manage/event.html (friends, groups, consent),
…/message/trans/msg-btn.html (buttons), …/message/audit.html (review)
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hub.channel import Account
from hub.model import (
    Address,
    Allowance,
    Choice,
    ConversationRef,
    Group,
    Ignored,
    InboundEvent,
    Message,
    Notice,
    Participant,
    Receipt,
    ReplyState,
    Result,
)
from normalizers._qq_contents import addresses_bot, content_of, quoted_by, scene_entry
from normalizers._qq_event import MESSAGES, Place, inside, place_of, read_event, time_of
from normalizers._wechat_fields import text_of

__all__ = ["audit_id", "normalize", "opens"]

Fields = Mapping[str, Any]

# Events that are told, as we call them.
_NOTICES: Mapping[str, str] = {
    "FRIEND_ADD": "contact_added",
    "FRIEND_DEL": "contact_removed",
    "C2C_MSG_REJECT": "consent_off",
    "C2C_MSG_RECEIVE": "consent_on",
    "GROUP_ADD_ROBOT": "bot_joined",
    "GROUP_DEL_ROBOT": "bot_left",
    "GROUP_MSG_REJECT": "consent_off",
    "GROUP_MSG_RECEIVE": "consent_on",
    "GROUP_MEMBER_ADD": "member_joined",
    "GROUP_MEMBER_REMOVE": "member_left",
    "GROUP_JOIN_REQUEST": "join_requested",
    "SUBSCRIBE_MESSAGE_STATUS": "subscription_changed",
    "MESSAGE_DELETE": "message_recalled",
    "PUBLIC_MESSAGE_DELETE": "message_recalled",
    "DIRECT_MESSAGE_DELETE": "message_recalled",
}
# Events that can be answered by their outer id.
_ANSWERABLE = frozenset(
    {"FRIEND_ADD", "C2C_MSG_RECEIVE", "GROUP_ADD_ROBOT", "GROUP_MSG_RECEIVE", "INTERACTION_CREATE"}
)
_CONSENT: Mapping[str, int | None] = {
    "C2C_MSG_REJECT": 0,
    "GROUP_MSG_REJECT": 0,
    "FRIEND_DEL": 0,
    "GROUP_DEL_ROBOT": 0,
    "C2C_MSG_RECEIVE": None,
    "GROUP_MSG_RECEIVE": None,
}
_AUDITS: Mapping[str, Any] = {"MESSAGE_AUDIT_PASS": "sent", "MESSAGE_AUDIT_REJECT": "failed"}
_EVENT_WINDOW_S = 1800.0  # how long a tap can be answered, by reports of developers
_MARGIN = timedelta(seconds=10)  # the platform may have begun to count before our reckoning
_LONGEST_NAME = 100


class _Event(NamedTuple):
    """An event and what every result made from it shares."""

    fields: Fields
    event: InboundEvent
    account: Account[Any]

    @property
    def kind(self) -> str:
        return text_of(self.fields, "t").strip()

    @property
    def data(self) -> Fields:
        return inside(self.fields, "d")

    @property
    def outer_id(self) -> str:
        return text_of(self.fields, "id").strip()[:200]

    @property
    def place(self) -> Place | None:
        return place_of(self.kind, self.data)

    @property
    def sent_at(self) -> datetime:
        return time_of(self.data) or self.event.received_at

    @property
    def app_id(self) -> str:
        app_id: str = self.account.settings.app_id
        return app_id

    def conversation(self, place: Place) -> ConversationRef:
        return ConversationRef(thread_key=place.thread_key, is_group=place.is_group)

    def group(self, place: Place) -> Group | None:
        """The group that *place* is; the platform does not tell its name."""
        address = Address("qq", self.app_id, place.thread_key)
        return Group(address) if place.is_group else None

    @property
    def extra(self) -> dict[str, Any]:
        """What the platform said, without the credential in ``message_scene.ext``."""
        extra = {"t": self.kind, **self.data}
        scene = extra.get("message_scene")
        entries = scene.get("ext") if isinstance(scene, dict) else None
        if isinstance(scene, dict) and isinstance(entries, list):
            kept = [one for one in entries if not str(one).startswith("auth_token=")]
            extra["message_scene"] = {**scene, "ext": kept}
        return extra


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message, notice or receipt in *event*; what cannot be read is shown as ``unsupported``."""
    fields = read_event(event.body)
    one = _Event(fields or {}, event, account)
    if fields is None or not one.kind:
        return [_unreadable(one)]
    if one.kind in MESSAGES:
        return [_message(one)]
    if one.kind in _AUDITS:
        return [_audited(one)]
    if one.kind == "INTERACTION_CREATE":
        return [_tapped(one)]
    if one.kind in _NOTICES:
        return [_notice(one)]
    return [Ignored(f"event {one.kind[:60]}", one.extra)]


# --- people -----------------------------------------------------------------------------------------


def _participant(one: _Event, place: Place, author: Fields, name: str = "") -> Participant:
    """Who it was; ids are good for one bot only, those of members for one group only.

    A group's member who has no name is told from the others by the end of their id.
    """
    name = (name or text_of(author, "username")).strip()[:_LONGEST_NAME]
    if place.scene == "c2c":
        address = Address("qq", one.app_id, place.id)
    elif place.scene == "group":
        own = text_of(author, "member_openid") or text_of(author, "id") or "unknown"
        address = Address("qq_member", f"{one.app_id}:{place.id}"[:128], own[:200])
    else:
        own = text_of(author, "id") or "unknown"
        address = Address("qq_guild", one.app_id, own[:200])
    if not name and place.is_group:
        name = f"member {address.value[-6:]}"
    return Participant("contact", address, name or None)


def _also(author: Fields) -> tuple[Address, ...]:
    """The id that the bots of one owner share for a person, where there is one."""
    union = text_of(author, "union_openid").strip()[:200]
    return (Address("qq_union", "", union),) if union else ()


# --- messages ---------------------------------------------------------------------------------------


def _unreadable(one: _Event) -> Result:
    """Something genuine that has no form that we know: shown, so that nothing is lost unseen."""
    place = Place("unknown", one.app_id)
    return Message(
        channel=one.account.channel,
        account=one.account.name,
        kind="unsupported",
        text="[unreadable event from QQ]",
        sender=Participant("contact", Address("qq", one.app_id, "unknown")),
        conversation=ConversationRef(thread_key=place.thread_key),
        dedupe_key=one.event.dedupe_key,
        sent_at=one.event.received_at,
        received_at=one.event.received_at,
        extra=dict(one.fields),
    )


def _message(one: _Event) -> Result:
    data, place = one.data, one.place
    if place is None:
        return _unreadable(one)
    author = inside(data, "author")
    if author.get("bot") is True:
        return Ignored("written by a bot", one.extra)
    groups = one.account.settings.groups
    if groups == "none" and place.is_group:
        return Ignored("said in a group", {"t": one.kind})
    if groups == "addressed" and not addresses_bot(one.kind, data):
        return Ignored("said in a group, not to the bot", {"t": one.kind})
    content = content_of(place.scene, data)
    own = text_of(data, "id").strip()
    opened = _allowance(one, place, "message", own)
    nick = text_of(inside(data, "member"), "nick")
    return Message(
        channel=one.account.channel,
        account=one.account.name,
        kind=content.kind,
        text=content.text,
        sender=_participant(one, place, author, nick),
        conversation=one.conversation(place),
        group=one.group(place),
        dedupe_key=f"{place.scene}:{own}" if own else one.event.dedupe_key,
        external_id=own or None,
        in_reply_to=quoted_by(data),
        sent_at=one.sent_at,
        received_at=one.event.received_at,
        attachments=content.attachments,
        reply=ReplyState(opened.until, opened.remaining) if opened else None,
        allowances=(opened,) if opened else (),
        reply_context=_context(one, place, own, scene_entry(data, "msg_idx")),
        contact_addresses=_also(author) if not place.is_group else (),
        extra=one.extra,
    )


def _context(one: _Event, place: Place, msg_id: str, ref_idx: str) -> dict[str, Any]:
    """What an answer needs: the message that it answers, and what a quote of it is called."""
    quotes = msg_id if place.scene in ("channel", "dm") else ref_idx
    found = {"msg_id": msg_id, "reference": quotes}
    return {name: value for name, value in found.items() if value}


def _allowance(one: _Event, place: Place, trigger: str, key: str) -> Allowance | None:
    """How often and how long *key*, a message's id or an event's, can be answered."""
    if not key or len(key) > 200:
        return None
    settings = one.account.settings
    if place.scene == "c2c":
        count, window = settings.c2c_replies, settings.c2c_window_s
    elif place.scene == "group":
        count, window = settings.group_replies, settings.group_window_s
    else:
        count, window = None, settings.guild_window_s
    if trigger == "event":
        window = min(window, _EVENT_WINDOW_S)
    opened_at = min(one.sent_at, one.event.received_at) - _MARGIN
    return Allowance(
        trigger=trigger,
        key=key,
        opened_at=opened_at,
        until=opened_at + timedelta(seconds=window),
        remaining=count,
    )


def _tapped(one: _Event) -> Result:
    """A button was tapped; the listener acknowledges it, an agent answers it."""
    data, place = one.data, one.place
    resolved = inside(data, "data", "resolved")
    picked = text_of(resolved, "button_data") or text_of(resolved, "feature_id")
    picked = (picked or text_of(resolved, "button_id")).strip()
    if place is None or not picked:
        return Ignored("a tap without a place or a meaning", one.extra)
    author = {
        "member_openid": text_of(data, "group_member_openid"),
        "id": text_of(resolved, "user_id"),
    }
    opened = _allowance(one, place, "event", one.outer_id)
    own = text_of(data, "id").strip()
    return Message(
        channel=one.account.channel,
        account=one.account.name,
        kind="choice",
        text=f"[choice] {picked}",
        sender=_participant(one, place, author),
        conversation=one.conversation(place),
        group=one.group(place),
        dedupe_key=f"tap:{own}" if own else one.event.dedupe_key,
        external_id=own[:200] or None,
        in_reply_to=text_of(resolved, "message_id").strip()[:200] or None,
        sent_at=one.sent_at,
        received_at=one.event.received_at,
        choice=Choice(picked[:200]),
        reply=ReplyState(opened.until, opened.remaining) if opened else None,
        allowances=(opened,) if opened else (),
        reply_context={"event_id": one.outer_id} if one.outer_id else {},
        extra=one.extra,
    )


# --- what happened ----------------------------------------------------------------------------------


def _notice(one: _Event) -> Result:
    kind, data, place = _NOTICES[one.kind], one.data, one.place
    author = {
        "member_openid": text_of(data, "op_member_openid") or text_of(data, "member_openid"),
        "id": text_of(inside(data, "op_user"), "id"),
    }
    return Notice(
        channel=one.account.channel,
        account=one.account.name,
        kind=kind,
        text=f"[{kind.replace('_', ' ')}]",
        sender=_participant(one, place, author) if place else None,
        conversation=one.conversation(place) if place else None,
        group=one.group(place) if place else None,
        dedupe_key=one.event.dedupe_key,
        external_id=one.outer_id or None,
        sent_at=one.sent_at,
        received_at=one.event.received_at,
        allowances=tuple(_opened(one, place)) if place else (),
        extra=one.extra,
    )


def _opened(one: _Event, place: Place) -> Iterable[Allowance]:
    """What may be said because of the event, and whether the bot may write by itself."""
    if one.kind in _ANSWERABLE and (answer := _allowance(one, place, "event", one.outer_id)):
        yield answer
    if one.kind in _CONSENT:
        yield Allowance(
            trigger="consent",
            key=one.event.dedupe_key,
            opened_at=one.sent_at,
            remaining=_CONSENT[one.kind],
            mode="active",
            group="consent",
        )


def opens(to: Address, account: Account[Any], /) -> tuple[Address, ConversationRef]:
    """A person by their openid, a group by ``group:`` and its own."""
    scene, _, own = to.value.partition(":") if ":" in to.value else ("c2c", ":", to.value)
    place = Place(scene, own)
    value = own if scene == "c2c" else place.thread_key
    ref = ConversationRef(thread_key=place.thread_key, is_group=place.is_group)
    scheme = "qq" if scene in ("c2c", "group") else to.scheme
    return Address(scheme, account.settings.app_id, value), ref


def audit_id(own: str) -> str:
    """What a message under review is called until it has an id of its own."""
    return f"audit:{own}"[:200]


def _audited(one: _Event) -> Result:
    """The platform's review of something that we said has ended."""
    own = text_of(one.data, "audit_id").strip()
    if not own:
        return Ignored("a review without an id", one.extra)
    status = _AUDITS[one.kind]
    return Receipt(
        status=status,
        external_id=audit_id(own),
        occurred_at=time_of(one.data, "audit_time") or one.event.received_at,
        detail="the platform's review refused it" if status == "failed" else None,
        dedupe_key=one.event.dedupe_key,
        extra=one.extra,
    )
