"""What the platforms push, and the items that customer service pulls."""

from datetime import UTC, datetime
from typing import Any

from wechatpy import parse_message
from wechatpy.enterprise import parse_message as parse_work_message

from adapters._wechat_crypto import Box, sign
from adapters.wechat import CHANNEL as WECHAT
from adapters.wechat import WeChatAdapter
from adapters.wechat_kefu import CHANNEL as KEFU
from adapters.wecom import CHANNEL as WECOM
from adapters.wecom import WeComAdapter
from hub.model import Ignored, InboundEvent, Message, Notice
from normalizers._kefu_item import item_key
from normalizers._wechat_fields import read_fields, text_of
from tests.vectors.accounts import (
    APP_ID,
    CORP_ID,
    KEY,
    NOW,
    TOKEN,
    bench,
    kefu,
    push,
    wechat,
    wecom,
)
from tests.vectors.material import Vector, checks

STICKER = "收到不支持的消息类型"

# What each published item of customer service is: a message of that kind, or a notice.
KEFU_KINDS = {
    "text": "choice",  # the sample has a menu_id
    "image": "image",
    "voice": "voice",
    "link": "link",
    "msgmenu": "card",
    "enter_session": "session_entered",
    "session_status_change": "session_changed",
    "user_recall_msg": "message_recalled",
    "servicer_recall_msg": "message_recalled_by_servicer",
    "channels_shop_product": "card",
    "channels_shop_order": "card",
    "channels": "card",
    "merged_msg": "card",
    "MSG_TYPE": "unsupported",
}


async def event_of(body: bytes, platform: str) -> InboundEvent:
    """*body*, sealed and signed as in safe mode, through the door."""
    receiver = APP_ID if platform == "mp" else CORP_ID
    sealed = Box(KEY, receiver).seal(body)
    query = {"timestamp": "1", "nonce": "2", "msg_signature": sign(TOKEN, "1", "2", sealed)}
    envelope = f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode()
    door: Any = WeChatAdapter(wechat(), bench().tools)
    if platform != "mp":
        door = WeComAdapter(wecom(), bench().tools)
    return (await door.accept(push(query, envelope))).events[0]


def same_fields(vector: Vector) -> dict[str, Any]:
    """Every field of the sample as the index has it, and as wechatpy reads it."""
    fields = read_fields(vector.raw)
    assert fields is not None
    for name, value in vector.entry.get("fields", {}).items():
        assert text_of(fields, name) == value, name
    if vector.kind.startswith("inbound.") and vector.raw.lstrip(b"\xef\xbb\xbf \r\n")[:1] == b"<":
        _same_as_peer(vector, fields)
    return fields


def _same_as_peer(vector: Vector, fields: dict[str, Any]) -> None:
    if "MsgType" not in fields:
        return
    parse = parse_message if vector.platform == "mp" else parse_work_message
    theirs = parse(vector.raw)._data
    rewritten = {"Event", "EventKey"} if text_of(fields, "Event") == "subscribe" else set()
    for name, value in theirs.items():
        if isinstance(value, str) and name not in rewritten:
            assert text_of(fields, name).strip().lower() == value.lower(), name


@checks("inbound.mp")
async def official_account(vector: Vector) -> str:
    """A message, notice or receipt about its sender, ``unsupported`` only for what is not passed on."""
    fields = same_fields(vector)
    event = await event_of(vector.raw, "mp")
    results = list(WECHAT.normalize(event, wechat()))
    assert results
    for result in results:
        is_sticker = STICKER in text_of(fields, "Content")
        assert (getattr(result, "kind", "receipt") == "unsupported") == is_sticker
    assert event.order_key == text_of(fields, "FromUserName")
    return "normalised; fields as wechatpy's"


@checks("inbound.wecom")
async def enterprise(vector: Vector) -> str:
    """A message or a notice; the bell of customer service is left to its own channel."""
    fields = same_fields(vector)
    event = await event_of(vector.raw, "wecom")
    (result,) = WECOM.normalize(event, wecom())
    if text_of(fields, "Event") == "kf_msg_or_event":
        assert isinstance(result, Ignored)
        return "left to its own channel"
    kind = getattr(result, "kind", "")
    assert kind not in ("unsupported", "")
    assert (bool(text_of(fields, "MsgId")) == isinstance(result, Message)) or kind == "choice"
    return "normalised; fields as wechatpy's"


@checks("inbound_malformed.mp")
async def malformed(vector: Vector) -> str:
    """Authentic but odd: kept as an event, and shown."""
    event = await event_of(vector.raw, "mp")
    (result,) = WECHAT.normalize(event, wechat())
    readable = "msgid" in vector.id or "json-body" in vector.id
    assert getattr(result, "kind", None) == ("text" if readable else "unsupported")
    if "no-msgid" in vector.id:
        assert event.dedupe_key.startswith("sha256:")
    return "kept and shown"


def kefu_meaning(item: dict[str, Any], body: bytes) -> Message | Notice:
    event = InboundEvent(dedupe_key=item_key(item, body), order_key="", body=body, received_at=NOW)
    (result,) = KEFU.normalize(event, kefu())
    happened = item.get("event") or {}
    wanted = KEFU_KINDS[happened.get("event_type") or item["msgtype"]]
    assert isinstance(result, Notice if item["msgtype"] == "event" else Message)
    assert result.kind == wanted
    return result


@checks("kf_item.kf")
def customer_service(vector: Vector) -> str:
    """What it says, and when."""
    item = vector.json
    result = kefu_meaning(item, vector.raw)
    if "send_time" in item:
        assert result.sent_at == datetime.fromtimestamp(item["send_time"], UTC)
    return "normalised"
