"""What a push means: what it lets us say, who said it, when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wechatpy import parse_message

from adapters.wechat import WeChatSettings
from hub.channel import Account
from hub.model import Address, Allowance, InboundEvent, Message, Notice, Secret
from normalizers._wechat_fields import identity, read_fields, text_of
from normalizers.wechat import normalize

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SAID = datetime(2025, 12, 29, 9, 20, tzinfo=UTC)
ACCOUNT: Account[Any] = Account(
    "shop", "wechat", WeChatSettings(app_id="wx0123456789abcdef", token=Secret("unused"))
)


def push(kind: str, **fields: object) -> bytes:
    common = {"FromUserName": "o1", "CreateTime": int(SAID.timestamp()), "MsgType": kind}
    parts = (f"<{name}>{value}</{name}>" for name, value in {**common, **fields}.items())
    return f"<xml>{''.join(parts)}</xml>".encode()


def meaning(body: bytes) -> Any:
    event = InboundEvent(
        dedupe_key=identity(read_fields(body), body), order_key="o1", body=body, received_at=NOW
    )
    (result,) = normalize(event, ACCOUNT)
    return result


def test_a_message_opens_five_replies_in_48_hours() -> None:
    """Each message of a customer replaces the allowance of the one before."""
    message = meaning(push("text", Content="hello", MsgId=7))
    expected = Allowance(
        trigger="message",
        key="msg:o1:7",
        opened_at=SAID,
        until=SAID + timedelta(hours=48),
        remaining=5,
        group="message",
    )
    assert message.allowances == (expected,)
    assert (message.reply.until, message.reply.remaining) == (expected.until, 5)


def test_a_menu_tap_counts_as_a_menu_click() -> None:
    """The tap on an item of a msgmenu looks like a text, and opens three replies in one minute."""
    message = meaning(push("text", Content="满意", bizmsgmenuid="101", MsgId=7))
    (opened,) = message.allowances
    assert (opened.trigger, opened.remaining, opened.group) == ("menu", 3, "menu")
    assert opened.until == SAID + timedelta(minutes=1)
    assert (message.kind, message.choice.id, message.choice.label) == ("choice", "101", "满意")


@pytest.mark.parametrize(
    "event,trigger",
    [
        ("subscribe", "subscribe"),
        ("SCAN", "scan"),
        ("CLICK", "menu"),
        ("scancode_push", "menu"),
        ("scancode_waitmsg", "menu"),
        ("VIEW", None),
        ("unsubscribe", None),
        ("LOCATION", None),
        ("pic_weixin", None),
    ],
)
def test_what_an_event_opens(event: str, trigger: str | None) -> None:
    """Only clicks that ask something, scans and subscriptions let us say three things in a minute."""
    notice = meaning(push("event", Event=event))
    expected = [(trigger, 3, timedelta(minutes=1))] if trigger else []
    found = [(one.trigger, one.remaining, one.until - one.opened_at) for one in notice.allowances]
    assert expected == found


def test_who_and_where() -> None:
    """A person is an openid of one app id, and a conversation is a person."""
    message = meaning(push("text", Content="hello", MsgId=7))
    assert message.sender.address == Address("wechat", "wx0123456789abcdef", "o1")
    assert message.conversation.thread_key == "o1"
    assert message.sent_at == SAID


@pytest.mark.parametrize("odd", ["", "soon", "-1", "0", "1767000000000", "٣", "1e9", "9" * 30])
def test_an_odd_time_is_the_time_of_arrival(odd: str) -> None:
    """CreateTime that is no whole number of seconds is not believed."""
    assert meaning(push("text", CreateTime=odd, Content="x", MsgId=7)).sent_at == NOW


def test_an_event_about_the_account_has_no_customer() -> None:
    """What the platform says about the account belongs to no conversation."""
    notice = meaning(push("event", Event="annual_renew", ExpiredTime="1"))
    assert (notice.kind, notice.sender, notice.conversation) == ("account_renewal_due", None, None)


def test_an_unreadable_push_opens_nothing() -> None:
    """Nobody knows whose it is, so it lets us say nothing; it is shown all the same."""
    message = meaning(b"\xff")
    assert (message.kind, message.allowances, message.reply) == ("unsupported", (), None)


@given(st.binary(max_size=400))
def test_any_bytes_are_shown(body: bytes) -> None:
    """No authentic body makes the normalizer raise."""
    assert isinstance(meaning(body), Message | Notice)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(
    st.dictionaries(
        st.sampled_from(["MsgType", "Event", "FromUserName", "CreateTime", "Location_X", "List"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
            ),
        ),
    )
)
def test_any_json_is_shown(fields: dict[str, Any]) -> None:
    """Fields of any type, lists and tables where text should be: shown, never an exception."""
    import json

    assert isinstance(meaning(json.dumps(fields).encode()), Message | Notice)


words = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1
).map(lambda text: text.replace("]]>", ""))


@given(content=words, sender=st.from_regex(r"o[A-Za-z0-9_-]{27}", fullmatch=True))
def test_wechatpy_reads_the_same(content: str, sender: str) -> None:
    """Their parser finds the same text and sender, but for the blanks that it strips."""
    body = (
        f"<xml><FromUserName><![CDATA[{sender}]]></FromUserName><ToUserName>g</ToUserName>"
        f"<CreateTime>1</CreateTime><MsgType>text</MsgType><Content><![CDATA[{content}]]></Content>"
        f"<MsgId>7</MsgId></xml>"
    ).encode()
    theirs = parse_message(body)
    ours = read_fields(body) or {}
    assert theirs.source == text_of(ours, "FromUserName")
    assert (theirs.content or "").strip() == text_of(ours, "Content").strip()
