"""What a reply becomes on OneBot: segments, never strings that could hold a code."""

from typing import Any

import pytest

from hub.errors import Unsupported
from hub.model import (
    Address,
    Draft,
    Link,
    Location,
    Menu,
    MenuChoice,
    Reply,
    ReplyAttachment,
    Template,
)
from outbound.onebot.calls import FILE_MARK
from outbound.onebot.compose import FILE_LIMITS, TEXT_LIMIT, compose


def reply(to: str = "12345678", **content: Any) -> Reply:
    return Reply(to=Address("onebot", "", to), **content)


def drafts(one: Reply, api_base: str | None = None) -> list[Draft]:
    return list(compose(one, api_base))


def said(draft: Draft) -> list[dict[str, Any]]:
    segments: list[dict[str, Any]] = draft.json["params"]["message"]
    return segments


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "data": {"text": value}}


def test_a_persons_text_cannot_become_a_code() -> None:
    """It stands in a text segment as it was written, whatever it looks like."""
    evil = "[CQ:at,qq=all] &#91;CQ:image,file=file:///etc/passwd&#93;"
    (draft,) = drafts(reply(text=evil))
    assert draft.json == {
        "action": "send_private_msg",
        "params": {"user_id": 12345678, "message": [text(evil)]},
    }
    assert draft.method == "WS"


def test_with_an_api_the_same_goes_by_http() -> None:
    """The parameters are the body; the token is filled in when it is sent."""
    (draft,) = drafts(reply("group:20002000", text="hi"), "http://127.0.0.1:3000/")
    assert (draft.method, draft.url) == ("POST", "http://127.0.0.1:3000/send_group_msg")
    assert draft.json == {"group_id": 20002000, "message": [text("hi")]}
    assert draft.headers["authorization"] == "Bearer ***"


def test_only_the_first_message_quotes() -> None:
    """A long answer is cut, and quotes once."""
    made = drafts(reply(text="字" * (TEXT_LIMIT + 1), in_reply_to="-2147483000"))
    assert [[one["type"] for one in said(draft)] for draft in made] == [["reply", "text"], ["text"]]
    assert said(made[0])[0]["data"] == {"id": "-2147483000"}


def test_a_stranger_is_answered_through_the_group() -> None:
    """The group of their message stands in the context."""
    (draft,) = drafts(reply(text="hi", reply_context={"group_id": "20002000"}))
    assert draft.json["params"]["group_id"] == 20002000


@pytest.mark.parametrize(
    "kind, segment", [("image", "image"), ("voice", "record"), ("video", "video")]
)
def test_media_go_inside_a_message(kind: Any, segment: str) -> None:
    """Their bytes are put in when they are sent, and stand in no draft."""
    (draft,) = drafts(reply(attachments=(ReplyAttachment(kind=kind, content=b"abc", id="att_1"),)))
    assert said(draft) == [{"type": segment, "data": {"file": FILE_MARK}}]
    assert draft.extra["attachment"] == {"kind": kind, "id": "att_1"}


@pytest.mark.parametrize(
    "to, action, params",
    [
        ("12345678", "upload_private_file", {"user_id": 12345678}),
        ("group:20002000", "upload_group_file", {"group_id": 20002000}),
    ],
)
def test_other_files_are_uploaded(to: str, action: str, params: dict[str, int]) -> None:
    """Under a name that leads out of no folder."""
    file = ReplyAttachment(filename="../a/订单.pdf", size_bytes=3, id="att_1")
    (draft,) = drafts(reply(to, attachments=(file,)))
    assert draft.json["action"] == action
    assert draft.json["params"] == params | {"file": FILE_MARK, "name": ".._a_订单.pdf"}


def test_a_file_that_is_too_large_becomes_its_address() -> None:
    """Or is refused, where it has none."""
    size = FILE_LIMITS["image"] + 1
    large = ReplyAttachment(
        kind="image", filename="a.png", size_bytes=size, url="https://x.example/a"
    )
    (draft,) = drafts(reply(attachments=(large,)))
    assert said(draft) == [text("a.png: https://x.example/a")]
    assert "too large" in (draft.note or "")
    with pytest.raises(Unsupported):
        drafts(reply(attachments=(ReplyAttachment(kind="image", size_bytes=size, id="att_1"),)))


def test_what_qq_has_no_form_for_becomes_lines() -> None:
    """Menu, place and link, each with a note."""
    (draft,) = drafts(
        reply(
            menu=Menu("满意吗？", (MenuChoice("1", "满意"), MenuChoice("2", "不满意")), "谢谢"),
            location=Location(31.2, 121.4, "人民广场"),
            link=Link("https://x.example/7", "灯"),
        )
    )
    assert said(draft) == [
        text(
            "[location] 人民广场, 31.2,121.4\n灯\nhttps://x.example/7\n满意吗？\n1. 满意\n2. 不满意\n谢谢"
        )
    ]
    assert (draft.note or "").count("sent as text") == 3


@pytest.mark.parametrize(
    "to", ["", "abc", "group:", "group:abc", "discuss:1", "１２３４５", "9" * 20]
)
def test_an_address_that_is_none_is_refused(to: str) -> None:
    """Before anything is sent."""
    with pytest.raises(Unsupported):
        drafts(reply(to, text="hi"))


def test_templates_are_refused() -> None:
    """There are none."""
    with pytest.raises(Unsupported):
        drafts(reply(template=Template("t")))
