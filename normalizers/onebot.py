"""OneBot v11 (a personal QQ account through NapCat, Lagrange or go-cqhttp): what an event means.

Source: https://github.com/botuniverse/onebot-11 (event/*.md)
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from hub.channel import Account
from hub.model import (
    Address,
    ConversationRef,
    Group,
    Ignored,
    InboundEvent,
    Message,
    Notice,
    Participant,
    Result,
)
from hub.text import single_line
from normalizers._json_fields import read_object
from normalizers._onebot_event import GROUP, PRIVATE, identity, text_of, thread_of
from normalizers._onebot_segments import Content, read_content, segments_of

__all__ = ["GAP", "HUB", "OFFLINE", "ONLINE", "normalize", "opens"]

Fields = Mapping[str, Any]

HUB = "hub"
"""The header of an event that the listener made itself; its value is one of the following."""
GAP, OFFLINE, ONLINE = "gap", "offline", "online"

# The standard's notices and requests as we call them, and which fields tell a person more.
_NOTICES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "friend_add": ("contact_added", ()),
    "friend_recall": ("message_recalled", ("message_id",)),
    "group_recall": ("message_recalled", ("message_id",)),
    "group_upload": ("group_file_uploaded", ("file.name", "file.size")),
    "group_admin": ("group_admin_changed", ("sub_type",)),
    "group_increase": ("member_joined", ("sub_type",)),
    "group_decrease": ("member_left", ("sub_type",)),
    "group_ban": ("member_muted", ("sub_type", "duration")),
    "notify.poke": ("poked", ()),
    "notify.lucky_king": ("lucky_king", ()),
    "notify.honor": ("group_honor", ("honor_type",)),
    "bot_offline": ("account_offline", ("message",)),  # NapCat
    "request.friend": ("contact_requested", ("comment",)),
    "request.group": ("join_requested", ("sub_type", "comment")),
}
_BOT_ITSELF = {"member_joined": "bot_joined", "member_left": "bot_left"}
_MADE_HERE: Mapping[str, tuple[str, str]] = {
    GAP: ("connection_gap", "[connection gap] messages may be missing"),
    OFFLINE: ("account_offline", "[account offline] the QQ account is not signed in"),
    ONLINE: ("account_online", "[account online] the QQ account is signed in again"),
}

_IN_THE_MODEL = frozenset({"time", "post_type", "message", "raw_message", "font", "raw"})
_LATEST = 4_102_444_800  # 2100-01-01: beyond it, the time was not in seconds


class _Event(NamedTuple):
    """An event and what every result made from it shares."""

    fields: Fields
    event: InboundEvent
    account: Account[Any]

    def text(self, name: str) -> str:
        outer, _, inner = name.partition(".")
        nested = self.fields.get(outer)
        if inner:
            return text_of(nested, inner) if isinstance(nested, dict) else ""
        return text_of(self.fields, outer)

    @property
    def self_id(self) -> str:
        return str(self.account.settings.self_id)

    @property
    def thread(self) -> str:
        return thread_of(self.fields) or "unknown"

    @property
    def is_group(self) -> bool:
        return self.thread.startswith(GROUP)

    @property
    def conversation(self) -> ConversationRef:
        return ConversationRef(thread_key=self.thread, is_group=self.is_group)

    @property
    def group(self) -> Group | None:
        """Whom a group's conversation is with; NapCat tells its name."""
        if not self.is_group:
            return None
        name = single_line(self.text("group_name")) or None
        return Group(Address("onebot", "", self.thread), name)

    @property
    def sender(self) -> Participant:
        """Who said it; in a group by the name that they have there."""
        number = self.text("user_id") or "unknown"
        anonymous = self.fields.get("anonymous")
        if isinstance(anonymous, dict):
            number = f"anonymous:{text_of(anonymous, 'id') or 'unknown'}"
        names = (
            self.text("anonymous.name"),
            self.text("sender.card"),
            self.text("sender.nickname"),
        )
        return Participant(
            "contact", Address("onebot", "", number), next(filter(None, names), None)
        )

    @property
    def sent_at(self) -> datetime:
        seconds = self.text("time")
        whole = seconds.isascii() and seconds.isdigit() and len(seconds) <= 18
        if not whole or not 86400 < int(seconds) < _LATEST:
            return self.event.received_at
        return datetime.fromtimestamp(int(seconds), UTC)

    @property
    def key(self) -> str:
        return identity(self.fields or None, self.event.body)

    @property
    def extra(self) -> dict[str, Any]:
        return {name: value for name, value in self.fields.items() if name not in _IN_THE_MODEL}


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message or notice in *event*; what cannot be read is shown as ``unsupported``."""
    fields = read_object(event.body)
    read = _Event(fields or {}, event, account)
    if made := event.headers.get(HUB):
        return [_made_here(read, made)]
    if fields is None or not read.text("post_type"):
        content = Content("unsupported", "[unreadable event from QQ]", (), None, None, ())
        return [_message(read, content)]
    owner = read.text("self_id")
    if owner and owner != read.self_id:
        return [Ignored(f"for another account: {owner}")]
    return [_READERS.get(read.text("post_type"), _left)(read)]


def opens(to: Address, account: Account[Any], /) -> tuple[Address, ConversationRef]:
    """Writing first: to a friend by their number, to a group by ``group:`` and its number."""
    kind, _, number = to.value.strip().rpartition(":")
    if f"{kind}:" == GROUP:
        thread = f"{GROUP}{number}"
        return Address("onebot", "", thread), ConversationRef(thread_key=thread, is_group=True)
    return Address("onebot", "", number), ConversationRef(thread_key=f"{PRIVATE}{number}")


# --- messages ---------------------------------------------------------------------------------------


def _said(read: _Event) -> Result:
    if read.text("user_id") == read.self_id:
        return Ignored("the account's own message")
    content = read_content(segments_of(read.fields.get("message")), read.self_id)
    if read.is_group and not _is_wanted(read, content):
        return Ignored("does not address the account (setting groups)")
    return _message(read, content)


def _is_wanted(read: _Event, content: Content) -> bool:
    wanted = read.account.settings.groups
    return wanted == "all" or (wanted == "addressed" and read.self_id in content.mentions)


def _message(read: _Event, content: Content) -> Message:
    group = read.text("group_id") or read.text("sender.group_id")
    context = {"thread": read.thread, "message_id": read.text("message_id")}
    if group and not read.is_group:
        context["group_id"] = group  # a stranger is answered through the group that is shared
    files = tuple(
        msgspec.structs.replace(one, source={**one.source, **_place(read, one.kind)})
        for one in content.attachments
    )
    return Message(
        channel=read.account.channel,
        account=read.account.name,
        kind=content.kind,
        text=content.text,
        sender=read.sender,
        conversation=read.conversation,
        dedupe_key=read.key,
        external_id=read.text("message_id") or None,
        in_reply_to=content.in_reply_to,
        sent_at=read.sent_at,
        received_at=read.event.received_at,
        attachments=files,
        location=content.location,
        reply_context={name: value for name, value in context.items() if value},
        group=read.group,
        extra=read.extra | ({"mentions": list(content.mentions)} if content.mentions else {}),
    )


def _place(read: _Event, kind: str) -> dict[str, str]:
    """A group's file is asked for by its group."""
    group = read.text("group_id")
    return {"group_id": group} if kind == "file" and read.is_group and group else {}


def _own(_read: _Event) -> Result:
    return Ignored("the account's own message")


# --- everything else --------------------------------------------------------------------------------


def _noticed(read: _Event) -> Result:
    name = read.text("notice_type")
    if name == "notify":
        name = f"notify.{read.text('sub_type')}"
    if name == "offline_file":  # go-cqhttp: a file sent in private comes as no message
        data = read.fields.get("file")
        return _message(read, read_content([{"type": "file", "data": data or {}}], read.self_id))
    return _notice(read, name)


def _requested(read: _Event) -> Result:
    return _notice(read, f"request.{read.text('request_type')}")


def _notice(read: _Event, name: str) -> Result:
    if name not in _NOTICES:
        return Ignored(f"a notice that nobody needs: {single_line(name, 60)}")
    kind, telling = _NOTICES[name]
    itself = read.self_id in (read.text("user_id"), read.text("target_id"))
    if read.is_group and not _concerns(read, kind, itself):
        return Ignored("a group's notice that does not concern the account (setting groups)")
    kind = _BOT_ITSELF.get(kind, kind) if read.text("user_id") == read.self_id else kind
    details = (single_line(said) for one in telling if (said := read.text(one)))
    placed = thread_of(read.fields) and (read.is_group or read.text("user_id") != read.self_id)
    return Notice(
        channel=read.account.channel,
        account=read.account.name,
        kind=kind,
        text=" ".join((f"[{kind.replace('_', ' ')}]", *details)),
        sender=read.sender if placed else None,
        conversation=read.conversation if placed else None,
        group=read.group if placed else None,
        dedupe_key=read.key,
        external_id=read.text("message_id") or None,
        sent_at=read.sent_at,
        received_at=read.event.received_at,
        extra=read.extra,
    )


def _concerns(read: _Event, kind: str, itself: bool) -> bool:
    wanted = read.account.settings.groups
    return wanted == "all" or (
        wanted == "addressed" and (itself or kind in ("message_recalled", "join_requested"))
    )


def _left(read: _Event) -> Result:
    return Ignored(f"nobody needs it: {single_line(read.text('post_type'), 60)}")


def _made_here(read: _Event, made: str) -> Notice:
    """What the listener found out about the connection itself."""
    kind, text = _MADE_HERE.get(made, ("event", "[event]"))
    since, until = read.text("since"), read.text("until")
    when = f" (from {since} to {until})" if since and until else ""
    why = f": {single_line(read.text('reason'))}" if read.text("reason") else ""
    return Notice(
        channel=read.account.channel,
        account=read.account.name,
        kind=kind,
        text=f"{text}{when}{why}",
        dedupe_key=read.event.dedupe_key,
        sent_at=read.event.received_at,
        received_at=read.event.received_at,
        extra=dict(read.fields),
    )


_READERS = {
    "message": _said,
    "message_sent": _own,
    "notice": _noticed,
    "request": _requested,
}
