"""What the types of items of WeChat customer service say.

Source: https://developer.work.weixin.qq.com/document/path/94670
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from hub.model import Attachment, Choice, Location, MessageKind
from normalizers._wechat_fields import integer, listed, number, text_of

__all__ = ["Content", "Part", "content_of"]

Fields = Mapping[str, Any]

_MAX_RECORDS = 100


class Content(NamedTuple):
    """What kind of message it is and what it says."""

    kind: MessageKind
    text: str
    attachments: tuple[Attachment, ...] = ()
    location: Location | None = None
    choice: Choice | None = None


class Part(NamedTuple):
    """The part of an item that stands under the name of its type."""

    kind: str
    fields: Fields

    def text(self, name: str) -> str:
        """The field *name* without blanks around it."""
        return text_of(self.fields, name).strip()


def content_of(part: Part) -> Content:
    """What *part* says; a type that is not known is shown as such."""
    return _CONTENTS.get(part.kind, _unknown)(part)


def _text(part: Part) -> Content:
    said = text_of(part.fields, "content")
    tapped = part.text("menu_id")
    if tapped:
        return Content("choice", said or f"[choice] {tapped}", choice=Choice(tapped, said or None))
    return Content("text", said or "[empty message]")


def _unknown(part: Part) -> Content:
    return Content("unsupported", f"[unsupported message: {part.kind[:100] or 'no type'}]")


def _file(kind: Any, mime_type: str | None = None) -> Callable[[Part], Content]:
    def read(part: Part) -> Content:
        source = {"media_id": part.text("media_id")}
        return Content(
            kind, f"[{kind}]", (Attachment(kind=kind, mime_type=mime_type, source=source),)
        )

    return read


def _location(part: Part) -> Content:
    latitude, longitude = number(part.text("latitude")), number(part.text("longitude"))
    if latitude is None or longitude is None:
        return Content("unsupported", "[location that cannot be read]")
    label = " ".join(filter(None, (part.text("name"), part.text("address")))) or None
    place = f"{part.text('latitude')},{part.text('longitude')}"
    text = f"[location] {label}, {place}" if label else f"[location] {place}"
    return Content("location", text, location=Location(latitude, longitude, label))


def _link(part: Part) -> Content:
    parts = ("[link]", part.text("title"), part.text("url"))
    return Content("link", " ".join(part for part in parts if part))


def _card(title: str, *names: str) -> Callable[[Part], Content]:
    """A card that reads as *title* and the fields *names*."""

    def read(part: Part) -> Content:
        return Content("card", " ".join(filter(None, (title, *map(part.text, names)))))

    return read


def _product(part: Part) -> Content:
    """``sales_price`` is in hundredths of a yuan."""
    cents = integer(part.text("sales_price"))
    price = "" if cents is None else f"¥{cents / 100:.2f}"
    parts = ("[product]", part.text("title"), price, part.text("shop_nickname"))
    return Content("card", " ".join(filter(None, parts)))


def _channels(part: Part) -> Content:
    kinds = {"1": "[channels post]", "2": "[channels live]", "3": "[channels card]"}
    parts = (kinds.get(part.text("sub_type"), "[channels]"), part.text("nickname"))
    return Content("card", " ".join(filter(None, (*parts, part.text("title")))))


def _menu(part: Part) -> Content:
    """A menu that a servicer sent: its lines as the customer sees them."""
    lines = [part.text("head_content")]
    for one in listed(part.fields.get("list")):
        inside = one.get(text_of(one, "type")) if isinstance(one, dict) else None
        if isinstance(inside, dict):
            lines.append(f"- {text_of(inside, 'content')}")
    lines.append(part.text("tail_content"))
    return Content("card", "\n".join(filter(None, lines)) or "[menu]")


def _record(part: Part) -> Content:
    """A forwarded chat; each entry is JSON inside a string."""
    lines = [f"[chat record] {part.text('title')}".rstrip()]
    entries = listed(part.fields.get("item"))
    lines += [
        f"{text_of(entry, 'sender_name')}: {_entry_text(entry)}"
        for entry in entries[:_MAX_RECORDS]
        if isinstance(entry, dict)
    ]
    if len(entries) > _MAX_RECORDS:
        lines.append(f"[{len(entries) - _MAX_RECORDS} more]")
    return Content("card", "\n".join(lines))


def _entry_text(entry: Fields) -> str:
    kind = text_of(entry, "msgtype")
    try:
        said = msgspec.json.decode(text_of(entry, "msg_content"))
        content = said[kind]["content"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"[{kind or 'message'}]"
    return content if isinstance(content, str) else f"[{kind}]"


_CONTENTS: Mapping[str, Callable[[Part], Content]] = {
    "text": _text,
    "image": _file("image"),
    "voice": _file("voice", "audio/amr"),
    "video": _file("video", "video/mp4"),
    "file": _file("file"),
    "location": _location,
    "link": _link,
    "business_card": _card("[business card]", "userid"),
    "miniprogram": _card("[mini program]", "title"),
    "msgmenu": _menu,
    "channels_shop_product": _product,
    "channels_shop_order": _card(
        "[order]", "order_id", "product_titles", "price_wording", "state", "shop_nickname"
    ),
    "channels": _channels,
    "merged_msg": _record,
    "note": _card("[note]", "title"),
    "meeting": _card("[meeting]", "title"),
    "schedule": _card("[schedule]", "title"),
}
