"""What a reply becomes at the app."""

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.wecom import WeComSettings
from hub.channel import Account
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
    Secret,
)
from hub.testing import Workbench
from outbound.wecom import WeComSender

TO = Address("wecom", "ww0123456789abcdef", "zhangsan")
AT = datetime(2026, 1, 2, tzinfo=UTC)


def drafts(to: Address = TO, check: int = 3600, **content: Any) -> list[Draft]:
    settings = WeComSettings(
        corp_id="ww0123456789abcdef",
        agent_id="1000002",
        secret=Secret("s"),
        token=Secret("t"),
        aes_key=Secret("a" * 43),
        duplicate_check_s=check,
    )
    sender = WeComSender(Account("shop", "wecom", settings), Workbench().tools)
    return list(sender.compose(Reply(to=to, message_id="msg_1", **content), ()))


def test_text() -> None:
    """As the platform documents it, with the check that makes a repeat harmless."""
    (draft,) = drafts(text="你好 <b>")
    assert draft.json == {
        "touser": "zhangsan",
        "msgtype": "text",
        "agentid": 1000002,
        "text": {"content": "你好 <b>"},
        "safe": 0,
        "enable_duplicate_check": 1,
        "duplicate_check_interval": 3600,
    }
    assert draft.url == "https://qyapi.weixin.qq.com/cgi-bin/message/send?access_token=***"
    assert draft.repeatable


def test_without_the_check_nothing_is_repeated() -> None:
    """Where the owner wants no check, a call that nobody answered is not made again."""
    (draft,) = drafts(text="hi", check=0)
    assert draft.json["enable_duplicate_check"] == 0
    assert not draft.repeatable


def test_the_same_words_again_in_another_reply() -> None:
    """An agent says "OK" all day: only a repeat of the very call is one."""
    (first,) = drafts(text="OK")
    (again,) = drafts(text="OK", said_lately=(first.json,))
    (other,) = drafts(text="no", said_lately=(first.json, None, []))
    assert (again.json["enable_duplicate_check"], again.repeatable) == (0, False)
    assert (other.json["enable_duplicate_check"], other.repeatable) == (1, True)


def test_the_same_words_twice_in_one_reply() -> None:
    """The second would be taken for a repeat of the first: it goes without the check."""
    made = drafts(text="哈" * 1364)
    assert [len(draft.text or "") for draft in made] == [682, 682]
    assert [draft.json["enable_duplicate_check"] for draft in made] == [1, 0]
    assert [draft.repeatable for draft in made] == [True, False]


@pytest.mark.parametrize("value", ["@all", "lin|mia"])
def test_nobody_else_is_written_to(value: str) -> None:
    """An address that means several people is refused."""
    with pytest.raises(Unsupported):
        drafts(to=Address("wecom", "ww0123456789abcdef", value), text="hi")


@pytest.mark.parametrize(
    "filename,mime_type,kind,sent_as",
    [
        ("a.png", "image/png", "image", "a.png"),
        ("照片.jpg", "image/jpeg", "image", "image.jpg"),
        ("a.gif", "image/gif", "file", "a.gif"),
        ("a.amr", "audio/amr", "voice", "a.amr"),
        ("a.mp3", "audio/mpeg", "file", "a.mp3"),
        ("a.mp4", "video/mp4", "video", "a.mp4"),
        ('报价 "1/2".pdf', "application/pdf", "file", "报价 _1_2_.pdf"),
    ],
)
def test_files(filename: str, mime_type: str, kind: str, sent_as: str) -> None:
    """Each type has its kind; what has none is a file, under its own name."""
    family: Any = {"image": "image", "audio": "voice", "video": "video"}.get(
        mime_type.split("/")[0], "file"
    )
    file = ReplyAttachment(
        kind=family, filename=filename, mime_type=mime_type, content=b"123456", id="att_1"
    )
    upload, say = drafts(attachments=(file,))
    assert upload.role == "prepare"
    assert upload.url.endswith(f"media/upload?access_token=***&type={kind}")
    assert (upload.form or {})["media"]["filename"] == sent_as
    assert say.json[kind] == {"media_id": "{{media_id}}"}


@pytest.mark.parametrize("size,fits", [(20 << 20, True), ((20 << 20) + 1, False)])
def test_the_largest_file(size: int, fits: bool) -> None:
    """20 MB; a larger one becomes its address, and the agent is told."""
    file = ReplyAttachment(
        kind="file", filename="a.pdf", size_bytes=size, id="att_1", url="https://f.example/a"
    )
    made = drafts(attachments=(file,))
    assert [draft.role for draft in made] == (["prepare", "say"] if fits else ["say"])
    assert bool(made[0].note) is not fits


def test_a_link_is_a_card() -> None:
    """With a picture an article, without one a card; both need a description."""
    (card,) = drafts(link=Link("https://e.example", "Title"))
    assert card.json["textcard"] == {
        "title": "Title",
        "description": "Title",
        "url": "https://e.example",
    }
    (news,) = drafts(link=Link("https://e.example", "Title", "Words", "https://e.example/p"))
    assert news.json["news"]["articles"] == [
        {
            "title": "Title",
            "description": "Words",
            "url": "https://e.example",
            "picurl": "https://e.example/p",
        }
    ]


def test_a_long_title_is_cut_between_characters() -> None:
    """128 bytes, and a note."""
    (card,) = drafts(link=Link("https://e.example", "题" * 60))
    title = card.json["textcard"]["title"]
    assert len(title.encode()) <= 128
    assert title == "题" * 41 + "…"
    assert card.note == "title or description of the link cut"


def test_a_menu_is_a_card_with_buttons() -> None:
    """Its task id stays the same when the reply is composed again."""
    menu = Menu("How was it?", (MenuChoice("1", "满意"), MenuChoice("2", "不满意")), "thanks")
    (first,), (second,) = drafts(menu=menu), drafts(menu=menu)
    card = first.json["template_card"]
    assert card["card_type"] == "button_interaction"
    assert card["main_title"] == {"title": "How was it?"}
    assert card["button_list"] == [
        {"text": "满意", "style": 1, "key": "1"},
        {"text": "不满意", "style": 1, "key": "2"},
    ]
    assert first == second


def test_a_menu_that_does_not_fit_is_text() -> None:
    """Seven choices are too many for buttons."""
    menu = Menu("Which?", tuple(MenuChoice(str(n), f"Nr {n}") for n in range(7)))
    (draft,) = drafts(menu=menu)
    assert draft.json["text"]["content"].startswith("Which?\n1. Nr 0\n2. Nr 1")
    assert draft.note


def test_what_cannot_be_said_is_told() -> None:
    """A place becomes text; a template and nothing at all are refused."""
    (draft,) = drafts(location=Location(1.5, 2.5, "here"), subject="x")
    assert draft.text == "[location] here, 1.5,2.5"
    assert "location sent as text" in (draft.note or "")
    with pytest.raises(Unsupported):
        drafts()
