"""What the platform accepts as a message, and how the phone shows it.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/send.html,
…/message/trans/msg-btn.html
"""

from dataclasses import dataclass, field
from typing import Any

from sandbox.qq.errors import Refused
from sandbox.qq.files import Files

__all__ = ["Shown", "check"]

MAX_TEXT = 4000
MAX_ROWS = MAX_BUTTONS = 5
MAX_LABEL = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """How an accepted message looks."""

    kind: str
    text: str
    more: dict[str, Any] = field(default_factory=dict)


def check(place: str, asked: dict[str, Any], files: Files) -> Shown:
    """How *asked* would look in *place*.

    Raises:
        Refused: the code that the platform gives for the fault.
    """
    if place.startswith(("channel:", "dm:")):
        return _guild(asked)
    kind = asked.get("msg_type", 0)
    if kind == 0:
        return Shown("text", _text(asked.get("content")))
    if kind == 2:
        return _markdown(asked)
    if kind == 7:
        media = asked.get("media")
        info = media.get("file_info") if isinstance(media, dict) else None
        file = files.named(place, info)
        said = str(asked.get("content") or "").strip()
        more = {"media_url": f"/_files/{file.number}"}
        return Shown(file.kind, said or f"[{file.kind}] {file.name}", more)
    raise Refused(340069)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refused(50006)
    if len(value) > MAX_TEXT:
        raise Refused(40054007)
    return value


def _guild(asked: dict[str, Any]) -> Shown:
    if "msg_type" in asked or "media" in asked:
        raise Refused(40011000)
    return _markdown(asked) if "markdown" in asked else Shown("text", _text(asked.get("content")))


def _markdown(asked: dict[str, Any]) -> Shown:
    if asked.get("content"):
        raise Refused(40034008)
    markdown = asked.get("markdown")
    if not isinstance(markdown, dict):
        raise Refused(40034008)
    if markdown.get("custom_template_id"):
        return Shown("text", f"[template {markdown['custom_template_id']}]")
    choices = tuple(_buttons(asked["keyboard"])) if "keyboard" in asked else ()
    return Shown("text", _text(markdown.get("content")), {"choices": choices} if choices else {})


def _buttons(keyboard: Any) -> list[tuple[str, str]]:
    """What can be tapped: (what the button carries, its label)."""
    try:
        rows = keyboard["content"]["rows"]
        found = [
            (str(button["action"]["data"]), str(button["render_data"]["label"]))
            for row in rows
            for button in row["buttons"]
        ]
        fits = len(rows) <= MAX_ROWS and all(len(row["buttons"]) <= MAX_BUTTONS for row in rows)
    except (KeyError, TypeError):
        raise Refused(40034029) from None
    if not found or not fits or any(not 0 < len(label) <= MAX_LABEL for _, label in found):
        raise Refused(40034029)
    return found
