"""What the platform accepts as a message of customer service, and how the phone shows it.

Source: https://developer.work.weixin.qq.com/document/path/94670
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.wechat.errors import PlatformError
from sandbox.wechat.media import MediaStore
from sandbox.wecom.calls import required

MAX_TEXT_BYTES = 2048
MAX_MENU_ITEMS = 10
_MSGID = re.compile(r"[0-9A-Za-z_-]{1,32}")


@dataclass(frozen=True, slots=True)
class Shown:
    """How an accepted message looks on the phone."""

    kind: str
    text: str
    choices: tuple[tuple[str, str], ...] = ()
    media_id: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def more(self) -> dict[str, Any]:
        """The rest of the bubble."""
        return {"media_url": self.media_id, "choices": self.choices, "details": dict(self.details)}


def checked_id(asked: Mapping[str, Any]) -> str | None:
    """The caller's own id of the message.

    Raises:
        PlatformError: 40058, it is longer than 32 or has other letters.
    """
    msgid = asked.get("msgid")
    if msgid is None or msgid == "":
        return None
    if not isinstance(msgid, str) or not _MSGID.fullmatch(msgid):
        raise PlatformError(40058, "msgid exceed max length 32")
    return msgid


def check_message(
    asked: Mapping[str, Any], media: MediaStore, kinds: frozenset[str] | None = None
) -> Shown:
    """How the message would look; *kinds* are those that are allowed here (None: all).

    Raises:
        PlatformError: the code that the platform gives for the fault.
    """
    kind = asked.get("msgtype")
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None or (kinds is not None and kind not in kinds):
        raise PlatformError(40008)
    content = asked.get(str(kind))
    if not isinstance(content, dict):
        raise PlatformError(47001, f"no object under {kind}")
    return check(content, media)


def _text(content: Mapping[str, Any], media: MediaStore) -> Shown:
    said = content.get("content")
    if not isinstance(said, str) or not said:
        raise PlatformError(44004)
    if len(said.encode()) > MAX_TEXT_BYTES:
        raise PlatformError(45002)
    return Shown("text", said)


def _file(kind: str) -> Callable[[Mapping[str, Any], MediaStore], Shown]:
    def check(content: Mapping[str, Any], media: MediaStore) -> Shown:
        found = media.get(content.get("media_id"), kind)
        return Shown(kind, f"[{kind}] {found.filename}", media_id=found.media_id)

    return check


def _link(content: Mapping[str, Any], media: MediaStore) -> Shown:
    """The picture is required."""
    media.get(content.get("thumb_media_id"), "image")
    if len(str(content.get("desc") or "").encode()) > 512:
        raise PlatformError(40058, "desc exceed max length 512")
    title, url = required(content, "title", 128), required(content, "url", 2048)
    return Shown("link", f"{title} {url}", details={"description": str(content.get("desc") or "")})


def _mini_program(content: Mapping[str, Any], media: MediaStore) -> Shown:
    media.get(content.get("thumb_media_id"), "image")
    required(content, "appid")
    required(content, "pagepath")
    return Shown("miniprogram", str(content.get("title") or "[mini program]"))


def _location(content: Mapping[str, Any], media: MediaStore) -> Shown:
    for name in ("latitude", "longitude"):
        if not isinstance(content.get(name), int | float):
            raise PlatformError(40058, f"miss {name}")
    place = f"{content['latitude']},{content['longitude']}"
    return Shown("location", f"{content.get('name') or ''} {place}".strip())


def _menu(content: Mapping[str, Any], media: MediaStore) -> Shown:
    """Each item stands under the name of its own type."""
    items = content.get("list") or []
    if not isinstance(items, list):
        raise PlatformError(40058, "list")
    if len(items) > MAX_MENU_ITEMS:
        raise PlatformError(95008)
    choices = tuple(_menu_item(one) for one in items if isinstance(one, dict))
    if len(choices) != len(items):
        raise PlatformError(40058, "list")
    head = content.get("head_content") or ""
    if not isinstance(head, str) or len(head.encode()) > 1024:
        raise PlatformError(40058, "head_content")
    tail = content.get("tail_content") or ""
    if not isinstance(tail, str) or len(tail.encode()) > 1024:
        raise PlatformError(40058, "tail_content")
    return Shown("msgmenu", head, choices, details={"footer": tail})


def _menu_item(item: Mapping[str, Any]) -> tuple[str, str]:
    kind = item.get("type")
    inside = item.get(kind) if isinstance(kind, str) else None
    if kind not in ("click", "view", "miniprogram", "text"):
        raise PlatformError(95009)
    if not isinstance(inside, dict):
        raise PlatformError(40058, f"miss {kind}")
    own = required(inside, "id", 128) if kind == "click" else ""
    return own, required(inside, "content", 128 if kind == "click" else 256)


_CHECKS: dict[str, Callable[[Mapping[str, Any], MediaStore], Shown]] = {
    "text": _text,
    "image": _file("image"),
    "voice": _file("voice"),
    "video": _file("video"),
    "file": _file("file"),
    "link": _link,
    "miniprogram": _mini_program,
    "location": _location,
    "msgmenu": _menu,
}
