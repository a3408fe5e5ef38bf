"""From a reply to the calls that say it. Pure.

Source: https://developer.work.weixin.qq.com/document/path/90236
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub.errors import Unsupported
from hub.model import Draft, Link, Menu, Reply, ReplyAttachment
from hub.text import clean
from outbound._plain import menu_lines, noted, place_line, text_of_html
from outbound._wechat_parts import text_parts
from outbound._wecom_api import TEXT_LIMIT, call_url
from outbound._wecom_compose import JSON, as_link, cut_bytes, file_of, upload

__all__ = ["Sending", "compose"]

_TITLE_BYTES = 128
_DESCRIPTION_BYTES = 512
_URL_BYTES = 2048
_MENU_TITLE_CHARACTERS = 36  # a longer one may be cut on small screens
_BUTTONS = 6
_BUTTON_CHARACTERS = 10
_KEY_BYTES = 1024
_CALL_S = 60  # between a call's beginning and its end, with what two clocks differ by


class Sending(NamedTuple):
    """What is the same in every call; *repeat_check_s* of 0 lets the platform send repeats."""

    api_base: str
    agent_id: int
    repeat_check_s: int


def compose(reply: Reply, sending: Sending) -> Sequence[Draft]:
    """The calls that say *reply*, in order.

    Raises:
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    if reply.template:
        raise Unsupported("this channel has no templates")
    if reply.to.value == "@all" or "|" in reply.to.value:
        raise Unsupported("a reply goes to one member, never to several")
    drafts = _Composer(reply, sending).drafts()
    if not drafts:
        raise Unsupported("there is nothing to say")
    return drafts


class _Composer:
    """Takes one reply apart; what it had to change stands in *notes*."""

    def __init__(self, reply: Reply, sending: Sending) -> None:
        self._reply = reply
        self._to = reply.to.value
        self._sending = sending
        self._notes: list[str] = []
        self._lines: list[str] = []
        self._said = [_content(one) for one in reply.said_lately]

    def drafts(self) -> list[Draft]:
        """The text first, then what is a message of its own."""
        self._read_lines()
        cards = list(self._cards())
        texts = [
            self._say("text", {"content": part}, text=part)
            for part in text_parts("\n".join(self._lines), TEXT_LIMIT)
        ]
        return noted([*texts, *cards], self._notes)

    def _read_lines(self) -> None:
        reply = self._reply
        if reply.subject:
            self._notes.append("subject left out: this channel has none")
        if reply.text and reply.text.strip():
            self._lines.append(clean(reply.text))
        elif reply.html:
            self._notes.append("html sent as text")
            self._lines += filter(None, [clean(text_of_html(reply.html))])
        if reply.location:
            self._notes.append("location sent as text: this channel cannot send one")
            self._lines.append(place_line(reply.location))

    def _cards(self) -> Iterator[Draft]:
        for number, attachment in enumerate(self._reply.attachments, 1):
            name = f"media_id_{number}" if number > 1 else "media_id"
            yield from self._attachment(attachment, name)
        if self._reply.link:
            yield self._link(self._reply.link)
        if self._reply.menu:
            yield from self._menu(self._reply.menu)

    def _say(self, kind: str, content: Mapping[str, Any], *, text: str | None = None) -> Draft:
        """The call; what is meant to be said again, in this reply or after it, must not be taken for a
        repeat."""
        check = 0 if content in self._said else self._sending.repeat_check_s
        self._said.append(content)
        body = {
            "touser": self._to,
            "msgtype": kind,
            "agentid": self._sending.agent_id,
            kind: content,
            "safe": 0,
            "enable_duplicate_check": 1 if check else 0,
        }
        if check:
            body["duplicate_check_interval"] = check
        return Draft(
            method="POST",
            url=call_url(self._sending.api_base, "message/send"),
            headers=JSON,
            json=body,
            text=text,
            repeatable=check > _CALL_S,
            repeatable_for_s=check - _CALL_S if check > _CALL_S else None,
        )

    def _attachment(self, attachment: ReplyAttachment, name: str) -> Iterator[Draft]:
        file = file_of(attachment)
        if file is None:
            self._lines.append(as_link(attachment))
            what = attachment.filename or attachment.kind
            self._notes.append(f"{what} sent as a link: it is too large for this channel")
            return
        if file.note:
            self._notes.append(file.note)
        yield upload(self._sending.api_base, attachment, file, name)
        yield self._say(file.kind, {"media_id": f"{{{{{name}}}}}"})

    def _link(self, link: Link) -> Draft:
        """A card; with a picture where there is one."""
        title = cut_bytes(link.title or link.url, _TITLE_BYTES)
        described = cut_bytes(link.description or "", _DESCRIPTION_BYTES)
        if len(link.url.encode()) > _URL_BYTES:
            raise Unsupported(f"the link has more than {_URL_BYTES} bytes")
        if title != (link.title or link.url) or described != (link.description or ""):
            self._notes.append("title or description of the link cut")
        card = {"title": title, "description": described or title, "url": link.url}
        if link.image_url:
            return self._say("news", {"articles": [{**card, "picurl": link.image_url}]})
        return self._say("textcard", card)

    def _menu(self, menu: Menu) -> Iterator[Draft]:
        """A card with buttons; the tap comes back with the choice's id and our ``task_id``."""
        choices = menu.choices
        fits = (
            0 < len(choices) <= _BUTTONS
            and len(menu.title) <= _MENU_TITLE_CHARACTERS
            and all(len(one.label) <= _BUTTON_CHARACTERS for one in choices)
            and all(0 < len(one.id.encode()) <= _KEY_BYTES for one in choices)
        )
        if not fits:
            self._notes.append("menu sent as text: too many or too long choices for a card")
            self._lines.append(menu_lines(menu))
            return
        card: dict[str, Any] = {
            "card_type": "button_interaction",
            "main_title": {"title": menu.title},
            "task_id": self._task_id(menu),
            "button_list": [{"text": one.label, "style": 1, "key": one.id} for one in choices],
        }
        if menu.footer:
            card["sub_title_text"] = menu.footer
        yield self._say("template_card", card)

    def _task_id(self, menu: Menu) -> str:
        """Unique within the app, and the same when the reply is sent again."""
        made = self._reply.message_id or repr((self._to, menu, self._reply.last_inbound_at))
        return f"hub_{hashlib.sha256(made.encode()).hexdigest()[:40]}"


def _content(call: Any) -> Any:
    """What an earlier call said."""
    return call.get(call.get("msgtype")) if isinstance(call, Mapping) else None
