"""What a reply becomes at customer service."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.wechat_kefu import KefuSettings
from hub.channel import Account
from hub.errors import Unsupported, WindowClosed
from hub.model import (
    Address,
    Allowance,
    Draft,
    Link,
    Location,
    Menu,
    MenuChoice,
    Reply,
    ReplyAttachment,
    Secret,
    Template,
)
from hub.testing import Workbench
from outbound.wechat_kefu import KefuSender

TO = Address("wechat_kefu", "ww0123456789abcdef", "wm1")
LINK = Link("https://e.example", "Title", "Words", "https://e.example/p.jpg")


def drafts(
    *, desks: tuple[str, ...] = (), left: int | None = None, to: Address = TO, **content: Any
) -> list[Draft]:
    settings = KefuSettings(
        corp_id="ww0123456789abcdef",
        secret=Secret("s"),
        token=Secret("t"),
        aes_key=Secret("a" * 43),
        open_kfids=desks,
    )
    bench = Workbench()
    now = bench.clock()
    known = [
        Allowance(
            trigger="message", key="1", opened_at=now, until=now + timedelta(days=1), remaining=left
        )
    ]
    sender = KefuSender(Account("shop", "wechat_kefu", settings), bench.tools)
    place = {"thread_key": "wk1:wm1", "message_id": "msg_1"}
    reply = Reply(to=to, **{**place, **content})
    return list(sender.compose(reply, known if left is not None else ()))


def says(**content: Any) -> list[Any]:
    return [draft.json for draft in drafts(**content) if draft.role == "say"]


def test_text() -> None:
    """The session is read and taken over, then the message is said under our own id."""
    read, take, say = drafts(text="你好 <b>")
    assert [one.role for one in (read, take, say)] == ["prepare", "prepare", "say"]
    assert "/cgi-bin/kf/service_state/get?access_token=***" in read.url
    assert read.json == {"open_kfid": "wk1", "external_userid": "wm1"}
    assert "/cgi-bin/kf/service_state/trans?access_token=***" in take.url
    assert take.json == {"open_kfid": "wk1", "external_userid": "wm1", "service_state": 1}
    msgid = say.json.pop("msgid")
    assert say.json == {
        "touser": "wm1",
        "open_kfid": "wk1",
        "msgtype": "text",
        "text": {"content": "你好 <b>"},
    }
    assert len(msgid) == 32
    assert say.repeatable
    assert (read.cost, take.cost, say.cost) == (0, 0, 1)


def test_the_id_stays_and_is_each_messages_own() -> None:
    """Composed again it is the same; another part, and another reply, has another one."""
    parts = [one["msgid"] for one in says(text="哈" * 1364)]
    assert parts == [one["msgid"] for one in says(text="哈" * 1364)]
    assert len(set(parts)) == 2
    assert says(text="a", message_id="msg_2")[0]["msgid"] != says(text="a")[0]["msgid"]


def test_without_an_id_of_ours_nothing_is_repeated() -> None:
    """Offline the id comes of what is said, so it may not be this reply's alone."""
    *_, say = drafts(text="a", message_id=None)
    assert len(say.json["msgid"]) == 32
    assert not say.repeatable


@pytest.mark.parametrize(
    "place,desk",
    [
        ({"reply_context": {"open_kfid": "wk7"}}, "wk7"),
        ({"thread_key": "wk8:wm1"}, "wk8"),
        ({"thread_key": None, "desks": ("wk9",)}, "wk9"),
    ],
)
def test_which_desk_says_it(place: dict[str, Any], desk: str) -> None:
    """That of the message answered, of the conversation, or the only one that there is."""
    assert says(text="a", **place)[0]["open_kfid"] == desk


@pytest.mark.parametrize("desks", [(), ("wk1", "wk2")])
def test_a_desk_that_is_not_known(desks: tuple[str, ...]) -> None:
    """Rather than guess, it is refused."""
    with pytest.raises(Unsupported):
        drafts(text="a", thread_key=None, desks=desks)


def test_a_member_of_the_enterprise_is_no_customer() -> None:
    """Their messages come by the same callback; another account answers them."""
    with pytest.raises(Unsupported):
        drafts(text="a", to=Address("wecom", "ww0123456789abcdef", "lin"), desks=("wk1",))


def test_files_and_places() -> None:
    """A file is uploaded first; a place is a place here."""
    file = ReplyAttachment(kind="file", filename="报价.pdf", content=b"123456", id="att_1")
    made = drafts(attachments=(file,), location=Location(1.5, 2.5, "here"))
    assert [one.role for one in made] == ["prepare", "prepare", "prepare", "say", "say"]
    assert made[3].json["file"] == {"media_id": "{{media_id}}"}
    assert made[4].json["location"] == {
        "name": "here",
        "address": "here",
        "latitude": 1.5,
        "longitude": 2.5,
    }


def test_a_link_is_a_card_with_its_picture() -> None:
    """The picture is required, so it is fetched and uploaded."""
    *_, upload, say = drafts(link=LINK)
    assert upload.extra["attachment"]["url"] == "https://e.example/p.jpg"
    assert upload.result == "thumb_media_id"
    assert say.json["link"] == {
        "title": "Title",
        "desc": "Words",
        "url": "https://e.example",
        "thumb_media_id": "{{thumb_media_id}}",
    }


def test_a_link_without_picture_is_text() -> None:
    """And the agent is told."""
    made = drafts(link=Link("https://e.example", "Title"))
    assert made[2].text == "Title\nhttps://e.example"
    assert "picture" in (made[2].note or "")


def test_a_menu() -> None:
    """Each item stands under the name of its type."""
    menu = Menu("Well?", (MenuChoice("1", "满意"), MenuChoice("2", "不满意")), "thanks")
    assert says(menu=menu)[0]["msgmenu"] == {
        "head_content": "Well?",
        "list": [
            {"type": "click", "click": {"id": "1", "content": "满意"}},
            {"type": "click", "click": {"id": "2", "content": "不满意"}},
        ],
        "tail_content": "thanks",
    }


def test_a_menu_that_does_not_fit_is_text() -> None:
    """Eleven items are too many."""
    menu = Menu("Which?", tuple(MenuChoice(str(n), f"Nr {n}") for n in range(11)))
    assert says(menu=menu)[0]["text"]["content"].startswith("Which?\n1. Nr 0\n2. Nr 1")


def test_cards_are_merged_when_little_is_left() -> None:
    """A link can be read in the text; that saves a message."""
    assert len(says(text="a", link=LINK, left=2)) == 2
    (merged,) = says(text="a", link=LINK, left=1)
    assert merged["text"]["content"] == "a\nTitle\nhttps://e.example"


@pytest.mark.parametrize("left", [0, 1])
def test_more_than_is_allowed(left: int) -> None:
    """Refused before anything is sent."""
    with pytest.raises(WindowClosed):
        drafts(text="哈" * 1364, left=left)


@pytest.mark.parametrize("content", [{}, {"text": " "}, {"template": Template("t")}])
def test_what_cannot_be_said(content: dict[str, Any]) -> None:
    """Nothing, and templates."""
    with pytest.raises(Unsupported):
        drafts(**content)
