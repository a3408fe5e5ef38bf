"""What a reply becomes on an official account."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import Unsupported, WindowClosed
from hub.model import (
    Address,
    Allowance,
    Draft,
    Link,
    Location,
    Menu,
    MenuChoice,
    MiniProgram,
    Reply,
    ReplyAttachment,
    Template,
)
from outbound.wechat.compose import TEXT_LIMIT, Ways, budget, compose

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TO = Address("wechat", "wx0123456789abcdef", "oABC")
MENU = Menu("How was it?", (MenuChoice("101", "满意"), MenuChoice("102", "不满意")), "Thank you")
PICTURE = ReplyAttachment(
    kind="image", filename="a.png", mime_type="image/png", id="att_1", sha256="ab", size_bytes=9
)


def reply(**content: Any) -> Reply:
    return Reply(to=TO, **content)


def drafts(allowed: int | None = None, **content: Any) -> list[Draft]:
    return list(compose(reply(**content), allowed, Ways("https://api.weixin.qq.com", "wx1")))


def bodies(allowed: int | None = None, **content: Any) -> list[Any]:
    return [one.json for one in drafts(allowed, **content)]


def allowance(remaining: int | None = 5, until: datetime | None = None) -> Allowance:
    return Allowance(
        trigger="message",
        key="1",
        opened_at=NOW,
        until=until or NOW + timedelta(hours=1),
        remaining=remaining,
    )


def test_a_text() -> None:
    """One customer-service message, its token hidden, its text as it was written."""
    (draft,) = drafts(text='<a href="https://e.example">你好</a> & 😀')
    assert (draft.method, draft.url) == (
        "POST",
        "https://api.weixin.qq.com/cgi-bin/message/custom/send?access_token=***",
    )
    text = '<a href="https://e.example">你好</a> & 😀'
    assert draft.json == {"touser": "oABC", "msgtype": "text", "text": {"content": text}}
    assert (draft.role, draft.cost, draft.text) == ("say", 1, text)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6000))
def test_long_text_is_cut_by_bytes_and_lossless(text: str) -> None:
    """Each part is within 2048 bytes, and together they are the text."""
    if text.strip():
        parts = [one.text or "" for one in drafts(text=text)]
        assert "".join(parts) == text
        assert all(len(part.encode()) <= TEXT_LIMIT for part in parts)


def test_a_link_is_not_cut() -> None:
    """A part ends before a link that would not fit, never inside it."""
    link = '<a href="https://shop.example/very/long">here</a>'
    parts = [one.text or "" for one in drafts(text="x" * 2030 + link + "y" * 100)]
    assert "".join(parts) == "x" * 2030 + link + "y" * 100
    assert any(link in part for part in parts)


def test_a_picture_is_uploaded_then_said() -> None:
    """The upload may be repeated and its result kept; it costs nothing."""
    upload, say = drafts(attachments=(PICTURE,))
    assert (upload.role, upload.cost, upload.result, upload.fingerprint) == (
        "prepare",
        0,
        "media_id",
        "wx1:image:media_id:ab",
    )
    assert upload.url.endswith("/cgi-bin/media/upload?access_token=***&type=image")
    assert upload.form == {"media": {"filename": "a.png", "content_type": "image/png"}}
    assert say.json == {
        "touser": "oABC",
        "msgtype": "image",
        "image": {"media_id": "{{media_id}}"},
    }


def test_two_pictures_have_two_results() -> None:
    """The second upload does not overwrite the first."""
    made = drafts(attachments=(PICTURE, PICTURE))
    assert [one.result for one in made if one.result] == ["media_id", "media_id_2"]
    assert made[3].json["image"]["media_id"] == "{{media_id_2}}"


@pytest.mark.parametrize(
    "file,kind",
    [
        (ReplyAttachment(filename="a.JPG"), "image"),
        (ReplyAttachment(mime_type="audio/mpeg"), "voice"),
        (ReplyAttachment(mime_type="application/octet-stream", filename="a.mp4"), "video"),
        (ReplyAttachment(kind="voice", filename="a.amr"), "voice"),
        (ReplyAttachment(kind="image"), "image"),
    ],
)
def test_a_file_is_what_its_type_says(file: ReplyAttachment, kind: str) -> None:
    """A picture sent as a "file" is still a picture."""
    assert bodies(attachments=(file,))[-1]["msgtype"] == kind


@pytest.mark.parametrize(
    "name", ["图片.png", "a b.png", "evil\r\n.png", "a.exe", "x" * 200 + ".png"]
)
def test_odd_file_names_are_replaced(name: str) -> None:
    """The platform wants ASCII and the right ending."""
    file = ReplyAttachment(kind="image", filename=name, mime_type="image/png")
    form = drafts(attachments=(file,))[0].form
    assert form == {"media": {"filename": "image.png", "content_type": "image/png"}}


def test_other_files_become_links() -> None:
    """A file that cannot be sent but has an address is sent as that, and the draft says so."""
    file = ReplyAttachment(filename="a.pdf", mime_type="application/pdf", url="https://f.example/a")
    (draft,) = drafts(text="See:", attachments=(file,))
    assert draft.text == "See:\na.pdf: https://f.example/a"
    assert draft.note == "a.pdf sent as a link: this channel cannot send it"


@pytest.mark.parametrize(
    "file",
    [
        ReplyAttachment(filename="a.pdf", mime_type="application/pdf", id="att_1"),
        ReplyAttachment(filename="a.webp", mime_type="image/webp", id="att_1"),
        ReplyAttachment(kind="image", mime_type="image/png", size_bytes=11 << 20),
        ReplyAttachment(kind="voice", mime_type="audio/amr", size_bytes=3 << 20),
    ],
)
def test_other_files_without_address_are_refused(file: ReplyAttachment) -> None:
    """Another type, or too large: refused early, with what is allowed."""
    with pytest.raises(Unsupported, match="up to 10 MB"):
        drafts(attachments=(file,))


def test_html_is_sent_as_text() -> None:
    """Lines for blocks, addresses after links, no styles or scripts."""
    html = "<style>p{}</style><p>Dear&nbsp;you,</p><p>see <a href='https://e.example'>this</a></p>"
    (draft,) = drafts(html=html)
    assert draft.text == "Dear\xa0you,\n\nsee this (https://e.example)"
    assert draft.note == "html sent as text"


def test_a_location_is_sent_as_text() -> None:
    """There is no outgoing location; the words of the model say it."""
    (draft,) = drafts(location=Location(23.13, 113.35, "Canton"))
    assert draft.text == "[location] Canton, 23.13,113.35"
    assert "location sent as text" in (draft.note or "")


def test_a_link_is_a_card() -> None:
    """One article, which is all that the platform takes."""
    (body,) = bodies(link=Link("https://e.example", "Title", "About", "https://e.example/i.png"))
    assert body["news"]["articles"] == [
        {
            "title": "Title",
            "description": "About",
            "url": "https://e.example",
            "picurl": "https://e.example/i.png",
        }
    ]


def test_a_menu() -> None:
    """Choices with our ids, which come back as bizmsgmenuid."""
    (body,) = bodies(menu=MENU)
    assert body["msgmenu"] == {
        "head_content": "How was it?",
        "list": [{"id": "101", "content": "满意"}, {"id": "102", "content": "不满意"}],
        "tail_content": "Thank you",
    }


def test_a_template_needs_no_window() -> None:
    """It costs no allowance, and carries our id so that the platform drops a repeat."""
    (draft,) = drafts(0, template=Template("T", {"first": "hi"}), message_id="msg_1")
    assert draft.cost == 0
    assert draft.url.endswith("/message/template/send?access_token=***")
    assert draft.json["data"] == {"first": {"value": "hi"}}
    assert draft.json["client_msg_id"] == "msg_1"


# --- within what the platform allows ----------------------------------------------------------------


def test_cards_are_merged_when_little_is_left() -> None:
    """Text, link and menu are three messages; with one left they are one, its choices as links."""
    content: dict[str, Any] = {"text": "Hi", "link": Link("https://e.example", "T"), "menu": MENU}
    assert len(drafts(3, **content)) == 3
    (draft,) = drafts(1, **content)
    assert "merged" in (draft.note or "")
    assert (draft.text or "").split("\n") == [
        "Hi",
        "T",
        "https://e.example",
        "How was it?",
        '<a href="weixin://bizmsgmenu?msgmenucontent=满意&msgmenuid=101">满意</a>',
        '<a href="weixin://bizmsgmenu?msgmenucontent=不满意&msgmenuid=102">不满意</a>',
        "Thank you",
    ]


def test_more_than_is_allowed_is_refused_early() -> None:
    """Nothing is burnt on half a reply; the detail says how many it takes."""
    with pytest.raises(WindowClosed, match="takes 6 messages, the platform allows 5"):
        drafts(5, text="x" * (5 * TEXT_LIMIT + 1))


def test_nothing_to_say() -> None:
    """An empty reply, or one of blanks, is refused."""
    for content in ({}, {"text": " \n"}, {"subject": "Re:"}):
        with pytest.raises(Unsupported, match="nothing to say"):
            drafts(**content)


@pytest.mark.parametrize(
    "allowances,last,expected",
    [
        ((), None, None),
        ((), NOW - timedelta(hours=47), 5),
        ((), NOW - timedelta(hours=49), 0),
        ((allowance(5), allowance(3)), None, 8),
        ((allowance(5, NOW - timedelta(seconds=1)),), NOW, 0),
        ((allowance(0),), None, 0),
        ((allowance(None),), None, None),
    ],
)
def test_how_much_is_allowed(
    allowances: tuple[Allowance, ...], last: datetime | None, expected: int | None
) -> None:
    """Live allowances add up; without any, the last message opens five; knowing nothing is no limit."""
    assert expected == budget(reply(text="x", last_inbound_at=last), allowances, NOW)


# --- mini programs, templates, subscribe messages ---------------------------------------------------

OPENS = MiniProgram("wx00000000000000aa", "pages/shop?id=1")


def test_a_card_into_a_mini_program() -> None:
    """Its picture is uploaded first; where messages are few it is a link in the text."""
    link = Link("https://e.example", "Shop", None, "https://e.example/1.jpg", OPENS)
    upload, say = drafts(link=link)
    assert (upload.role, upload.result) == ("prepare", "thumb_media_id")
    assert say.json["miniprogrampage"] == {
        "title": "Shop",
        "appid": "wx00000000000000aa",
        "pagepath": "pages/shop?id=1",
        "thumb_media_id": "{{thumb_media_id}}",
    }
    (merged,) = drafts(allowed=1, text="Here:", link=link)
    assert merged.json["text"]["content"].startswith('Here:\n<a href="https://e.example" data-')


def test_nothing_leaves_the_link_in_the_text() -> None:
    """What a helpdesk writes cannot end the attribute."""
    link = Link('https://e.example/"><x', "<b>", mini_program=OPENS)
    (body,) = bodies(link=link)
    content = body["text"]["content"]
    assert content.count("<") == 2
    assert content.count('"') == 6


def test_where_a_template_leads() -> None:
    """To an address, and into a mini program where there is one."""
    template = Template("T", {"a": "1"}, "https://e.example", OPENS)
    (body,) = bodies(template=template)
    assert body["url"] == "https://e.example"
    assert body["miniprogram"] == {"appid": "wx00000000000000aa", "pagepath": "pages/shop?id=1"}


def subscription(grants: Any = None, **params: str) -> Draft:
    ways = Ways("https://api.weixin.qq.com", "wx1", ["S"], grants or {})
    (draft,) = compose(reply(template=Template("S", params, "pages/order")), 0, ways)
    return draft


def test_a_subscribe_message() -> None:
    """By its own call, in a closed window too; under the grant where one is known."""
    draft = subscription(thing1="已发货")
    assert draft.url.startswith("https://api.weixin.qq.com/cgi-bin/message/subscribe/bizsend?")
    assert draft.json["page"] == "pages/order"
    assert (draft.cost, draft.allowance) == (0, None)
    granted = subscription({"S": "42"}, thing1="已发货")
    assert (granted.cost, granted.allowance) == (1, "42")


@pytest.mark.parametrize(
    "name, text", [("thing1", "一" * 21), ("symbol2", "123456"), ("phrase3", "一二三四五六")]
)
def test_a_field_that_the_platform_would_refuse(name: str, text: str) -> None:
    """47003 names no field; we do, before anything is sent."""
    with pytest.raises(Unsupported, match=name):
        subscription(**{name: text})
