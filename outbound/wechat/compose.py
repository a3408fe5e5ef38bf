"""From a reply to the calls that say it. Pure.

Sources: https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Messages.html
and …/doc/subscription/guide/product/kf/intro.md (how often, how long)
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub.errors import Unsupported, WindowClosed
from hub.model import Draft, Link, Menu, Reply, ReplyAttachment, Template
from hub.text import clean
from outbound._plain import text_of_html
from outbound._wechat_parts import budget, fingerprint, kept, noted, place_line, text_parts, type_of
from outbound.wechat.api import Call, catalogue

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "budget", "compose"]

TEXT_LIMIT = 2048
MEDIA_LIMITS: Mapping[str, int] = {"image": 10 << 20, "voice": 2 << 20, "video": 10 << 20}

_MEDIA_FRESH_S = 2.9 * 86400  # an uploaded file is kept for 3 days
_JSON = {"content-type": "application/json; charset=utf-8"}

# What may be uploaded, and the ending that the platform wants the file name to have.
_MEDIA_TYPES: Mapping[str, tuple[str, str]] = {
    "image/png": ("image", ".png"),
    "image/jpeg": ("image", ".jpg"),
    "image/jpg": ("image", ".jpg"),
    "image/gif": ("image", ".gif"),
    "audio/amr": ("voice", ".amr"),
    "audio/mpeg": ("voice", ".mp3"),
    "audio/mp3": ("voice", ".mp3"),
    "video/mp4": ("video", ".mp4"),
}
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


class _Card(NamedTuple):
    """Something that is a message of its own, and how it reads inside a text (None: it cannot)."""

    drafts: tuple[Draft, ...]
    text: str | None = None


def compose(reply: Reply, allowed: int | None, api_base: str) -> Sequence[Draft]:
    """The calls that say *reply* in at most *allowed* messages; merged where that saves some.

    Raises:
        WindowClosed: it takes more messages than the platform allows now.
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    made = _Composer(reply, api_base)
    drafts = made.apart()
    if allowed is not None and _cost(drafts) > allowed:
        drafts = made.together()
    if not drafts:
        raise Unsupported("there is nothing to say")
    needed = _cost(drafts)
    if allowed is not None and needed > allowed:
        raise WindowClosed(
            f"this reply takes {needed} messages, the platform allows {allowed} now; "
            "the customer has to write again"
        )
    return drafts


def _cost(drafts: Sequence[Draft]) -> int:
    return sum(draft.cost for draft in drafts)


class _Composer:
    """Takes one reply apart; what it had to change stands in *notes*."""

    def __init__(self, reply: Reply, api_base: str) -> None:
        self._to = reply.to.value
        self._base = api_base
        self._notes: list[str] = []
        self._lines = list(self._read_lines(reply))
        self._cards = list(self._read_cards(reply))
        self._templates = [self._template(reply.template, reply)] if reply.template else []

    def apart(self) -> list[Draft]:
        """Every card as a message of its own."""
        cards = [draft for card in self._cards for draft in card.drafts]
        return noted([*self._templates, *self._texts(self._lines), *cards], self._notes)

    def together(self) -> list[Draft]:
        """Cards that can be read as text go into the text."""
        lines = [*self._lines, *(card.text for card in self._cards if card.text is not None)]
        notes = [*self._notes, "cards merged into the text, to save messages"]
        cards = [draft for card in self._cards if card.text is None for draft in card.drafts]
        return noted([*self._templates, *self._texts(lines), *cards], notes)

    def _read_lines(self, reply: Reply) -> Iterator[str]:
        if reply.subject:
            self._notes.append("subject left out: this channel has none")
        if reply.text and reply.text.strip():
            yield clean(reply.text)
        elif reply.html:
            self._notes.append("html sent as text")
            yield from filter(None, [clean(text_of_html(reply.html))])
        if reply.location:
            self._notes.append("location sent as text: this channel cannot send one")
            yield place_line(reply.location)

    def _read_cards(self, reply: Reply) -> Iterator[_Card]:
        names = (f"media_id_{number}" if number > 1 else "media_id" for number in range(1, 1000))
        for attachment, name in zip(reply.attachments, names, strict=False):
            yield from self._attachment(attachment, name)
        if reply.link:
            yield self._link(reply.link)
        if reply.menu:
            yield self._menu(reply.menu)

    def _draft(self, call: Call, **rest: Any) -> Draft:
        return Draft(
            method=call.method,
            url=call.url(self._base),
            headers=_JSON if call.json else {},
            json=call.json,
            **rest,
        )

    def _texts(self, lines: Sequence[str]) -> list[Draft]:
        send = catalogue().message.send_text
        return [
            self._draft(send(self._to, part), text=part)
            for part in text_parts("\n".join(lines), TEXT_LIMIT)
        ]

    def _attachment(self, attachment: ReplyAttachment, name: str) -> Iterator[_Card]:
        mime_type = type_of(attachment)
        kind, ending = _MEDIA_TYPES.get(mime_type, (None, ""))
        size = attachment.size_bytes or len(attachment.content or b"")
        if kind is None or size > MEDIA_LIMITS[kind]:
            self._lines.append(self._as_link(attachment, mime_type, size))
        else:
            upload = self._upload(attachment, kind, mime_type, ending, name)
            send = getattr(catalogue().message, f"send_{kind}")
            yield _Card((upload, self._draft(send(self._to, f"{{{{{name}}}}}"))))

    def _as_link(self, attachment: ReplyAttachment, mime_type: str, size: int) -> str:
        what = attachment.filename or attachment.kind
        if not attachment.url:
            raise Unsupported(
                f"{what} ({mime_type or 'unknown type'}, {size} bytes) cannot be sent here: "
                "PNG, JPEG or GIF up to 10 MB, AMR or MP3 up to 2 MB, MP4 up to 10 MB"
            )
        self._notes.append(f"{what} sent as a link: this channel cannot send it")
        return f"{what}: {attachment.url}"

    def _upload(
        self, attachment: ReplyAttachment, kind: str, mime_type: str, ending: str, name: str
    ) -> Draft:
        call = catalogue().media.upload(kind, None)
        filename = attachment.filename or ""
        if not _SAFE_NAME.fullmatch(filename) or not filename.lower().endswith(ending):
            filename = f"{kind}{ending}"
        return Draft(
            method=call.method,
            url=call.url(self._base),
            role="prepare",
            cost=0,
            form={"media": {"filename": filename, "content_type": mime_type}},
            result=name,
            fingerprint=fingerprint(f"{kind}:{name}", attachment),
            fresh_for_s=_MEDIA_FRESH_S,
            extra={"attachment": kept(attachment)},
        )

    def _link(self, link: Link) -> _Card:
        article = {
            "title": link.title or link.url,
            "description": link.description or "",
            "url": link.url,
            "picurl": link.image_url or "",
        }
        text = f"{link.title}\n{link.url}" if link.title else link.url
        return _Card((self._draft(catalogue().message.send_articles(self._to, [article])),), text)

    def _menu(self, menu: Menu) -> _Card:
        body = {
            "head_content": menu.title,
            "list": [{"id": one.id, "content": one.label} for one in menu.choices],
            "tail_content": menu.footer or "",
        }
        draft = self._draft(catalogue().message.send_msg_menu(self._to, body))
        return _Card((draft,), _menu_as_text(menu))

    def _template(self, template: Template, reply: Reply) -> Draft:
        """Outside the window too; the platform drops repeats of one ``client_msg_id`` in 10 min."""
        data = {name: _template_value(value) for name, value in template.params.items()}
        call = catalogue().message.send_template(self._to, template.id, data)
        if reply.message_id:
            call.json["client_msg_id"] = reply.message_id[:32]
        return self._draft(call, cost=0)


def _template_value(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"value": str(value)}


def _menu_as_text(menu: Menu) -> str:
    """The menu inside a text: each choice is a link that answers like a menu item."""
    lines = [menu.title, *(_choice_link(one.id, one.label) for one in menu.choices)]
    return "\n".join([*lines, *filter(None, [menu.footer])])


def _choice_link(choice_id: str, label: str) -> str:
    shown, meant = (re.sub(r'["<>&]', " ", text) for text in (label, choice_id))
    return f'<a href="weixin://bizmsgmenu?msgmenucontent={shown}&msgmenuid={meant}">{shown}</a>'
