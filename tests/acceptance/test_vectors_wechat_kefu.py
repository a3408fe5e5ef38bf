"""Published items and calls of WeChat customer service, where they are at hand."""

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.wechat_kefu import CHANNEL, KefuSettings
from hub.channel import Account
from hub.model import (
    Address,
    InboundEvent,
    Link,
    Location,
    Menu,
    MenuChoice,
    Message,
    Notice,
    Reply,
    ReplyAttachment,
    Secret,
)
from hub.testing import Workbench, json_answer
from normalizers._kefu_item import item_key
from outbound.wechat_kefu import KefuSender

_spec = importlib.util.spec_from_file_location(
    "shared_material", Path(__file__).with_name("shared_material.py")
)
assert _spec is not None
assert _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)

FOLDER = "vectors/wechat"
INDEX = f"{FOLDER}/index.json"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDING = "cgibinkf-cgibinkfsendmessagerequest"
SYNCED = "cgibinkf-cgibinkfsyncmessageresponse"

pytestmark = shared.needs(FOLDER)

# What each published item is: a message of that kind, or a notice.
KINDS = {
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


def account() -> Account[Any]:
    settings = KefuSettings(
        corp_id="ww0123456789abcdef",
        secret=Secret("s"),
        token=Secret("t"),
        aes_key=Secret("a" * 43),
    )
    return Account("shop", "wechat_kefu", settings)


def meaning(body: bytes) -> Any:
    event = InboundEvent(
        dedupe_key=item_key(json.loads(body), body), order_key="", body=body, received_at=NOW
    )
    (result,) = CHANNEL.normalize(event, account())
    return result


def kind_of(item: dict[str, Any]) -> str:
    happened = item.get("event") or {}
    return KINDS[happened.get("event_type") or item["msgtype"]]


def of(kind: str, part: str = "") -> Any:
    chosen = [one for one in shared.entries(INDEX, kind) if part in one.values[0]["id"]]
    return pytest.mark.parametrize("entry", chosen)


@of("kf_item.kf")
def test_item(entry: dict[str, Any]) -> None:
    """A published item becomes what it says."""
    body = (shared.SHARED / FOLDER / entry["file"]).read_bytes()
    result, item = meaning(body), json.loads(body.decode("utf-8-sig"))
    assert kind_of(item) == result.kind
    assert isinstance(result, Notice if item["msgtype"] == "event" else Message)
    if "send_time" in item:
        assert datetime.fromtimestamp(item["send_time"], UTC) == result.sent_at


@of("api_response.wecom", SYNCED)
def test_page(entry: dict[str, Any]) -> None:
    """Every item of a published page becomes what it says."""
    for item in shared.read_json(f"{FOLDER}/{entry['file']}")["msg_list"]:
        assert kind_of(item) == meaning(json.dumps(item).encode()).kind


CONTENT: dict[str, dict[str, Any]] = {
    "text": {"text": "你购买的物品已发货，可点击链接查看物流状态http://work.weixin.qq.com/xxxxxx"},
    "image": {"attachments": (ReplyAttachment(kind="image", id="att_1"),)},
    "voice": {"attachments": (ReplyAttachment(kind="voice", id="att_1"),)},
    "video": {"attachments": (ReplyAttachment(kind="video", id="att_1"),)},
    "file": {"attachments": (ReplyAttachment(kind="file", filename="a.pdf", id="att_1"),)},
    "link": {
        "link": Link(
            "URL",
            "企业如何增长？企业微信给出3个答案",
            "今年中秋节公司有豪礼相送",
            "https://p.example/1.jpg",
        )
    },
    "msgmenu": {
        "menu": Menu(
            "您对本次服务是否满意呢? ",
            (MenuChoice("101", "满意"), MenuChoice("102", "不满意")),
            "欢迎再次光临",
        )
    },
    "location": {"location": Location(0, 0, "测试小区")},
}


@pytest.mark.parametrize("kind", CONTENT)
@of("api_request.wecom", SENDING)
def test_sending(entry: dict[str, Any], kind: str) -> None:
    """What we compose has the fields that the published call has, under the same names."""
    published = shared.read_json(f"{FOLDER}/{entry['file']}")
    sender = KefuSender(account(), Workbench(lambda _call: json_answer({})).tools)
    to = Address("wechat_kefu", "ww0123456789abcdef", "EXTERNAL_USERID")
    reply = Reply(to=to, thread_key="OPEN_KFID:EXTERNAL_USERID", message_id="m", **CONTENT[kind])
    said = next(one.json for one in sender.compose(reply, ()) if one.role == "say")
    assert (said["touser"], said["open_kfid"]) == (published["touser"], published["open_kfid"])
    assert said["msgtype"] == kind
    assert set(said) == {"touser", "open_kfid", "msgid", "msgtype", kind}
    assert set(said[kind]) == set(published[kind])
    if kind in ("text", "msgmenu"):
        ours, theirs = said[kind], dict(published[kind])
        if kind == "msgmenu":
            theirs["list"] = theirs["list"][:2]
        assert ours == theirs
