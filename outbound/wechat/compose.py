"""From a reply to the calls that say it. Pure.

Sources: https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Messages.html
and …/doc/subscription/guide/product/kf/intro.md (how often, how long)
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub.errors import Unsupported, WindowClosed
from hub.model import Draft, Link, Menu, MiniProgram, Reply, ReplyAttachment, Template
from hub.text import clean
from outbound._plain import text_of_html
from outbound._wechat_parts import budget, fingerprint, kept, noted, place_line, text_parts, type_of
from outbound.wechat.api import Call, catalogue

__all__ = [
    "MEDIA_LIMITS",
    "TEMPLATE_CHARACTERS",
    "TEXT_LIMIT",
    "Card",
    "Composer",
    "Ways",
    "article_of",
    "budget",
    "compose",
    "menu_as_text",
]

TEXT_LIMIT = 2048
TEMPLATE_CHARACTERS = 20
"""Since 2023-05 the platform cuts each field of a template there, without an error."""

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
_MARKUP = re.compile(r'["<>&]')

# How many characters a field of a subscribe message takes, by the kind that its name begins with.
_SUBSCRIPTION_FIELDS: Mapping[str, int] = {
    "thing": 20,
    "number": 32,
    "letter": 32,
    "symbol": 5,
    "character_string": 32,
    "phone_number": 17,
    "car_number": 8,
    "name": 20,
    "phrase": 5,
}


class Ways(NamedTuple):
    """What composing must know of the account; *subscriptions* are ids of subscribe messages' templates.

    *grants* leads from such an id to the allowance that the customer has given for it.
    """

    api_base: str
    app_id: str
    subscriptions: Collection[str] = ()
    grants: Mapping[str, str] = {}


class Card(NamedTuple):
    """Something that is a message of its own, and how it reads inside a text (None: it cannot)."""

    drafts: tuple[Draft, ...]
    text: str | None = None


def compose(reply: Reply, allowed: int | None, ways: Ways) -> Sequence[Draft]:
    """The calls that say *reply* in at most *allowed* messages; merged where that saves some.

    Raises:
        WindowClosed: it takes more messages than the platform allows now.
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    made = Composer(reply, ways)
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
    """How many messages count: not those that speak under an allowance of their own."""
    return sum(draft.cost for draft in drafts if draft.allowance is None)


class Composer:
    """Takes one reply apart; what it had to change stands in *notes*."""

    def __init__(self, reply: Reply, ways: Ways) -> None:
        self._to = reply.to.value
        self._ways = ways
        self.notes: list[str] = []
        self.lines = list(self._read_lines(reply))
        self.cards = list(self._read_cards(reply))
        self._templates = list(self._read_template(reply))

    def apart(self) -> list[Draft]:
        """Every card as a message of its own."""
        cards = [draft for card in self.cards for draft in card.drafts]
        return noted([*self._templates, *self._texts(self.lines), *cards], self.notes)

    def together(self) -> list[Draft]:
        """Cards that can be read as text go into the text."""
        lines = [*self.lines, *(card.text for card in self.cards if card.text is not None)]
        notes = [*self.notes, "cards merged into the text, to save messages"]
        cards = [draft for card in self.cards if card.text is None for draft in card.drafts]
        return noted([*self._templates, *self._texts(lines), *cards], notes)

    # -- how things are said -----------------------------------------------------------------------

    def say_text(self, part: str) -> Draft:
        """A text of at most 2048 bytes."""
        return self._draft(catalogue().message.send_text(self._to, part), text=part)

    def say_file(self, kind: str, name: str) -> Draft:
        """The file whose upload has the result *name*."""
        send = getattr(catalogue().message, f"send_{kind}")
        return self._draft(send(self._to, f"{{{{{name}}}}}"))

    def link(self, link: Link) -> Iterator[Card]:
        """A card; one that leads into a mini program needs a picture, else it is a line of text."""
        if link.mini_program is None:
            call = catalogue().message.send_articles(self._to, [article_of(link)])
            text = f"{link.title}\n{link.url}" if link.title else link.url
            yield Card((self._draft(call),), text)
        elif not link.image_url:
            self.notes.append("mini program sent as a link in the text: its card needs a picture")
            self.lines.append(self.mini_program_line(link, link.mini_program))
        else:
            yield self._mini_program(link, link.mini_program, link.image_url)

    def menu(self, menu: Menu) -> Iterator[Card]:
        """A menu; a tap on it comes back as a text with the choice's id."""
        body = {
            "head_content": menu.title,
            "list": [{"id": one.id, "content": one.label} for one in menu.choices],
            "tail_content": menu.footer or "",
        }
        draft = self._draft(catalogue().message.send_msg_menu(self._to, body))
        yield Card((draft,), menu_as_text(menu))

    def mini_program_line(self, link: Link, opens: MiniProgram) -> str:
        """A link in a text that opens the mini program, or the address where it cannot."""
        shown = _inert(link.title or link.url)
        facts = {
            "href": link.url,
            "data-miniprogram-appid": opens.app_id,
            "data-miniprogram-path": opens.path,
        }
        attributes = " ".join(f'{name}="{_inert(value)}"' for name, value in facts.items())
        return f"<a {attributes}>{shown}</a>"

    # -- what there is to say ----------------------------------------------------------------------

    def _read_lines(self, reply: Reply) -> Iterator[str]:
        if reply.subject:
            self.notes.append("subject left out: this channel has none")
        if reply.text and reply.text.strip():
            yield clean(reply.text)
        elif reply.html:
            self.notes.append("html sent as text")
            yield from filter(None, [clean(text_of_html(reply.html))])
        if reply.location:
            self.notes.append("location sent as text: this channel cannot send one")
            yield place_line(reply.location)

    def _read_cards(self, reply: Reply) -> Iterator[Card]:
        names = (f"media_id_{number}" if number > 1 else "media_id" for number in range(1, 1000))
        for attachment, name in zip(reply.attachments, names, strict=False):
            yield from self._attachment(attachment, name)
        if reply.link:
            yield from self.link(reply.link)
        if reply.menu:
            yield from self.menu(reply.menu)

    def _draft(self, call: Call, **rest: Any) -> Draft:
        return Draft(
            method=call.method,
            url=call.url(self._ways.api_base),
            headers=_JSON if call.json else {},
            json=call.json,
            **rest,
        )

    def _texts(self, lines: Sequence[str]) -> list[Draft]:
        return [self.say_text(part) for part in text_parts("\n".join(lines), TEXT_LIMIT)]

    def _attachment(self, attachment: ReplyAttachment, name: str) -> Iterator[Card]:
        mime_type = type_of(attachment)
        kind, ending = _MEDIA_TYPES.get(mime_type, (None, ""))
        size = attachment.size_bytes or len(attachment.content or b"")
        if kind is None or size > MEDIA_LIMITS[kind]:
            self.lines.append(self._as_link(attachment, mime_type, size))
        else:
            upload = self._upload(attachment, kind, mime_type, ending, name)
            yield Card((upload, self.say_file(kind, name)))

    def _as_link(self, attachment: ReplyAttachment, mime_type: str, size: int) -> str:
        what = attachment.filename or attachment.kind
        if not attachment.url:
            raise Unsupported(
                f"{what} ({mime_type or 'unknown type'}, {size} bytes) cannot be sent here: "
                "PNG, JPEG or GIF up to 10 MB, AMR or MP3 up to 2 MB, MP4 up to 10 MB"
            )
        self.notes.append(f"{what} sent as a link: this channel cannot send it")
        return f"{what}: {attachment.url}"

    def _upload(
        self, attachment: ReplyAttachment, kind: str, mime_type: str, ending: str, name: str
    ) -> Draft:
        """An upload; its result can be used again for 3 days, by the same account only."""
        call = catalogue().media.upload(kind, None)
        filename = attachment.filename or ""
        if not _SAFE_NAME.fullmatch(filename) or not filename.lower().endswith(ending):
            filename = f"{kind}{ending}"
        return Draft(
            method=call.method,
            url=call.url(self._ways.api_base),
            role="prepare",
            cost=0,
            form={"media": {"filename": filename, "content_type": mime_type}},
            result=name,
            fingerprint=fingerprint(f"{self._ways.app_id}:{kind}:{name}", attachment),
            fresh_for_s=_MEDIA_FRESH_S,
            extra={"attachment": kept(attachment)},
        )

    def _mini_program(self, link: Link, opens: MiniProgram, image_url: str) -> Card:
        name = "thumb_media_id"
        picture = ReplyAttachment(kind="image", filename="thumb.jpg", url=image_url)
        page = {
            "title": link.title or link.url,
            "appid": opens.app_id,
            "pagepath": opens.path,
            "thumb_media_id": f"{{{{{name}}}}}",
        }
        call = catalogue().message.send_mini_program_page(self._to, page)
        upload = self._upload(picture, "image", "image/jpeg", ".jpg", name)
        return Card((upload, self._draft(call)), self.mini_program_line(link, opens))

    def _read_template(self, reply: Reply) -> Iterator[Draft]:
        if reply.template is None:
            return
        if reply.template.id in self._ways.subscriptions:
            yield self._subscription(reply.template)
        else:
            yield self._template(reply.template, reply)

    def _template(self, template: Template, reply: Reply) -> Draft:
        """Outside the window too; the platform drops repeats of one ``client_msg_id`` in 10 min."""
        shown = {name: _template_text(value) for name, value in template.params.items()}
        if any(len(text) > TEMPLATE_CHARACTERS or "\n" in text for text in shown.values()):
            self.notes.append(
                f"the platform cuts a field of a template at a line end or {TEMPLATE_CHARACTERS} characters"
            )
        data = {name: _template_value(value) for name, value in template.params.items()}
        call = catalogue().message.send_template(self._to, template.id, data)
        call.json.update(_opens(template))
        if template.url:
            call.json["url"] = template.url
        if reply.message_id:
            call.json["client_msg_id"] = reply.message_id[:32]
        return self._draft(call, cost=0)

    def _subscription(self, template: Template) -> Draft:
        """A subscribe message (订阅通知), for which the customer has given a grant, each for one."""
        for name, value in template.params.items():
            _check_field(name, _template_text(value))
        body = {
            "touser": self._to,
            "template_id": template.id,
            "data": {name: _template_value(value) for name, value in template.params.items()},
            **({"page": template.url} if template.url else {}),
            **_opens(template),
        }
        grant = self._ways.grants.get(template.id)
        call = Call("POST", "message/subscribe/bizsend", {}, body)
        return self._draft(call, cost=1 if grant else 0, allowance=grant)


def article_of(link: Link) -> dict[str, str]:
    """A link as an article of one card."""
    return {
        "title": link.title or link.url,
        "description": link.description or "",
        "url": link.url,
        "picurl": link.image_url or "",
    }


def _opens(template: Template) -> Mapping[str, Any]:
    """Where a tap on a template leads, when it leads into a mini program."""
    opens = template.mini_program
    return {"miniprogram": {"appid": opens.app_id, "pagepath": opens.path}} if opens else {}


def _template_value(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"value": str(value)}


def _template_text(value: Any) -> str:
    return str(_template_value(value).get("value", ""))


def _check_field(name: str, text: str) -> None:
    """Refuse early what the platform would refuse with 47003, which names no field."""
    kind = name.rstrip("0123456789")
    most = _SUBSCRIPTION_FIELDS.get(kind)
    if most is not None and len(text) > most:
        raise Unsupported(f"{name} has {len(text)} characters; a field of that kind takes {most}")


def menu_as_text(menu: Menu) -> str:
    """The menu inside a text: each choice is a link that answers like a menu item."""
    lines = [menu.title, *(_choice_link(one.id, one.label) for one in menu.choices)]
    return "\n".join([*lines, *filter(None, [menu.footer])])


def _choice_link(choice_id: str, label: str) -> str:
    shown, meant = _inert(label), _inert(choice_id)
    return f'<a href="weixin://bizmsgmenu?msgmenucontent={shown}&msgmenuid={meant}">{shown}</a>'


def _inert(text: str) -> str:
    """*text* without what would end an attribute or a link."""
    return _MARKUP.sub(" ", text)
