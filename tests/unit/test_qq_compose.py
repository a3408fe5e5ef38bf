"""From a reply to the calls of a QQ bot."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.qq import CHANNEL, QqSettings
from hub.channel import Account
from hub.errors import Unsupported, WindowClosed
from hub.model import (
    Address,
    Allowance,
    ConversationRef,
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
from normalizers.qq import opens
from outbound.qq import QqSender

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OPENID = "E4F4AEA33253A2797FB897C50B81D7ED"
PERSON = {"to": Address("qq", "1", OPENID), "thread_key": f"c2c:{OPENID}"}
GROUP = {"to": Address("qq", "1", f"group:{OPENID}"), "thread_key": f"group:{OPENID}"}
CHANNEL_OF = {"to": Address("qq", "1", "channel:100010"), "thread_key": "channel:100010"}
DIRECT = {"to": Address("qq_guild", "1", "1234"), "thread_key": "dm:18700000000001"}
PNG = ReplyAttachment(kind="image", filename="a.png", id="att_1", size_bytes=9)


def account(**changed: Any) -> Account[Any]:
    made = {"app_id": "1", "secret": Secret("conformanceSecret")} | changed
    return Account("bot", "qq", QqSettings(**made))


def allowed(key: str = "m1", *, trigger: str = "message", left: int | None = 4) -> Allowance:
    return Allowance(
        trigger=trigger,
        key=key,
        opened_at=NOW - timedelta(minutes=1),
        until=NOW + timedelta(minutes=59),
        remaining=left,
    )


def compose(*known: Allowance, settings: dict[str, Any] | None = None, **said: Any) -> list[Draft]:
    sender = QqSender(account(**(settings or {})), Workbench().tools)
    reply = Reply(**{**PERSON, "message_id": "msg_1", **said})
    return list(sender.compose(reply, known))


@pytest.mark.parametrize(
    "place, url",
    [
        (PERSON, f"/v2/users/{OPENID}/messages"),
        (GROUP, f"/v2/groups/{OPENID}/messages"),
        (CHANNEL_OF, "/channels/100010/messages"),
        (DIRECT, "/dms/18700000000001/messages"),
    ],
)
def test_where_it_goes(place: dict[str, Any], url: str) -> None:
    """Guilds have neither kinds nor numbers, so nothing there may be repeated."""
    (draft,) = compose(allowed(), text="hi", **place)
    assert draft.url == f"https://api.bot.qq.com{url}"
    guild = place in (CHANNEL_OF, DIRECT)
    answered = {"content": "hi", "msg_id": "m1"}
    assert draft.json == answered | ({} if guild else {"msg_type": 0, "msg_seq": 1})
    assert draft.repeatable != guild


@pytest.mark.parametrize("value", ["a/b", "a b", "", "../x", "a" * 201, "qq号"])
def test_an_id_that_is_none_is_refused(value: str) -> None:
    """It would stand in the address of a call."""
    with pytest.raises(Unsupported):
        compose(allowed(), text="hi", to=Address("qq", "1", value), thread_key=f"c2c:{value}")


def test_each_part_names_what_it_answers() -> None:
    """The first to end first; a number for each, and an event by its own field."""
    known = (allowed("e1", trigger="event", left=1), allowed("m2", left=4))
    drafts = compose(*known, text="x" * 4000)
    assert [one.json.get("event_id") or one.json.get("msg_id") for one in drafts] == [
        "e1",
        "m2",
        "m2",
    ]
    assert [one.json["msg_seq"] for one in drafts] == [1, 1, 2]
    assert all(one.cost == 1 and one.repeatable for one in drafts)
    assert "".join(one.text or "" for one in drafts) == "x" * 4000


def test_more_than_is_allowed_waits() -> None:
    with pytest.raises(WindowClosed, match="takes 3 messages, the platform allows 2"):
        compose(allowed(left=2), text="x" * 4000)


def test_little_left_puts_the_text_into_the_files_message() -> None:
    """One message in place of two; with enough left they stand apart."""
    apart = [one for one in compose(allowed(), text="look", attachments=(PNG,)) if one.text]
    assert [one.text for one in apart] == ["look"]
    says = [
        one
        for one in compose(allowed(left=1), text="look", attachments=(PNG,))
        if one.role == "say"
    ]
    assert [(one.json["msg_type"], one.json["content"], one.text) for one in says] == [
        (7, "look", "look")
    ]


def test_nothing_becomes_active_by_itself() -> None:
    """Without anything to answer: refused, however the ledger says it."""
    over = allowed()
    over = Allowance(trigger="message", key="m", opened_at=NOW, until=NOW, remaining=4)
    for known, said in (
        ((over,), {}),
        ((allowed(left=0),), {}),
        ((), {"last_inbound_at": NOW - timedelta(hours=2), "reply_context": {"msg_id": "m"}}),
        ((), {}),
    ):
        with pytest.raises(WindowClosed):
            compose(*known, text="hi", **said)


def test_active_on_purpose() -> None:
    """Where the account allows it, and the customer does; then without number, cost or repetition."""
    settings = {"active_messages": True}
    (draft,) = compose(allowed(left=0), text="hi", settings=settings)
    assert draft.json == {"content": "hi", "msg_type": 0}
    assert (draft.cost, draft.repeatable) == (0, False)
    assert "active message" in (draft.note or "")
    two = compose(allowed(left=1), text="x" * 3000, settings=settings)
    assert [one.json.get("msg_id") for one in two] == ["m1", None]
    assert [one.cost for one in two] == [1, 0]
    refused = Allowance(trigger="consent", key="1", opened_at=NOW, remaining=0, mode="active")
    with pytest.raises(WindowClosed):
        compose(allowed(left=0), refused, text="hi", settings=settings)
    (answer,) = compose(allowed(), refused, text="hi", settings=settings)
    assert answer.json["msg_id"] == "m1"


def test_a_quote_is_called_by_its_reference() -> None:
    """Only when the agent answers a message; a guild's is called by its id."""
    context = {"msg_id": "m1", "reference": "REFIDX_a=="}
    (quoting,) = compose(allowed(), text="hi", in_reply_to="m1", reply_context=context)
    assert quoting.json["message_reference"] == {"message_id": "REFIDX_a=="}
    (plain,) = compose(allowed(), text="hi", reply_context=context)
    assert "message_reference" not in plain.json
    context = {"msg_id": "08", "reference": "08"}
    (guild,) = compose(allowed(), text="hi", in_reply_to="08", reply_context=context, **CHANNEL_OF)
    assert guild.json["message_reference"]["message_id"] == "08"


def test_buttons_carry_the_choices() -> None:
    """One in a row up to five, then side by side."""
    menu = Menu("Which?", tuple(MenuChoice(f"id{n}", f"No {n}") for n in range(7)), "please")
    (draft,) = compose(allowed(), menu=menu)
    rows = draft.json["keyboard"]["content"]["rows"]
    assert [len(row["buttons"]) for row in rows] == [2, 2, 2, 1]
    assert rows[0]["buttons"][1]["action"]["data"] == "id1"
    assert draft.json["markdown"]["content"] == "Which?\n\nplease"
    assert "content" not in draft.json


@pytest.mark.parametrize(
    "menu, settings",
    [
        (Menu("M", (MenuChoice("1", "longer than ten"),)), {}),
        (Menu("M", tuple(MenuChoice(str(n), "a") for n in range(26))), {}),
        (Menu("M", (MenuChoice("1", "Yes"),)), {"keyboards": False}),
    ],
)
def test_what_fits_no_keyboard_is_a_list(menu: Menu, settings: dict[str, Any]) -> None:
    (draft,) = compose(allowed(), menu=menu, settings=settings)
    assert draft.json["content"].startswith("M\n1. ")
    assert "menu sent as text" in (draft.note or "")


def test_markdown_and_templates() -> None:
    """Text as Markdown where the account may; a template's parameters are lists of texts."""
    (text,) = compose(allowed(), text="**hi**", settings={"markdown": True})
    assert (text.json["msg_type"], text.json["markdown"]) == (2, {"content": "**hi**"})
    (template,) = compose(allowed(), template=Template("T1", {"a": 1, "b": ["x", "y"]}))
    assert template.json["markdown"] == {
        "custom_template_id": "T1",
        "params": [{"key": "a", "values": ["1"]}, {"key": "b", "values": ["x", "y"]}],
    }


def test_a_file_is_uploaded_and_then_named() -> None:
    """Never with srv_send_msg, which would say it at once from another quota."""
    prepare, say = compose(allowed(), attachments=(PNG,))
    assert (prepare.role, prepare.url) == ("prepare", say.url.replace("messages", "files"))
    assert prepare.json == {"file_type": 1, "file_name": "a.png", "srv_send_msg": False}
    assert say.json["media"] == {"file_info": "{{file_info}}"}
    assert prepare.result == "file_info"


@pytest.mark.parametrize(
    "kind, name, mime_type, number, sent_as",
    [
        ("image", "a.jpeg", "image/jpeg", 1, "image.jpg"),
        ("image", "a.gif", "image/gif", 4, "a.gif"),
        ("video", "v.mp4", "video/mp4", 2, "v.mp4"),
        ("voice", "v.mp3", "audio/mpeg", 3, "v.mp3"),
        ("voice", "v.amr", "audio/amr", 4, "v.amr"),
        ("file", '合同/../"1".pdf', "application/pdf", 4, "合同_.._\u005f1_.pdf"),
    ],
)
def test_files_by_their_type(
    kind: Any, name: str, mime_type: str, number: int, sent_as: str
) -> None:
    """What the platform cannot show goes as a file, under its own name."""
    file = ReplyAttachment(kind=kind, filename=name, mime_type=mime_type, id="a", size_bytes=1)
    prepare, _ = compose(allowed(), attachments=(file,))
    assert (prepare.json["file_type"], prepare.json["file_name"]) == (number, sent_as)


def test_guilds_get_the_address_of_a_file() -> None:
    link = ReplyAttachment(kind="image", filename="a.png", url="https://files.example/a.png")
    (draft,) = compose(allowed(), attachments=(link,), **CHANNEL_OF)
    assert draft.json["content"] == "a.png: https://files.example/a.png"
    with pytest.raises(Unsupported):
        compose(allowed(), attachments=(PNG,), **CHANNEL_OF)


def test_what_has_no_form_is_text() -> None:
    """With a note for the agent."""
    (draft,) = compose(
        allowed(),
        subject="s",
        html="<p>Hi <b>you</b></p>",
        location=Location(31.2, 121.4, "here"),
        link=Link("https://a.example", "A"),
    )
    assert draft.json["content"] == ("Hi you\n[location] here, 31.2,121.4\nA\nhttps://a.example")
    for note in ("subject", "html", "location", "link"):
        assert note in (draft.note or "")


@pytest.mark.parametrize(
    "value, address, place",
    [
        (OPENID, OPENID, ConversationRef(thread_key=f"c2c:{OPENID}")),
        (f"c2c:{OPENID}", OPENID, ConversationRef(thread_key=f"c2c:{OPENID}")),
        (
            f"group:{OPENID}",
            f"group:{OPENID}",
            ConversationRef(thread_key=f"group:{OPENID}", is_group=True),
        ),
    ],
)
def test_a_first_word_goes_where_answers_come_from(
    value: str, address: str, place: ConversationRef
) -> None:
    """The same address and conversation as if they had written first."""
    assert opens(Address("qq", "", value), account()) == (Address("qq", "1", address), place)
    assert CHANNEL.opens is opens
