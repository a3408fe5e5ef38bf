"""What the messages of QQ say: text with its tags, files, cards, quotes.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/event.html (people and
groups), …/message/template/model.html (guilds)
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hub.model import Attachment, MessageKind
from normalizers._qq_event import inside
from normalizers._wechat_fields import integer, listed, text_of

__all__ = ["Content", "addresses_bot", "content_of", "quoted_by", "scene_entry"]

Fields = Mapping[str, Any]

_TEXT, _CARD, _PARALLEL, _RECORD, _QUOTE = "0", "3", "101", "102", "103"
_GUILD = ("channel", "dm")
_MAX_ELEMENTS = 50
_FACE = re.compile(r"<faceType=\d{1,3},faceId=\"[^\"]{0,32}\",ext=\"([^\"]{0,4096})\">")
_EMOJI = re.compile(r"<emoji:(\w{1,32})>")
_MENTION = re.compile(r"<@!?([0-9A-Za-z_-]{1,64})>")
_CHANNEL = re.compile(r"<#(\w{1,32})>")
_KINDS: tuple[tuple[str, str], ...] = (
    ("image/", "image"),
    ("video/", "video"),
    ("voice", "voice"),
    ("audio/", "voice"),
)


class Content(NamedTuple):
    """What kind of message it is and what it says."""

    kind: MessageKind
    text: str
    attachments: tuple[Attachment, ...] = ()


def content_of(scene: str, data: Fields) -> Content:
    """What the message *data*, said in *scene*, says."""
    said = _readable(text_of(data, "content"), scene, data)
    files = tuple(_files(data))
    kind = text_of(data, "message_type").strip() or _TEXT
    if kind == _CARD:
        return Content("card", _card(data) or said or "[card]", files)
    if kind == _RECORD:
        lines = [said, *(_element(one) for one in _elements(data))]
        return Content("card", "\n".join(["[chat record]", *filter(None, lines)]), files)
    if files:
        heard = next((text for one in _raw_files(data) if (text := _heard(one))), "")
        labels = " ".join(_label(one) for one in files)
        return Content(files[0].kind, said or heard or labels, files)
    if said:
        return Content("text", said)
    if kind in (_TEXT, _QUOTE, _PARALLEL):
        quoted = " ".join(filter(None, map(_element, _elements(data))))
        return Content("text", f"[quote] {quoted}" if quoted else "[empty message]")
    return Content("unsupported", f"[unsupported message: type {kind[:20]}]")


# --- text -------------------------------------------------------------------------------------------


def _readable(text: str, scene: str, data: Fields) -> str:
    """*text* as a person reads it: tags become words; the bot's own mention leaves blanks behind."""
    names = {own: name for own, name, _ in _mentions(data)}
    mine = {own for own, _, is_bot in _mentions(data) if is_bot}

    def mention(found: re.Match[str]) -> str:
        return "" if found[1] in mine else f"@{names.get(found[1]) or found[1]}"

    text = _FACE.sub(lambda found: _face(found[1]), text)
    text = _EMOJI.sub(r"[emoji \1]", text)
    text = _MENTION.sub(mention, text)
    text = _CHANNEL.sub(r"#\1", text)
    if scene in _GUILD:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return text.strip()


def _face(sealed: str) -> str:
    """A face says what it is in its ``ext``: base64 of ``{"text": "[开心]"}``."""
    try:
        told = msgspec.json.decode(b64decode(sealed, validate=True))
        text = told.get("text") if isinstance(told, dict) else None
    except (ValueError, binascii.Error, RecursionError):
        text = None
    if not isinstance(text, str) or not text.strip():
        return "[face]"
    text = text.strip()[:50]
    return text if text.startswith("[") else f"[{text}]"


def _mentions(data: Fields) -> Iterator[tuple[str, str, bool]]:
    """Whom it mentions: id, name, and whether that is the bot itself."""
    for one in listed(data.get("mentions"))[:_MAX_ELEMENTS]:
        if isinstance(one, dict):
            own = text_of(one, "member_openid") or text_of(one, "id")
            is_you = one.get("is_you", one.get("bot"))  # guilds say only that it is a bot
            yield own, text_of(one, "username"), is_you is True


def addresses_bot(kind: str, data: Fields) -> bool:
    """Whether the message *kind* speaks to the bot: alone with it, or by a mention."""
    if kind in ("GROUP_MESSAGE_CREATE", "MESSAGE_CREATE"):
        return any(is_bot for _, _, is_bot in _mentions(data))
    return True


# --- files ------------------------------------------------------------------------------------------


def _raw_files(data: Fields) -> Sequence[Fields]:
    found = [one for one in listed(data.get("attachments")) if isinstance(one, dict)]
    return found[:_MAX_ELEMENTS]


def _files(data: Fields) -> Iterator[Attachment]:
    for one in _raw_files(data):
        mime_type = text_of(one, "content_type").strip().lower()
        kind: Any = next((kind for start, kind in _KINDS if mime_type.startswith(start)), "file")
        source = {"url": _address(text_of(one, "url"))}
        if voice := text_of(one, "voice_wav_url"):
            source["voice_wav_url"] = _address(voice)
        yield Attachment(
            kind=kind,
            mime_type=mime_type if "/" in mime_type else None,
            filename=text_of(one, "filename").strip()[:200] or None,
            size_bytes=integer(text_of(one, "size")),
            source=source,
        )


def _address(url: str) -> str:
    """Guilds give addresses without a scheme."""
    url = url.strip()
    return f"https://{url.lstrip('/')}" if url and "://" not in url else url


def _heard(file: Fields) -> str:
    """What the platform understood of a voice message."""
    return text_of(file, "asr_refer_text").strip()


def _label(file: Attachment) -> str:
    named = file.kind == "file" and file.filename
    return f"[{file.kind}] {file.filename}" if named else f"[{file.kind}]"


# --- cards and quotes -------------------------------------------------------------------------------


def _card(data: Fields) -> str:
    card = inside(data, "ark_data")
    told = text_of(card, "prompt").strip() or text_of(card, "ark_name").strip()
    return f"[card] {told}" if told else ""


def _elements(data: Fields) -> Sequence[Fields]:
    found = [one for one in listed(data.get("msg_elements")) if isinstance(one, dict)]
    return found[:_MAX_ELEMENTS]


def _element(element: Fields) -> str:
    content = _readable(text_of(element, "content"), "", element)
    files = " ".join(_label(one) for one in _files(element))
    return " ".join(filter(None, (content, files)))


def quoted_by(data: Fields) -> str | None:
    """The id of the message that *data* quotes."""
    reference = text_of(inside(data, "message_reference"), "message_id").strip()
    return (reference or scene_entry(data, "ref_msg_idx"))[:200] or None


def scene_entry(data: Fields, name: str) -> str:
    """One of the ``k=v`` lines of ``message_scene.ext``, which come in any order."""
    for entry in listed(inside(data, "message_scene").get("ext")):
        key, _, value = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        if key == name:
            return value.strip()
    return ""
