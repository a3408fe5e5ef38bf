"""The content of a OneBot message: segments, or the CQ string that says the same.

Sources: https://github.com/botuniverse/onebot-11 (message/string.md, message/array.md,
message/segment.md); further segments as NapCat sends them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from hub.model import Attachment, Location, MessageKind
from hub.text import clean, single_line
from normalizers._json_fields import read_object

__all__ = ["Content", "escape_text", "read_content", "segments_of"]

Data = Mapping[str, Any]
Segment = Mapping[str, Any]

_CODE = re.compile(r"\[CQ:([A-Za-z0-9_.-]+)((?:,[^\[\],]*)*)\]")
_MAX_SEGMENTS = 1000
_MAX_FILES = 50
_LARGEST_SIZE = (1 << 63) - 1


# --- CQ strings -------------------------------------------------------------------------------------


def escape_text(text: str) -> str:
    """*text* as it stands in a CQ string outside of codes."""
    return text.replace("&", "&amp;").replace("[", "&#91;").replace("]", "&#93;")


def _unescaped(text: str) -> str:
    """The ampersand last: ``&amp;#91;`` is the text ``&#91;``."""
    for code, sign in (("&#44;", ","), ("&#91;", "["), ("&#93;", "]"), ("&amp;", "&")):
        text = text.replace(code, sign)
    return text


def _from_string(text: str) -> Iterable[Segment]:
    place = 0
    for code in _CODE.finditer(text):
        if before := text[place : code.start()]:
            yield _plain(_unescaped(before))
        pairs = (pair.partition("=") for pair in code[2].split(",")[1:])
        yield {"type": code[1], "data": {name: _unescaped(value) for name, _, value in pairs}}
        place = code.end()
    if rest := text[place:]:
        yield _plain(_unescaped(rest))


def _plain(text: str) -> Segment:
    return {"type": "text", "data": {"text": text}}


def segments_of(message: Any) -> list[Segment]:
    """*message* as segments; it comes as an array, one segment, or a CQ string."""
    if isinstance(message, str):
        found: Iterable[Any] = _from_string(message)
    else:
        found = message if isinstance(message, list) else [message]
    segments = []
    for one in found:
        if isinstance(one, str):
            segments.append(_plain(one))
        elif isinstance(one, dict) and isinstance(one.get("type"), str):
            data = one.get("data")
            segments.append({"type": one["type"], "data": data if isinstance(data, dict) else {}})
        if len(segments) == _MAX_SEGMENTS:
            break
    return segments


# --- what they say ----------------------------------------------------------------------------------


class Content(NamedTuple):
    """What a message says; *mentions* are numbers, ``all`` among them."""

    kind: MessageKind
    text: str
    attachments: tuple[Attachment, ...]
    location: Location | None
    in_reply_to: str | None
    mentions: tuple[str, ...]


class _Part(NamedTuple):
    """What one segment adds; *kind* None is only a mark beside something else."""

    text: str = ""
    kind: MessageKind | None = None
    attachment: Attachment | None = None
    location: Location | None = None


def _value(data: Data, name: str) -> str:
    value = data.get(name)
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return clean(str(value)) if plain else ""


def _text(data: Data) -> _Part:
    said = _value(data, "text")
    return _Part(said, "text" if said.strip() else None)


def _markdown(data: Data) -> _Part:
    return _Part(_value(data, "content"), "text")


def _at(data: Data) -> _Part:
    name = _value(data, "name").lstrip("@") or _value(data, "qq")
    return _Part(f"@{single_line(name, 60)}")


def _face(data: Data) -> _Part:
    raw = data.get("raw")
    name = _value(raw, "faceText").strip("/[] ") if isinstance(raw, dict) else ""
    return _Part(f"[{single_line(name, 40) or 'face ' + _value(data, 'id')[:20]}]", "text")


def _file(kind: Any, label: str) -> Callable[[Data], _Part]:
    """A file: *kind* is ours, *label* stands where no name does."""

    def part(data: Data) -> _Part:
        name = single_line(_value(data, "name") or _value(data, "file_name"), 200)
        named = kind == "file" and (name or single_line(_value(data, "file"), 200))
        size = _value(data, "file_size") or _value(data, "size")
        source = {key: _value(data, key)[:4000] for key in ("file", "file_id", "url", "busid")}
        attachment = Attachment(
            kind=kind,
            filename=named or name or None,
            size_bytes=_size(size),
            source={key: value for key, value in source.items() if value},
        )
        return _Part(f"[{label}] {named}" if named else f"[{label}]", kind, attachment)

    return part


def _size(text: str) -> int | None:
    whole = text.isascii() and text.isdigit() and len(text) < 19
    return int(text) if whole and int(text) <= _LARGEST_SIZE else None


def _location(data: Data) -> _Part:
    label = single_line(" ".join(filter(None, (_value(data, "title"), _value(data, "content")))))
    try:
        latitude, longitude = float(_value(data, "lat")), float(_value(data, "lon"))
    except ValueError:
        return _Part("[location that cannot be read]", "unsupported")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return _Part("[location that cannot be read]", "unsupported")
    place = f"{latitude},{longitude}"
    text = f"[location] {label}, {place}" if label else f"[location] {place}"
    return _Part(text, "location", location=Location(latitude, longitude, label or None))


def _card(label: str, kind: MessageKind, *names: str) -> Callable[[Data], _Part]:
    def part(data: Data) -> _Part:
        said = (single_line(_value(data, name), 500) for name in names)
        return _Part(" ".join(filter(None, (f"[{label}]", *said))), kind)

    return part


def _json_card(data: Data) -> _Part:
    """A card of QQ (a shared page, a mini program): ``prompt`` is how QQ itself tells of it."""
    inside = data.get("data")
    found = read_object(inside.encode()) if isinstance(inside, str) else inside
    fields = found if isinstance(found, dict) else {}
    said = single_line(_value(fields, "prompt") or _value(fields, "desc"), 500)
    return _Part(f"[card] {said}".rstrip(), "card")


_PARTS: Mapping[str, Callable[[Data], _Part]] = {
    "text": _text,
    "markdown": _markdown,
    "at": _at,
    "face": _face,
    "image": _file("image", "image"),
    "mface": _file("sticker", "sticker"),
    "record": _file("voice", "voice"),
    "video": _file("video", "video"),
    "file": _file("file", "file"),
    "location": _location,
    "share": _card("link", "link", "title", "url"),
    "music": _card("music", "link", "title", "url"),
    "contact": _card("contact", "card", "type", "id"),
    "json": _json_card,
    "xml": _card("card", "card"),
    "forward": _card("forwarded messages", "card"),
    "node": _card("forwarded messages", "card"),
    "rps": _card("rock paper scissors", "sticker", "result"),
    "dice": _card("dice", "sticker", "result"),
    "shake": _card("window shake", "sticker"),
    "poke": _card("poke", "sticker", "name"),
}
_SILENT = frozenset({"reply", "anonymous"})


def _unknown(segment: Segment) -> _Part:
    return _Part(f"[{single_line(segment['type'], 60)}]", "unsupported")


def read_content(segments: Iterable[Segment], self_id: str) -> Content:
    """What *segments* say; a mention of *self_id* is a mention, and no part of the text."""
    texts: list[str] = []
    parts: list[_Part] = []
    mentions: list[str] = []
    in_reply_to = None
    for one in segments:
        kind, data = one["type"], one["data"]
        if kind == "reply":
            in_reply_to = in_reply_to or _value(data, "id").strip()[:60] or None
        if kind == "at":
            mentions.append(_value(data, "qq").strip()[:60])
        if kind in _SILENT or (kind == "at" and mentions[-1] == self_id):
            continue
        part = _PARTS[kind](data) if kind in _PARTS else _unknown(one)
        parts.append(part)
        texts.append(part.text)
    return Content(
        _kind_of(parts),
        _joined(texts),
        tuple(one.attachment for one in parts if one.attachment)[:_MAX_FILES],
        next((one.location for one in parts if one.location), None),
        in_reply_to,
        tuple(mentions),
    )


def _kind_of(parts: Iterable[_Part]) -> MessageKind:
    """Text where there is any, else what comes first; what we do not know counts last."""
    kinds = [one.kind for one in parts if one.kind]
    if "text" in kinds or not kinds:
        return "text"
    return next((one for one in kinds if one != "unsupported"), "unsupported")


def _joined(texts: Iterable[str]) -> str:
    return "".join(texts).strip() or "[empty message]"
