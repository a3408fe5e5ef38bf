"""What an item of customer service opens and answers by itself; the types are in tests/fixtures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from adapters.wechat_kefu import KefuSettings
from hub.channel import Account
from hub.model import Address, Draft, InboundEvent, Message, Notice, Receipt, Secret
from normalizers._kefu_item import item_key, order_of
from normalizers.wechat_kefu import normalize

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def account(**changes: Any) -> Account[Any]:
    settings = KefuSettings(
        corp_id="ww0123456789abcdef",
        secret=Secret("s"),
        token=Secret("t"),
        aes_key=Secret("a" * 43),
        **changes,
    )
    return Account("shop", "wechat_kefu", settings)


def results(item: dict[str, Any], after: float = 1.0, **changes: Any) -> list[Any]:
    """What *item*, made at AT and pulled *after* seconds, means."""
    body = msgspec.json.encode({"msgid": "m1", "send_time": int(AT.timestamp()), **item})
    event = InboundEvent(
        dedupe_key=item_key(item, body),
        order_key="o",
        body=body,
        received_at=AT + timedelta(seconds=after),
        headers={"open_kfid": "wk1"},
    )
    return list(normalize(event, account(**changes)))


def happened(kind: str, **facts: Any) -> dict[str, Any]:
    event = {"event_type": kind, "open_kfid": "wk1", "external_userid": "wm1", **facts}
    return {"origin": 4, "msgtype": "event", "event": event}


def said(origin: int = 3, **more: Any) -> dict[str, Any]:
    ids = {"open_kfid": "wk1", "external_userid": "wm1", "origin": origin}
    return {**ids, "msgtype": "text", "text": {"content": "hi"}, **more}


def drafts(item: dict[str, Any], **options: Any) -> tuple[Draft, ...]:
    (notice,) = results(item, **options)
    assert isinstance(notice, Notice)
    return notice.drafts


def test_a_message_opens_five_replies_in_two_days() -> None:
    """And each takes the place of the one before."""
    (message,) = results(said())
    assert isinstance(message, Message)
    (opened,) = message.allowances
    assert (opened.remaining, opened.until, opened.group) == (
        5,
        AT + timedelta(hours=48),
        "message",
    )
    assert message.reply_context == {"open_kfid": "wk1"}


def test_a_servicers_words_are_an_agents_and_open_nothing() -> None:
    """They stand in the customer's conversation, and nobody is to answer them."""
    (message,) = results(said(5, servicer_userid="lisi"))
    (customers,) = results(said())
    assert message.sender.role == "agent"
    assert message.conversation == customers.conversation
    assert message.sender.address == customers.sender.address
    assert message.allowances == ()
    assert message.extra["servicer_userid"] == "lisi"


def test_what_the_platform_itself_says_is_nobodys_question() -> None:
    """A message of origin 4 stands in the conversation and opens no reply."""
    (message,) = results(said(4))
    assert isinstance(message, Message)
    assert message.sender.role == "system"
    assert (message.allowances, message.reply) == ((), None)


def test_one_person_by_the_unionid() -> None:
    """Where the enterprise has bound its accounts; nobody else is claimed."""
    profile = {"external_userid": "wm1", "nickname": "Lin"}
    (bound,) = results({**profile, "unionid": " oUnion "})
    (unbound,) = results({**profile, "unionid": ""})
    assert isinstance(bound, Notice)
    assert isinstance(unbound, Notice)
    assert bound.same_as == (Address("wechat_union", "", "oUnion"),)
    assert unbound.same_as == ()


def test_the_welcome() -> None:
    """One call with the code, useful for 20 seconds."""
    entered = happened("enter_session", welcome_code="CODE")
    (draft,) = drafts(entered, welcome_text="您好")
    assert draft.url.endswith("/cgi-bin/kf/send_msg_on_event?access_token=***")
    assert draft.json["code"] == "CODE"
    assert draft.json["text"] == {"content": "您好"}
    assert 0 < len(draft.json["msgid"]) <= 32
    assert draft.deadline == AT + timedelta(seconds=20)
    assert draft.cost == 0
    assert not draft.repeatable


@pytest.mark.parametrize(
    "options,code",
    [
        ({"welcome_text": "hi", "after": 20.0}, "CODE"),
        ({"welcome_text": "hi", "after": 86400.0}, "CODE"),
        ({"welcome_text": "hi"}, ""),
        ({"goodbye_text": "bye"}, "CODE"),
        ({}, "CODE"),
    ],
)
def test_no_welcome(options: dict[str, Any], code: str) -> None:
    """Not to those who came long ago, not without a code, and not unless the owner wants it."""
    assert drafts(happened("enter_session", welcome_code=code), **options) == ()


@pytest.mark.parametrize("change,answers", [(1, 0), (2, 0), (3, 1), (4, 0)])
def test_the_goodbye(change: int, answers: int) -> None:
    """Only when the session has ended."""
    ended = happened("session_status_change", change_type=change, msg_code="CODE")
    assert len(drafts(ended, goodbye_text="bye", welcome_text="hi")) == answers


def test_a_code_is_not_shown() -> None:
    """Whoever has it can speak to the customer once."""
    for item in (
        happened("enter_session", welcome_code="CODE-1"),
        happened("session_status_change", change_type=3, msg_code="CODE-1"),
    ):
        (notice,) = results(item)
        assert "CODE-1" not in repr(notice.extra)


def test_a_report_of_failure_names_our_id() -> None:
    """The message that it is about is known by the id that we gave it."""
    (receipt,) = results(happened("msg_send_fail", fail_msgid="ours", fail_type=6))
    assert isinstance(receipt, Receipt)
    assert (receipt.status, receipt.external_id) == ("failed", "ours")
    assert receipt.code == "fail_type 6"
    (nameless,) = results(happened("msg_send_fail", fail_type=6))
    assert isinstance(nameless, Notice)


def test_a_profile_names_the_customer() -> None:
    """It belongs to the desk where the customer was met."""
    (notice,) = results({"external_userid": "wm1", "nickname": "Lin"})
    assert notice.sender.name == "Lin"
    assert notice.conversation.thread_key == "wk1:wm1"


def test_keys() -> None:
    """One customer at one desk stays in order; the platform's id makes an item the same."""
    assert order_of(said(), "wk9") == "wk1:wm1"
    assert order_of(happened("enter_session"), "wk9") == "wk1:wm1"
    assert order_of({}, "wk9") == "wk9"
    assert order_of(None, "wk9") == "wk9"
    assert item_key({"msgid": "m1"}, b"a") == item_key({"msgid": "m1"}, b"b") == "kf:m1"
    assert item_key({"msgid": "x" * 129}, b"a") == item_key(None, b"a") != item_key(None, b"b")
