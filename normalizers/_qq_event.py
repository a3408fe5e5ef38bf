"""What an event of the QQ bot platform is made of; shared by its door, its gateway and its normalizer.

Source: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from hub.model import InboundEvent
from normalizers._json_fields import read_object
from normalizers._wechat_fields import listed, text_of

__all__ = ["MESSAGES", "Place", "event_of", "inside", "place_of", "read_event", "time_of"]

Fields = Mapping[str, Any]

# Messages, and the scene that they are said in.
MESSAGES: Mapping[str, str] = {
    "C2C_MESSAGE_CREATE": "c2c",
    "GROUP_AT_MESSAGE_CREATE": "group",
    "GROUP_MESSAGE_CREATE": "group",
    "AT_MESSAGE_CREATE": "channel",
    "MESSAGE_CREATE": "channel",
    "DIRECT_MESSAGE_CREATE": "dm",
}
_CHAT_TYPES = {"0": "channel", "1": "group", "2": "c2c"}
_CREDENTIAL = "auth_token="
_HIDDEN = "auth_token=***"
_MAX_ID = 200
_SPOKEN_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d\d)(\d\d)\b")
_LATEST = 4_102_444_800  # 2100-01-01


class Place(NamedTuple):
    """Where something was said: the scene (c2c, group, channel, dm) and its id."""

    scene: str
    id: str

    @property
    def thread_key(self) -> str:
        """The key of the conversation."""
        return f"{self.scene}:{self.id}"

    @property
    def is_group(self) -> bool:
        return self.scene in ("group", "channel")


def read_event(body: bytes) -> dict[str, Any] | None:
    """The fields of an event; None when it is no JSON object."""
    return read_object(body) if body.lstrip()[:1] == b"{" else None


def inside(fields: Fields, *names: str) -> Fields:
    """The object under *names*, one in the other; empty where there is none."""
    found: Any = fields
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _id(fields: Fields, *names: str) -> str:
    """The first of *names* that is there, as an id."""
    for name in names:
        if value := text_of(fields, name).strip():
            return value[:_MAX_ID]
    return ""


def place_of(kind: str, data: Fields) -> Place | None:
    """Where the event *kind* with *data* belongs; None where it belongs to no conversation."""
    scene = MESSAGES.get(kind) or _scene_of(kind, data)
    found = ""
    if scene == "c2c":
        resolved = inside(data, "data", "resolved")
        author = inside(data, "author")
        found = _id(author, "user_openid", "id") or _id(data, "openid", "user_openid")
        found = found or _id(resolved, "user_id")
    elif scene == "group":
        found = _id(data, "group_openid", "group_id")
    elif scene == "channel":
        found = _id(data, "channel_id")
    elif scene == "dm":
        found = _id(data, "guild_id")
    return Place(scene, found) if found else None


def _scene_of(kind: str, data: Fields) -> str:
    """The scene of an event that is no message."""
    if kind == "INTERACTION_CREATE":
        scene = text_of(data, "scene")
        scene = {"guild": "channel"}.get(scene, scene)
        return scene if scene in _CHAT_TYPES.values() else _CHAT_TYPES.get(_chat_type(data), "")
    if kind.startswith(("FRIEND_", "C2C_MSG_")):
        return "c2c"
    if kind.startswith("GROUP_"):
        return "group"
    if kind == "DIRECT_MESSAGE_DELETE":
        return "dm"
    return "channel" if kind.endswith("MESSAGE_DELETE") else ""


def _chat_type(data: Fields) -> str:
    return text_of(data, "chat_type").strip()


def time_of(data: Fields, name: str = "timestamp") -> datetime | None:
    """When it happened: RFC 3339, seconds since 1970, or as Go prints a time."""
    text = text_of(data, name).strip()
    if text.isascii() and text.isdigit() and 0 < int(text[:12]) < _LATEST and len(text) <= 10:
        return datetime.fromtimestamp(int(text), UTC)
    if spoken := _SPOKEN_TIME.match(text):
        text = f"{spoken[1]}T{spoken[2]}{spoken[3]}:{spoken[4]}"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.tzinfo is None or not 1970 < found.year < 2100:
        return None
    return found.astimezone(UTC)


def event_of(body: bytes, account: str, received_at: datetime, proof: str) -> InboundEvent:
    """The event in *body*, which is proven; it comes the same way from webhook and gateway.

    A message is the same when type and id are; anything else has an id of its own outside.
    """
    fields = read_event(body) or {}
    kind, data = text_of(fields, "t"), inside(fields, "d")
    place = place_of(kind, data)
    return InboundEvent(
        dedupe_key=_key(kind, data, fields, body),
        order_key=place.thread_key if place else account,
        body=_without_credentials(body, data),
        received_at=received_at,
        proof=proof,
    )


def _key(kind: str, data: Fields, fields: Fields, body: bytes) -> str:
    own = text_of(data, "id").strip() if kind in MESSAGES else ""
    outer = text_of(fields, "id").strip()
    key = f"{kind}:{own}" if own else f"event:{outer}"
    if (own or outer) and len(key) <= _MAX_ID and key.isprintable():
        return key
    if not data:
        return f"sha256:{hashlib.sha256(body).hexdigest()}"
    canonical = msgspec.json.encode(data, order="deterministic")
    return f"{kind[:60]}:sha256:{hashlib.sha256(canonical).hexdigest()}"


def _without_credentials(body: bytes, data: Fields) -> bytes:
    """*body* without the ``auth_token`` of ``message_scene.ext``: it speaks for the sender."""
    entries = listed(inside(data, "message_scene").get("ext"))
    for entry in entries:
        if isinstance(entry, str) and entry.startswith(_CREDENTIAL):
            body = body.replace(entry.encode(), _HIDDEN.encode())
    return body
