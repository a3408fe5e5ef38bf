"""From a reply to the calls that say it. Pure.

Sources: https://developer.work.weixin.qq.com/document/path/94670 (sending), …/path/94698 (sessions)
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub.errors import Unsupported, WindowClosed
from hub.model import Draft, Link, Location, Menu, Reply, ReplyAttachment
from hub.text import clean
from outbound._plain import text_of_html
from outbound._wechat_parts import noted, text_parts
from outbound._wecom_api import TEXT_LIMIT, call_url
from outbound._wecom_compose import JSON, as_link, cut_bytes, file_of, upload

__all__ = ["STATE_GET", "STATE_MOVE", "WITH_THE_HUB", "Desk", "compose", "desk_of"]

STATE_GET = "kf/service_state/get"
STATE_MOVE = "kf/service_state/trans"
WITH_THE_HUB = 1  # 智能助手接待: served by the interface, not offered to people

_STATE_FRESH_S = 20.0
_MENU_ITEMS = 10
_ITEM_BYTES = 128
_HEAD_BYTES = 1024
_TITLE_BYTES = 128
_DESCRIPTION_BYTES = 512
_URL_BYTES = 2048


class Desk(NamedTuple):
    """Whom the calls go to: a customer at one customer-service account."""

    api_base: str
    open_kfid: str
    customer: str


class _Card(NamedTuple):
    """Something that is a message of its own, and how it reads inside a text (None: it cannot)."""

    prepares: tuple[Draft, ...]
    kind: str
    content: Mapping[str, Any]
    text: str | None = None


def desk_of(reply: Reply, known: Sequence[str]) -> str:
    """The customer-service account that *reply* is said by; *known* are those of the settings.

    Raises:
        Unsupported: it cannot be told.
    """
    asked = reply.reply_context.get("open_kfid")
    named = str(asked) if asked else (reply.thread_key or "").partition(":")[0]
    if asked or ":" in (reply.thread_key or ""):
        return named
    if len(known) == 1:
        return known[0]
    raise Unsupported("which customer-service account (open_kfid) is to say it is not known")


def compose(reply: Reply, allowed: int | None, desk: Desk) -> Sequence[Draft]:
    """The calls that say *reply* in at most *allowed* messages; merged where that saves some.

    The session is read and, where nobody has it, taken over first: both may be repeated.

    Raises:
        WindowClosed: it takes more messages than the platform allows now.
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    if reply.to.scheme != "wechat_kefu":
        raise Unsupported("this account answers customers only, no members of the enterprise")
    if reply.template:
        raise Unsupported("this channel has no templates")
    made = _Composer(reply, desk)
    drafts = made.drafts()
    if allowed is not None and _cost(drafts) > allowed:
        drafts = made.drafts(merged=True)
    if not drafts:
        raise Unsupported("there is nothing to say")
    needed = _cost(drafts)
    if allowed is not None and needed > allowed:
        raise WindowClosed(
            f"this reply takes {needed} messages, the platform allows {allowed} now; "
            "the customer has to write again"
        )
    return [*_session(desk), *drafts]


def _cost(drafts: Sequence[Draft]) -> int:
    return sum(draft.cost for draft in drafts)


def _session(desk: Desk) -> Iterator[Draft]:
    """Reads the state of the session, and takes the session over where it is nobody's."""
    whom = {"open_kfid": desk.open_kfid, "external_userid": desk.customer}
    key = f"{desk.open_kfid}:{desk.customer}"
    for path, body in ((STATE_GET, whom), (STATE_MOVE, {**whom, "service_state": WITH_THE_HUB})):
        yield Draft(
            method="POST",
            url=call_url(desk.api_base, path),
            role="prepare",
            headers=JSON,
            json=body,
            cost=0,
            result="service_state",
            fingerprint=f"{path}:{key}",
            fresh_for_s=_STATE_FRESH_S,
        )


class _Composer:
    """Takes one reply apart; what it had to change stands in *notes*."""

    def __init__(self, reply: Reply, desk: Desk) -> None:
        self._reply = reply
        self._desk = desk
        self._notes: list[str] = []
        self._lines: list[str] = []
        self._read_lines()
        self._cards = list(self._read_cards())

    def drafts(self, *, merged: bool = False) -> list[Draft]:
        """The text first, then what is a message of its own; *merged*: as little of it as can be."""
        cards = [card for card in self._cards if not merged or card.text is None]
        lines = [*self._lines, *(card.text for card in self._cards if merged and card.text)]
        made: list[Draft] = []
        for part in text_parts("\n".join(lines), TEXT_LIMIT):
            made.append(self._say(len(made), "text", {"content": part}, text=part))
        for number, card in enumerate(cards, len(made)):
            made += [*card.prepares, self._say(number, card.kind, card.content)]
        notes = [*self._notes, "links merged into the text, to save messages"]
        return noted(made, notes if len(cards) < len(self._cards) else self._notes)

    def _say(
        self, number: int, kind: str, content: Mapping[str, Any], *, text: str | None = None
    ) -> Draft:
        reply = self._reply
        made_from = reply.message_id or f"{self._desk} {reply.last_inbound_at}"
        body = {
            "touser": self._desk.customer,
            "open_kfid": self._desk.open_kfid,
            "msgid": _own_id(made_from, number, kind, content),
            "msgtype": kind,
            kind: content,
        }
        return Draft(
            method="POST",
            url=call_url(self._desk.api_base, "kf/send_msg"),
            headers=JSON,
            json=body,
            text=text,
            repeatable=reply.message_id is not None,
        )

    def _read_lines(self) -> None:
        reply = self._reply
        if reply.subject:
            self._notes.append("subject left out: this channel has none")
        if reply.text and reply.text.strip():
            self._lines.append(clean(reply.text))
        elif reply.html:
            self._notes.append("html sent as text")
            self._lines += filter(None, [clean(text_of_html(reply.html))])

    def _read_cards(self) -> Iterator[_Card]:
        for number, attachment in enumerate(self._reply.attachments, 1):
            name = f"media_id_{number}" if number > 1 else "media_id"
            yield from self._attachment(attachment, name)
        if self._reply.location:
            yield self._location(self._reply.location)
        if self._reply.link:
            yield from self._link(self._reply.link)
        if self._reply.menu:
            yield from self._menu(self._reply.menu)

    def _attachment(self, attachment: ReplyAttachment, name: str) -> Iterator[_Card]:
        file = file_of(attachment)
        if file is None:
            self._lines.append(as_link(attachment))
            what = attachment.filename or attachment.kind
            self._notes.append(f"{what} sent as a link: it is too large for this channel")
            return
        if file.note:
            self._notes.append(file.note)
        prepare = upload(self._desk.api_base, attachment, file, name)
        yield _Card((prepare,), file.kind, {"media_id": f"{{{{{name}}}}}"})

    def _location(self, location: Location) -> _Card:
        place = f"{location.latitude},{location.longitude}"
        content = {
            "name": location.label or place,
            "address": location.label or place,
            "latitude": location.latitude,
            "longitude": location.longitude,
        }
        return _Card((), "location", content)

    def _link(self, link: Link) -> Iterator[_Card]:
        """A card needs a picture, which has to be uploaded; without one it is a line of text."""
        line = f"{link.title}\n{link.url}" if link.title else link.url
        if not link.image_url or len(link.url.encode()) > _URL_BYTES:
            self._notes.append("link sent as text: a card needs a picture")
            self._lines.append(line)
            return
        picture = ReplyAttachment(kind="image", filename="thumb.jpg", url=link.image_url)
        file = file_of(picture)
        if file is None:  # it has no size yet, so it is not too large
            return
        prepare = upload(self._desk.api_base, picture, file, "thumb_media_id")
        title = cut_bytes(link.title or link.url, _TITLE_BYTES)
        description = cut_bytes(link.description or "", _DESCRIPTION_BYTES)
        content = {
            "title": title,
            "desc": description,
            "url": link.url,
            "thumb_media_id": "{{thumb_media_id}}",
        }
        yield _Card((prepare,), "link", content, line)

    def _menu(self, menu: Menu) -> Iterator[_Card]:
        """A menu that is tapped; the tap comes back as a text with the choice's id."""
        fits = (
            0 < len(menu.choices) <= _MENU_ITEMS
            and len(menu.title.encode()) <= _HEAD_BYTES
            and len((menu.footer or "").encode()) <= _HEAD_BYTES
            and all(0 < len(one.id.encode()) <= _ITEM_BYTES for one in menu.choices)
            and all(0 < len(one.label.encode()) <= _ITEM_BYTES for one in menu.choices)
        )
        if not fits:
            self._notes.append("menu sent as text: too many or too long choices")
            listed = [f"{number}. {one.label}" for number, one in enumerate(menu.choices, 1)]
            self._lines.append("\n".join([menu.title, *listed, *filter(None, [menu.footer])]))
            return
        items = [
            {"type": "click", "click": {"id": one.id, "content": one.label}} for one in menu.choices
        ]
        content: dict[str, Any] = {"head_content": menu.title, "list": items}
        if menu.footer:
            content["tail_content"] = menu.footer
        yield _Card((), "msgmenu", content)


def _own_id(made_from: str, number: int, kind: str, content: Mapping[str, Any]) -> str:
    """Our id of one message: at most 32 of ``[0-9A-Za-z_-]``, the same whenever it is sent again.

    The platform takes an id once for each customer-service account. A reply that is composed
    differently later, since little is allowed any more, says something else under another id.
    """
    made = repr((made_from, number, kind, content))
    return hashlib.sha256(made.encode("utf-8", "replace")).hexdigest()[:32]
