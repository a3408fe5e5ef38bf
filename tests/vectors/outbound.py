"""What we send, beside what other implementations and the platform's pages send for the same content."""

from collections.abc import Mapping
from typing import Any

from hub.errors import Unsupported
from hub.model import (
    Address,
    Draft,
    Link,
    Location,
    Menu,
    MenuChoice,
    MiniProgram,
    Reply,
    ReplyAttachment,
)
from normalizers._wechat_fields import read_fields
from outbound.wechat import WeChatSender
from outbound.wechat.answer import body_of, content_of
from outbound.wechat_kefu import KefuSender
from outbound.wecom import WeComSender
from sandbox.wechat.media import MediaStore
from sandbox.wechat.push import REPLY_KINDS
from tests.vectors.accounts import APP_ID, CORP_ID, NOW, bench, kefu, wechat, wecom
from tests.vectors.material import Vector, checks

TO = Address("wechat", APP_ID, "OPENID")
PICTURE = ReplyAttachment(kind="image", mime_type="image/png", id="att_1")
VOICE = ReplyAttachment(kind="voice", id="att_1")
VIDEO = ReplyAttachment(kind="video", id="att_1")
HAPPY = Link("URL", "Happy Day", "Is Really A Happy Day", "PIC_URL")
MENU = Menu(
    "head_content",
    (MenuChoice("101", "msgmenu1"), MenuChoice("102", "msgmenu2")),
    "tail_content",
)
CONTENT: Mapping[str, Mapping[str, Any]] = {
    "text": {"text": "sfsfdsdf"},
    "image": {"attachments": (PICTURE,)},
    "voice": {"attachments": (VOICE,)},
    "video": {"attachments": (VIDEO,)},
    "news": {"link": HAPPY},
    "msgmenu": {"menu": MENU},
    "miniprogrampage": {
        "link": Link(
            "https://e.example", "TITLE", None, "https://e.example/1.jpg", MiniProgram("appid", "p")
        )
    },
}


def said(sender: Any, to: Address, **content: Any) -> list[Draft]:
    """The drafts that speak."""
    reply = Reply(to=to, **content)
    return [one for one in sender.compose(reply, ()) if one.role == "say"]


def by_official_account(**content: Any) -> Any:
    """The one call that says it."""
    (draft,) = said(WeChatSender(wechat(), bench().tools), TO, **content)
    return draft.json


@checks("outbound.mp")
def official_account(vector: Vector) -> str:
    """The body that another implementation sends."""
    expected = vector.json
    kind = expected["msgtype"]
    if kind == "voice":
        expected["voice"]["media_id"] = "{{media_id}}"
    if kind == "news":  # today the platform takes one article
        expected["news"]["articles"] = expected["news"]["articles"][:1]
    assert by_official_account(**CONTENT[kind]) == expected
    return "composed alike"


@checks("outbound.wecom")
def enterprise(vector: Vector) -> str:
    """The body that another implementation sends; cards of other kinds are not for replies."""
    expected = vector.json
    kind = expected["msgtype"]
    if kind == "template_card":
        return _card(expected["template_card"])
    if kind == "mpnews":
        return _not_said(kind)
    (draft,) = said(
        WeComSender(wecom(), bench().tools), Address("wecom", CORP_ID, "OPENID"), **CONTENT[kind]
    )
    if kind == "image":
        expected["image"]["media_id"] = "{{media_id}}"
    if kind == "news":  # a reply has one link
        expected["news"]["articles"] = expected["news"]["articles"][:1]
    expected["safe"] = int(expected["safe"])  # this implementation writes it as text
    assert {name: draft.json[name] for name in expected} == expected
    return "composed alike"


def _card(published: dict[str, Any]) -> str:
    """A menu is a card with buttons: of the fields that we use, each is where it is published."""
    if published["card_type"] != "button_interaction":
        return _not_said(published["card_type"])
    buttons = published["button_list"]
    menu = Menu(
        published["main_title"]["title"],
        tuple(MenuChoice(one["key"], one["text"]) for one in buttons),
        published["sub_title_text"],
    )
    to = Address("wecom", CORP_ID, "OPENID")
    (draft,) = said(WeComSender(wecom(), bench().tools), to, menu=menu)
    ours = draft.json["template_card"]
    assert set(ours) <= set(published)
    assert [(one["key"], one["text"]) for one in ours["button_list"]] == [
        (one["key"], one["text"]) for one in buttons
    ]
    for name in ("card_type", "sub_title_text"):
        assert ours[name] == published[name]
    assert ours["main_title"]["title"] == published["main_title"]["title"]
    return "composed alike"


def _not_said(kind: str) -> str:
    """No reply becomes one: every kind of content becomes something else."""
    to = Address("wecom", CORP_ID, "OPENID")
    sender = WeComSender(wecom(), bench().tools)
    for name, content in CONTENT.items():
        if name == "miniprogrampage":
            continue
        for draft in said(sender, to, **content):
            assert kind not in (
                draft.json["msgtype"],
                draft.json.get("template_card", {}).get("card_type"),
            )
    return "not a reply of the hub: never composed"


@checks("reply.mp")
def answer(vector: Vector) -> str:
    """A passive reply that reads as the published one; or one that the hub never gives."""
    fields = read_fields(vector.raw)
    assert fields is not None
    kind = fields["MsgType"]
    common = ("ToUserName", "FromUserName", "CreateTime")
    content = {name: value for name, value in fields.items() if name not in common}
    draft = Draft(method="ANSWER", url="answer:", json=content, only_in_answer=True)
    assert kind in REPLY_KINDS
    if kind in ("music", "transfer_customer_service"):
        return _never_answered(draft)
    ours = read_fields(
        body_of(
            content_of([draft], {}),
            sender=fields["FromUserName"],
            receiver=fields["ToUserName"],
            at=NOW,
            as_json=False,
        )
    )
    assert ours is not None
    assert {**ours, "CreateTime": fields["CreateTime"]} == fields
    composed = _composed_answer(kind)
    assert set(composed) == set(content)
    return "written alike"


def _composed_answer(kind: str) -> Mapping[str, Any]:
    sender = WeChatSender(wechat(passive=True), bench().tools)
    (draft,) = said(sender, TO, **CONTENT[kind])
    assert draft.only_in_answer
    return dict(draft.json)


def _never_answered(draft: Draft) -> str:
    try:
        content_of([draft], {})
    except Unsupported:
        return "refused: the hub never answers it"
    raise AssertionError("would be answered")


@checks("reply.wecom")
def update_button(vector: Vector) -> str:
    """A card is changed by an answer here; the hub answers pushes with nothing."""
    fields = read_fields(vector.raw)
    assert fields is not None
    assert fields["MsgType"] == "update_button"
    return "not a reply of the hub: only read"


# Content for every kind of customer service's published call.
KEFU_CONTENT: Mapping[str, Mapping[str, Any]] = {
    "text": {"text": "hello"},
    "image": {"attachments": (PICTURE,)},
    "voice": {"attachments": (VOICE,)},
    "video": {"attachments": (VIDEO,)},
    "file": {"attachments": (ReplyAttachment(kind="file", filename="a.pdf", id="att_1"),)},
    "link": {"link": Link("URL", "title", "description", "https://p.example/1.jpg")},
    "msgmenu": {"menu": MENU},
    "location": {"location": Location(0, 0, "测试小区")},
}


def by_customer_service(kind: str) -> Any:
    to = Address("wechat_kefu", CORP_ID, "EXTERNAL_USERID")
    sender = KefuSender(kefu(), bench().tools)
    place = {"thread_key": "OPEN_KFID:EXTERNAL_USERID", "message_id": "m"}
    return said(sender, to, **place, **KEFU_CONTENT[kind])[0].json


def files() -> MediaStore:
    """The simulator's store of files."""
    return MediaStore(NOW.timestamp)
