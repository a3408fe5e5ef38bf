"""From a reply to the calls that say it. Pure.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/send.html (sending),
…/rich-media.html (files), …/message/trans/msg-btn.html (keyboards)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from hub.errors import Unsupported, WindowClosed
from hub.model import Allowance, Draft, Link, Menu, Reply, ReplyAttachment, Template
from hub.text import clean, split_text
from outbound._plain import text_of_html
from outbound._wechat_parts import kept, noted, place_line, type_of

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "UNKNOWN", "Plan", "Target", "compose", "target_of"]

UNKNOWN = "{{msg_id}}"
"""Stands for the message that would be answered, where a reply is only looked at and names none."""

TEXT_LIMIT = 1500  # characters; the platform publishes none, and this is what others found to pass
MEDIA_LIMITS: Mapping[str, int] = {
    "image": 30 << 20,
    "voice": 20 << 20,
    "video": 100 << 20,
    "file": 100 << 20,
}

_JSON = {"content-type": "application/json; charset=utf-8", "authorization": "QQBot ***"}
_TEXT, _MARKDOWN, _MEDIA = 0, 2, 7
_BUTTON_ROWS, _BUTTONS_IN_A_ROW, _LABEL = 5, 5, 10
_MAX_BUTTON_DATA = 100
_ID = re.compile(r"[A-Za-z0-9_.!-]{1,200}")
_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|]')

# What may be sent as what it is, the number of its kind, and the ending that its name needs.
_MEDIA_TYPES: Mapping[str, tuple[str, int, str]] = {
    "image/png": ("image", 1, ".png"),
    "image/jpeg": ("image", 1, ".jpg"),
    "image/jpg": ("image", 1, ".jpg"),
    "video/mp4": ("video", 2, ".mp4"),
    "audio/silk": ("voice", 3, ".silk"),
    "audio/wav": ("voice", 3, ".wav"),
    "audio/x-wav": ("voice", 3, ".wav"),
    "audio/mpeg": ("voice", 3, ".mp3"),
    "audio/mp3": ("voice", 3, ".mp3"),
    "audio/flac": ("voice", 3, ".flac"),
}
_FILE = ("file", 4, "")
_PATHS: Mapping[str, str] = {
    "c2c": "v2/users/{}/messages",
    "group": "v2/groups/{}/messages",
    "channel": "channels/{}/messages",
    "dm": "dms/{}/messages",
}


class Target(NamedTuple):
    """Whom the calls go to: a person, a group, a channel of a guild, or a person through a guild."""

    api_base: str
    scene: str
    id: str

    @property
    def url(self) -> str:
        """Where messages go."""
        return f"{self.api_base}/{_PATHS[self.scene].format(quote(self.id, safe=''))}"

    @property
    def files_url(self) -> str:
        """Where files go first."""
        return self.url.removesuffix("messages") + "files"

    @property
    def is_guild(self) -> bool:
        """Guilds have the older API: no ``msg_seq``, no files."""
        return self.scene in ("channel", "dm")


class _Say(NamedTuple):
    """A message that is to be said: its body without what it answers, and what has to be done before."""

    body: Mapping[str, Any]
    text: str | None = None
    prepare: Draft | None = None


class _Anchor(NamedTuple):
    """What can be answered, and how often still (None: no count)."""

    field: str
    key: str
    left: int | None


class Plan(NamedTuple):
    """What the account allows and likes."""

    target: Target
    active: bool
    markdown: bool
    keyboards: bool
    windows: Mapping[str, float]


def target_of(reply: Reply, api_base: str) -> Target:
    """Where *reply* goes.

    Raises:
        Unsupported: it cannot be told, or its id is none of the platform's.
    """
    scene, mark, found = (reply.thread_key or "").partition(":")
    if not mark or scene not in _PATHS:
        scene, mark, found = reply.to.value.partition(":")
    if not mark or scene not in _PATHS:
        scene, found = "c2c", reply.to.value
    if reply.to.scheme not in ("qq", "qq_guild") or not _ID.fullmatch(found):
        raise Unsupported("this is not somebody whom a QQ bot can write to")
    return Target(api_base, scene, found)


def compose(
    reply: Reply, allowances: Sequence[Allowance], plan: Plan, now: datetime
) -> Sequence[Draft]:
    """The calls that say *reply*, each an answer to something that the customer did.

    Without anything to answer it goes out as an active message where the account allows that, and
    never otherwise. The core gives each call its message and number when it is made; those here are
    what they would be if nothing had been said yet.

    Raises:
        WindowClosed: it takes more messages than the platform allows now.
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    anchors = _anchors(reply, allowances, plan, now)
    allowed = _sum(anchors)
    made = _Composer(reply, plan)
    says = made.says()
    if allowed is not None and 0 < allowed < len(says):
        says = made.says(merged=True)
    if not says:
        raise Unsupported("there is nothing to say")
    if allowed is not None and len(says) > allowed:
        if not plan.active or _refused(allowances):
            raise _closed(len(says), allowed, anchors)
        made.notes.append(
            "sent, in part or whole, as active messages: there is too little to answer"
        )
    return noted([*_drafts(says, plan.target, _turns(anchors), reply)], made.notes)


def _closed(needed: int, allowed: int, anchors: Sequence[_Anchor]) -> WindowClosed:
    if not anchors:
        return WindowClosed(
            "there is no message that could be answered now; the customer has to write again"
        )
    return WindowClosed(
        f"this reply takes {needed} messages, the platform allows {allowed} now; "
        "the customer has to write again"
    )


def _refused(allowances: Sequence[Allowance]) -> bool:
    """Whether the customer has switched active messages off."""
    return any(one.mode == "active" and one.remaining == 0 for one in allowances)


# --- what is answered -------------------------------------------------------------------------------


def _anchors(
    reply: Reply, allowances: Sequence[Allowance], plan: Plan, now: datetime
) -> list[_Anchor]:
    """What can be answered now, the first to end first."""
    free = [one for one in allowances if one.mode == "free"]
    if free:
        live = [one for one in free if one.until is None or one.until > now]
        return [
            _Anchor("event_id" if one.trigger == "event" else "msg_id", one.key, one.remaining)
            for one in live
            if one.remaining != 0
        ]
    window = timedelta(seconds=plan.windows[plan.target.scene])
    if reply.last_inbound_at is not None and reply.last_inbound_at + window <= now:
        return []
    for field in ("msg_id", "event_id"):
        if key := reply.reply_context.get(field):
            return [_Anchor(field, str(key), None)]
    known = allowances or reply.last_inbound_at or plan.active or reply.message_id
    return [] if known else [_Anchor("msg_id", UNKNOWN, None)]


def _sum(anchors: Sequence[_Anchor]) -> int | None:
    counts = [one.left for one in anchors]
    return None if None in counts else sum(count for count in counts if count)


def _turns(anchors: Sequence[_Anchor]) -> Iterator[Mapping[str, Any]]:
    """What each message would answer, and as the how-many-th."""
    for anchor in anchors:
        number = 0
        while anchor.left is None or number < anchor.left:
            number += 1
            yield {anchor.field: anchor.key, "msg_seq": number}


def _drafts(
    says: Sequence[_Say], target: Target, turns: Iterator[Mapping[str, Any]], reply: Reply
) -> Iterator[Draft]:
    for number, say in enumerate(says):
        turn = dict(next(turns, {}))
        if target.is_guild:
            turn.pop("msg_seq", None)
        quoted = _quote(reply, target) if number == 0 else {}
        if say.prepare:
            yield say.prepare
        yield Draft(
            method="POST",
            url=target.url,
            headers=_JSON,
            json={**say.body, **quoted, **turn},
            text=say.text,
            cost=1 if turn else 0,
            repeatable="msg_seq" in turn,
            extra={"answers": bool(turn)},
        )


def _quote(reply: Reply, target: Target) -> Mapping[str, Any]:
    """The message that the agent answers is quoted, where we know what it is called for that."""
    called = reply.reply_context.get("reference")
    if reply.in_reply_to is None or not called:
        return {}
    reference: dict[str, Any] = {"message_id": str(called)}
    if target.is_guild:
        reference["ignore_get_message_error"] = True
    return {"message_reference": reference}


# --- what is said -----------------------------------------------------------------------------------


class _Composer:
    """Reads a reply once, then lays it out as separate messages or with the text in those of files."""

    def __init__(self, reply: Reply, plan: Plan) -> None:
        self._plan = plan
        self._target = plan.target
        self.notes: list[str] = []
        self._lines: list[str] = []
        self._files: list[_Say] = []
        self._cards: list[_Say] = []
        self._read(reply)

    def says(self, *, merged: bool = False) -> list[_Say]:
        """The text first, then files, then what has buttons."""
        texts = split_text("\n".join(self._lines), TEXT_LIMIT, unit="characters")
        files = list(self._files)
        if merged and files and len(texts) == 1 and texts[0]:
            texts, first = [], files[0]._replace(text=texts[0])
            files[0] = first._replace(body={**first.body, "content": first.text})
        return [*(self._text(part) for part in texts if part), *files, *self._cards]

    def _text(self, part: str) -> _Say:
        if self._plan.markdown:
            return _Say(self._typed(_MARKDOWN, {"markdown": {"content": part}}), part)
        return _Say(self._typed(_TEXT, {"content": part}), part)

    def _typed(self, kind: int, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return body if self._target.is_guild else {**body, "msg_type": kind}

    def _read(self, reply: Reply) -> None:
        if reply.subject:
            self.notes.append("subject left out: this channel has none")
        if reply.text and reply.text.strip():
            self._lines.append(clean(reply.text))
        elif reply.html:
            self.notes.append("html sent as text")
            self._lines += filter(None, [clean(text_of_html(reply.html))])
        if reply.location:
            self.notes.append("location sent as text: this channel cannot send one")
            self._lines.append(place_line(reply.location))
        if reply.link:
            self._link(reply.link)
        for number, attachment in enumerate(reply.attachments, 1):
            self._attachment(attachment, f"file_info_{number}" if number > 1 else "file_info")
        if reply.menu:
            self._menu(reply.menu)
        if reply.template:
            self._template(reply.template)

    def _link(self, link: Link) -> None:
        lines = filter(None, (link.title, link.description, link.url))
        self.notes.append("link sent as text: it must be registered in the bot's console")
        self._lines.append("\n".join(map(clean, lines)))

    def _attachment(self, attachment: ReplyAttachment, name: str) -> None:
        mime_type = type_of(attachment)
        kind, number, ending = _MEDIA_TYPES.get(mime_type, _FILE)
        size = attachment.size_bytes or len(attachment.content or b"")
        what = attachment.filename or attachment.kind
        most = MEDIA_LIMITS[attachment.kind if kind == "file" else kind]
        if self._target.is_guild or size > most:
            if not attachment.url:
                raise Unsupported(
                    f"{what} ({mime_type or 'unknown type'}, {size} bytes) cannot be sent here: "
                    "PNG or JPEG up to 30 MB, MP4 up to 100 MB, SILK, WAV, MP3 or FLAC up to 20 MB, "
                    "other files up to 100 MB, and none in guilds"
                )
            self.notes.append(f"{what} sent as a link: this channel cannot send it")
            self._lines.append(f"{what}: {attachment.url}")
            return
        if kind == "file" and attachment.kind != "file":
            self.notes.append(f"{mime_type or what} sent as a file: it cannot be shown here")
        body = {"msg_type": _MEDIA, "content": " ", "media": {"file_info": f"{{{{{name}}}}}"}}
        prepare = self._upload(attachment, number, _name(attachment, ending), name)
        self._files.append(_Say(body, prepare=prepare))

    def _upload(self, attachment: ReplyAttachment, kind: int, filename: str, name: str) -> Draft:
        return Draft(
            method="POST",
            url=self._target.files_url,
            role="prepare",
            headers=_JSON,
            json={"file_type": kind, "file_name": filename, "srv_send_msg": False},
            cost=0,
            result=name,
            timeout_s=120.0,
            extra={"attachment": kept(attachment)},
        )

    def _menu(self, menu: Menu) -> None:
        fits = 0 < len(menu.choices) <= _BUTTON_ROWS * _BUTTONS_IN_A_ROW and all(
            0 < len(one.label) <= _LABEL and 0 < len(one.id) <= _MAX_BUTTON_DATA
            for one in menu.choices
        )
        if not self._plan.keyboards or not fits:
            self.notes.append("menu sent as text: no buttons, or too many or too long choices")
            listed = [f"{number}. {one.label}" for number, one in enumerate(menu.choices, 1)]
            lines = [menu.title, *listed, *filter(None, [menu.footer])]
            self._lines.append(clean("\n".join(lines)))
            return
        title = clean("\n\n".join(filter(None, (menu.title, menu.footer))))
        body = {"markdown": {"content": title}, "keyboard": {"content": {"rows": _rows(menu)}}}
        self._cards.append(_Say(self._typed(_MARKDOWN, body), title))

    def _template(self, template: Template) -> None:
        """A Markdown template that the platform has approved; each parameter is a list of texts."""
        params = [
            {"key": name, "values": [str(one) for one in value]}
            if isinstance(value, list | tuple)
            else {"key": name, "values": [str(value)]}
            for name, value in template.params.items()
        ]
        markdown = {"custom_template_id": template.id, "params": params}
        self._cards.append(_Say(self._typed(_MARKDOWN, {"markdown": markdown})))


def _rows(menu: Menu) -> list[Mapping[str, Any]]:
    """A keyboard of few buttons has one in each row, as a list is read."""
    buttons = [_button(number, one) for number, one in enumerate(menu.choices, 1)]
    width = -(-len(buttons) // _BUTTON_ROWS)
    return [{"buttons": buttons[begin : begin + width]} for begin in range(0, len(buttons), width)]


def _button(number: int, choice: Any) -> Mapping[str, Any]:
    """A button that calls us back (type 1), for everybody (permission 2)."""
    return {
        "id": str(number),
        "render_data": {"label": choice.label, "visited_label": choice.label, "style": 1},
        "action": {
            "type": 1,
            "permission": {"type": 2},
            "data": choice.id,
            "unsupport_tips": choice.label,
        },
    }


def _name(attachment: ReplyAttachment, ending: str) -> str:
    """The name that people see; the platform knows a kind by its ending."""
    given = _NOT_IN_A_NAME.sub("_", attachment.filename or "").strip(". ")[-120:]
    if ending and not given.lower().endswith(ending):
        return f"{attachment.kind}{ending}"
    return given or attachment.kind
