"""The demo helpdesk's judgement: signatures, order, states of messages."""

from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook as TheirWebhook

from sandbox.helpdesk import Inbox, OrderKeeper, Refused, Verifier, new_webhook_secret, sign
from sandbox.helpdesk import inbox as inbox_module

NOW = 1_790_000_000
BODY = b'{"type": "message.received", "timestamp": "t", "data": {"message": {"id": "m"}}}'


def signed(secret: str, body: bytes = BODY, *, at: int = NOW) -> dict[str, str]:
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(at),
        "webhook-signature": sign(secret, "evt_1", str(at), body),
    }


def refusal(headers: dict[str, str], body: bytes = BODY, *, secret: str) -> str:
    with pytest.raises(Refused) as refused:
        Verifier(secret, lambda: NOW).verify(headers, body)
    return str(refused.value)


@pytest.fixture
def secret() -> str:
    return new_webhook_secret()


def test_the_signature_is_the_one_of_the_reference_library(secret: str) -> None:
    """Equal to what the standardwebhooks package makes."""
    theirs = TheirWebhook(secret).sign("evt_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())

    assert sign(secret, "evt_1", str(NOW), BODY) == theirs


def test_a_signed_webhook_is_believed(secret: str) -> None:
    """Also when the right signature is one of several: keys are rotated that way."""
    headers = signed(secret)
    headers["webhook-signature"] = f"v1,{'A' * 43}= {headers['webhook-signature']}"

    webhook = Verifier(secret, lambda: NOW).verify(headers, BODY)

    assert (webhook.id, webhook.type, webhook.message) == ("evt_1", "message.received", {"id": "m"})


def test_what_is_not_signed_is_refused(secret: str) -> None:
    """Another key, another body, another id, no header at all: each with its reason."""
    headers = signed(secret)

    assert "wrong" in refusal(signed(new_webhook_secret()), secret=secret)
    assert "wrong" in refusal(headers, BODY + b" ", secret=secret)
    assert "wrong" in refusal(headers | {"webhook-id": "evt_2"}, secret=secret)
    assert "wrong" in refusal(headers | {"webhook-timestamp": str(NOW + 1)}, secret=secret)
    assert "missing" in refusal({}, secret=secret)


@pytest.mark.parametrize("age,believed", [(0, True), (299, True), (301, False), (-301, False)])
def test_old_and_future_webhooks_are_refused(secret: str, age: int, believed: bool) -> None:
    """Five minutes either way."""
    headers = signed(secret, at=NOW - age)

    if believed:
        assert Verifier(secret, lambda: NOW).verify(headers, BODY)
    else:
        assert "five minutes" in refusal(headers, secret=secret)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type": 1, "timestamp": 2, "data": {}}'])
def test_a_signed_body_of_another_shape_is_refused(secret: str, body: bytes) -> None:
    """Genuine, but not an event."""
    assert "body" in refusal(signed(secret, body), body, secret=secret)


# Order -------------------------------------------------------------------


def test_order_is_judged_lane_by_lane() -> None:
    """New, repeated, missing and late events are told apart."""
    keeper = OrderKeeper()
    came = [
        ("a", "lane1", 1, "new"),
        ("b", "lane2", 7, "new"),  # the first of a lane may have any number
        ("c", "lane1", 2, "new"),
        ("c", "lane1", 2, "repeat"),
        ("d", "lane1", 4, "gap"),
        ("e", "lane1", 3, "disorder"),
        ("f", "lane1", 5, "new"),
        ("g", None, None, "new"),
    ]

    verdicts = [keeper.judge(event, lane, number) for event, lane, number, _ in came]

    assert verdicts == [verdict for *_, verdict in came]


# Conversations -----------------------------------------------------------


def message(message_id: str = "msg_1", **more: Any) -> dict[str, Any]:
    return {
        "id": message_id,
        "channel": "wechat",
        "account": "shop",
        "direction": "inbound",
        "kind": "text",
        "text": "hello",
        "sender": {"role": "contact", "address": {"value": "oAlice"}, "name": None},
        "conversation": {"id": "cnv_1", "queue": "sales"},
        "sent_at": "2026-11-21T12:00:00Z",
        "attachments": [],
        **more,
    }


def answer(status: str, **more: Any) -> dict[str, Any]:
    return message("msg_2", direction="outbound", status=status, **more)


def test_a_message_opens_a_conversation() -> None:
    """With the name from the address book, for WeChat gives none."""
    inbox = Inbox({"oAlice": "Alice"})

    inbox.add_message(message())

    summary = inbox.conversations()[0].summary()
    assert (summary["name"], summary["queue"], summary["unread"]) == ("Alice", "sales", 1)


def test_a_group_has_its_own_name_and_its_messages_their_senders() -> None:
    """Whoever speaks last gives the conversation no name."""
    inbox = Inbox()
    home = {"id": "cnv_1", "is_group": True, "thread_key": "group:7", "queue": "sales"}
    said = {"role": "contact", "address": {"value": "1"}, "name": "老王"}

    inbox.update_conversation({"id": "cnv_1", "contact": {"name": "灯友会"}})
    inbox.add_message(message("msg_1") | {"conversation": home, "sender": said})
    found = inbox.add_message(
        message("msg_2") | {"conversation": home, "sender": said | {"name": "Mia"}}
    )

    assert found is not None
    assert found[0].name == "灯友会"
    assert found[1]["sender"] == "Mia"


def test_the_same_message_counts_once() -> None:
    """Told twice, filed once."""
    inbox = Inbox()
    inbox.add_message(message())
    inbox.add_message(message())

    conversation = inbox.conversations()[0]
    assert (len(conversation.messages), conversation.unread) == (1, 1)


@pytest.mark.parametrize(
    "told,shown",
    [
        (["queued", "sending", "sent", "delivered"], "delivered"),
        (["sent", "queued"], "sent"),
        (["delivered", "sent"], "delivered"),
        (["unknown", "sent"], "sent"),
        (["held", "sending", "sent"], "sent"),
        (["sending", "failed"], "failed"),
    ],
)
def test_a_late_lower_state_is_not_believed(told: list[str], shown: str) -> None:
    """Unless it clears up what was unknown, or lets a held message go."""
    inbox = Inbox()
    inbox.add_message(answer(told[0]))
    for status in told[1:]:
        inbox.set_status(answer(status))

    found = inbox.find_message("msg_2")
    assert found is not None
    assert found[1]["status"] == shown


def test_the_newest_state_wins_where_the_hub_says_when() -> None:
    """A failed message that is sent again becomes queued, and may become sent."""
    inbox = Inbox()
    inbox.add_message(answer("failed", status_at="2026-11-21T12:00:01Z"))
    inbox.set_status(answer("queued", status_at="2026-11-21T12:00:02Z"))
    inbox.set_status(answer("failed", status_at="2026-11-21T12:00:01Z"))

    found = inbox.find_message("msg_2")
    assert found is not None
    assert found[1]["status"] == "queued"


@pytest.mark.parametrize("first", ["sent", "queued"])
def test_a_whole_second_is_before_its_fractions(first: str) -> None:
    """JSON has no fraction for a whole second, and "01Z" stands behind "01.250000Z" as text."""
    times = {"queued": "2026-11-21T12:00:01Z", "sent": "2026-11-21T12:00:01.250000Z"}
    inbox = Inbox()
    inbox.add_message(answer(first, status_at=times[first]))
    second = "queued" if first == "sent" else "sent"
    inbox.set_status(answer(second, status_at=times[second]))

    found = inbox.find_message("msg_2")
    assert found is not None
    assert found[1]["status"] == "sent"


def test_of_two_states_of_one_moment_the_further_one_counts() -> None:
    """The hub's times are whole milliseconds."""
    inbox = Inbox()
    inbox.add_message(answer("sent", status_at="2026-11-21T12:00:01.250000Z"))
    inbox.set_status(answer("queued", status_at="2026-11-21T12:00:01.250000Z"))

    found = inbox.find_message("msg_2")
    assert found is not None
    assert found[1]["status"] == "sent"


def test_a_failure_says_why() -> None:
    """From the error that the hub adds."""
    inbox = Inbox()
    error = {"code": "window_closed", "message": "The reply window is closed."}
    inbox.set_status(answer("failed", error=error))

    found = inbox.find_message("msg_2")
    assert found is not None
    assert found[1]["detail"] == "The reply window is closed."


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest conversations and messages are forgotten."""
    monkeypatch.setattr(inbox_module, "KEPT_CONVERSATIONS", 3)
    monkeypatch.setattr(inbox_module, "KEPT_MESSAGES", 2)
    inbox = Inbox()
    for home in range(5):
        for number in range(4):
            where = {"id": f"cnv_{home}"}
            inbox.add_message(message(f"msg_{home}_{number}", conversation=where))

    assert [each.id for each in inbox.conversations()] == ["cnv_2", "cnv_3", "cnv_4"]
    assert {len(each.messages) for each in inbox.conversations()} == {2}
    assert inbox.find_message("msg_0_3") is None


@pytest.mark.parametrize("raw", [{}, {"id": "msg_1"}, {"conversation": {"id": "cnv_1"}}])
def test_a_message_without_a_home_is_left(raw: dict[str, Any]) -> None:
    """Nothing is made up."""
    assert Inbox().add_message(raw) is None
