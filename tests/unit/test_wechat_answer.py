"""Passive replies: what an answer says, sealed so that wechatpy opens it."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto

from adapters._wechat_crypto import Box, sign
from adapters.wechat import WeChatAdapter, WeChatSettings
from hub.channel import Account, AwaitReply, IntakeRequest
from hub.errors import Unsupported, WindowClosed
from hub.model import (
    Address,
    Allowance,
    Draft,
    Link,
    Menu,
    MenuChoice,
    Reply,
    ReplyAttachment,
    Secret,
    Template,
)
from hub.testing import Workbench
from normalizers._wechat_fields import read_fields
from normalizers.wechat import normalize
from outbound.wechat import WeChatSender
from outbound.wechat.answer import body_of, content_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY, APP_ID, TOKEN = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk", "wx0123456789abcdef", "vectors"
TO = Address("wechat", APP_ID, "oABC")
OLD_KEY = "QWxsIHRoYXQgaXMgZ29sZCBkb2VzIG5vdCBnbGl0dGE"


def account(**changes: Any) -> Account[Any]:
    values: dict[str, Any] = {"passive": True, "aes_key": Secret(KEY)} | changes
    return Account("shop", "wechat", WeChatSettings(app_id=APP_ID, token=Secret(TOKEN), **values))


def answer_of(**content: Any) -> list[Draft]:
    sender = WeChatSender(account(), Workbench().tools)
    return list(sender.compose(Reply(to=TO, **content), ()))


def event(kind: str = "text", **fields: str) -> str:
    shown = {"ToUserName": "gh_1", "FromUserName": "oABC", "CreateTime": "1767323045"}
    shown |= {"MsgType": kind, "MsgId": "7", **fields}
    return "<xml>" + "".join(f"<{name}>{one}</{name}>" for name, one in shown.items()) + "</xml>"


async def awaited(body: str, key: str = KEY, **changes: Any) -> AwaitReply | None:
    """What the adapter makes of the push *body* in safe mode."""
    sealed = Box(key, APP_ID).seal(body.encode())
    query = {"timestamp": "1", "nonce": "2", "msg_signature": sign(TOKEN, "1", "2", sealed)}
    envelope = f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode()
    request = IntakeRequest("POST", "/in/wechat/shop", urlencode(query), {}, envelope, NOW)
    adapter = WeChatAdapter(account(**changes), Workbench().tools)
    return (await adapter.accept(request)).await_reply


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
async def test_the_peer_opens_the_answer(key: str) -> None:
    """Sealed with the key that opened the push, be it the one before the last change."""
    waiting = await awaited(event(), key, previous_aes_key=Secret(OLD_KEY))
    assert waiting is not None
    response = waiting.render(answer_of(text="您好 😀"), {})
    outside = read_fields(response.body) or {}
    opened = WeChatCrypto(TOKEN, key, APP_ID).decrypt_message(
        response.body, outside["MsgSignature"], outside["TimeStamp"], outside["Nonce"]
    )
    message = parse_message(opened)
    assert (message.source, message.target, message.content) == ("gh_1", "oABC", "您好 😀")


async def test_json_is_answered_in_json() -> None:
    """As the data format of the console wants it."""
    push = {"ToUserName": "gh_1", "FromUserName": "oABC", "MsgType": "text", "MsgId": 7}
    waiting = await awaited(json.dumps(push))
    assert waiting is not None
    outside = json.loads(waiting.render(answer_of(text="hi"), {}).body)
    assert isinstance(outside["TimeStamp"], int)
    assert json.loads(Box(KEY, APP_ID).open(outside["Encrypt"]))["Content"] == "hi"


@pytest.mark.parametrize(
    "body, waits",
    [
        (event(), True),
        (event("image", MediaId="m"), True),
        (event("event", Event="subscribe"), True),
        (event("event", Event="CLICK", EventKey="k"), True),
        (event("event", Event="VIEW"), False),
        (event("event", Event="unsubscribe"), False),
        (event("event", Event="LOCATION"), False),
        (event("event", Event="TEMPLATESENDJOBFINISH"), False),
        ("<xml><MsgType>text</MsgType></xml>", False),
        ("garbage", False),
    ],
)
async def test_what_waits_for_a_reply(body: str, waits: bool) -> None:
    """What a customer says or asks for; nothing waits where nobody could be answered."""
    assert (await awaited(body) is not None) == waits


async def test_nothing_waits_where_messages_can_be_sent() -> None:
    """Passive mode is a choice."""
    assert await awaited(event(), passive=False) is None


@given(st.text(min_size=1, max_size=200))
def test_no_text_leaves_its_place(text: str) -> None:
    """Whatever is said, the answer has these five fields, and is a text."""
    content = {"MsgType": "text", "Content": text}
    body = body_of(content, sender="gh_1", receiver="oABC", at=NOW, as_json=False)
    fields = read_fields(body)
    assert fields is not None
    assert list(fields) == ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"]
    assert fields["MsgType"] == "text"


@pytest.mark.parametrize("kind", ["transfer_customer_service", "music", "unknown"])
def test_what_is_never_answered(kind: str) -> None:
    """A transfer would take the customer away from the hub."""
    draft = Draft(method="ANSWER", url="answer:", json={"MsgType": kind}, only_in_answer=True)
    with pytest.raises(Unsupported):
        content_of([draft], {})


def test_texts_become_one_and_files_do_not() -> None:
    """Up to the platform's 2048 bytes."""
    one, two = answer_of(text="one"), answer_of(text="two")
    assert content_of([*one, *two], {})["Content"] == "one\ntwo"
    long = answer_of(text="x" * 2040)
    with pytest.raises(Unsupported):
        content_of([*long, *long], {})
    card = answer_of(link=Link("https://e.example"))
    with pytest.raises(Unsupported):
        content_of([*one, *card], {})


def test_a_file_is_uploaded_first() -> None:
    """The answer names what the upload brought."""
    upload, say = answer_of(attachments=(ReplyAttachment(kind="voice", id="att_1"),))
    assert upload.role == "prepare"
    content = content_of([say], {"media_id": "M"})
    assert content == {"MsgType": "voice", "Voice": {"MediaId": "M"}}


def test_menus_are_text_and_templates_stay_calls() -> None:
    """A choice is a link that writes for the customer."""
    (menu,) = answer_of(menu=Menu("Well?", (MenuChoice("1", "Yes"),)))
    assert "weixin://bizmsgmenu?msgmenucontent=Yes&msgmenuid=1" in menu.json["Content"]
    assert "menu sent as text" in (menu.note or "")
    (template,) = answer_of(template=Template("T"))
    assert not template.only_in_answer


async def test_it_waits_when_no_push_does() -> None:
    """And no call can say it."""
    sender = WeChatSender(account(), Workbench().tools)
    over = Allowance(trigger="answer", key="1", opened_at=NOW, until=NOW, remaining=1)
    with pytest.raises(WindowClosed, match="next message"):
        sender.compose(Reply(to=TO, text="hi"), [over])
    with pytest.raises(WindowClosed):
        await sender.send(answer_of(text="hi")[0], {})


async def test_a_push_opens_one_answer() -> None:
    """Shorter than the wait, so that what is promised to the agent is kept."""
    bench = Workbench()
    sealed = event().encode()
    adapter = WeChatAdapter(account(mode="plain"), bench.tools)
    query = {"timestamp": "1", "nonce": "2", "signature": sign(TOKEN, "1", "2")}
    request = IntakeRequest("POST", "/in/wechat/shop", urlencode(query), {}, sealed, NOW)
    intake = await adapter.accept(request)
    (message,) = normalize(intake.events[0], account())
    (opened,) = message.allowances  # type: ignore[union-attr]
    assert (opened.trigger, opened.remaining, opened.group) == ("answer", 1, "answer")
    assert opened.until is not None
    assert 4.0 < (opened.until - NOW).total_seconds() < 4.5
