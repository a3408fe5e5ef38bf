"""Signatures of webhooks and of links; the judge is the package of Standard Webhooks."""

import base64
import re
from datetime import UTC, datetime

import msgspec
import pytest
import standardwebhooks
from standardwebhooks import Webhook

from hub.destination import Event, Target
from hub.errors import ConfigError
from hub.ids import new_id, read_trace, trace_parent
from hub.model import Secret
from hub.settings import read_table
from hub.signing import Signer, check_link, new_secret, read_secret, sign_link, verify
from outbound.helpdesks.webhook import DESTINATION, WebhookCourier, WebhookSettings

OLD = new_secret(bytes(range(32)))
NEW = new_secret(bytes(range(100, 132)))
BODY = '{"type":"message.received","data":{"text":"你好 👋"}}'.encode()


def courier(secret: str = NEW, previous: tuple[str, ...] = ()) -> WebhookCourier:
    settings = WebhookSettings(
        url="https://desk.example/hook",
        secret=Secret(secret),
        previous_secrets=[Secret(one) for one in previous],
        headers={"Authorization": Secret("Bearer abc")},
    )
    return WebhookCourier(Target("desk", "webhook", settings))


def test_the_judge_accepts_what_we_sign() -> None:
    """A request made now verifies with the reference library, for each key while they change over."""
    call = courier(NEW, (OLD,)).request(
        Event(id="evt_1", type="message.received", body=BODY), datetime.now(UTC)
    )
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(BODY, dict(call.headers)) == msgspec.json.decode(BODY)


def test_the_judge_refuses_a_changed_body() -> None:
    """One changed byte, and the reference library says no."""
    call = courier().request(Event(id="evt_1", type="t", body=BODY), datetime.now(UTC))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        Webhook(NEW).verify(BODY.replace(b"data", b"dada"), dict(call.headers))


def test_we_accept_what_the_judge_signs() -> None:
    """The same the other way round."""
    at = datetime.now(UTC)
    made = Webhook(OLD).sign("evt_1", at, BODY.decode())
    assert verify(
        [NEW, OLD],
        message_id="evt_1",
        timestamp=str(int(at.timestamp())),
        signature=f"v1a,xxx {made}",
        body=BODY,
        now=at.timestamp(),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"message_id": "evt_2"},
        {"timestamp": "1700000001"},
        {"timestamp": "١٧٠٠٠٠٠٠٠٠"},
        {"timestamp": "-1700000000"},
        {"timestamp": ""},
        {"signature": ""},
        {"signature": "v1,"},
        {"signature": "v1,é\udcff"},
        {"body": b"{}"},
        {"now": 1_700_000_301.0},
        {"now": 1_699_999_699.0},
        {"secrets": [OLD]},
        {"secrets": []},
    ],
)
def test_verify_refuses_any_change(change: dict[str, object]) -> None:
    """Each part of the signature counts, and so does its age."""
    genuine = {
        "secrets": [NEW],
        "message_id": "evt_1",
        "timestamp": "1700000000",
        "signature": Signer([NEW]).sign("evt_1", 1_700_000_000, BODY),
        "body": BODY,
        "now": 1_700_000_299.0,
    }
    assert verify(**genuine)  # type: ignore[arg-type]
    assert not verify(**{**genuine, **change})  # type: ignore[arg-type]


def test_a_replay_says_so_and_keeps_its_id() -> None:
    """A replayed event has the same id and one more header."""
    event = Event(id="evt_1", type="t", body=BODY)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    first = courier().request(event, at)
    again = courier().request(msgspec.structs.replace(event, replayed=True), at)
    assert {**first.headers, "webhook-replayed": "true"} == again.headers
    assert (
        first.url,
        first.body,
        first.headers["content-type"],
        first.headers["authorization"],
    ) == (
        "https://desk.example/hook",
        BODY,
        "application/json",
        "Bearer abc",
    )


def test_mistakes_are_told_all_at_once_and_show_no_secret() -> None:
    """A wrong URL, short keys and a reserved header are each one line."""
    table = {
        "url": "desk.example/hook",
        "secret": "whsec_" + base64.b64encode(b"short").decode(),
        "previous_secrets": ["hunter2hunter2"],
        "headers": {"Webhook-Id": "1", "x-ok": "é"},
    }
    with pytest.raises(ConfigError) as caught:
        read_table(WebhookSettings, table, source="hub.toml", key="destinations.desk")
    keys = [line.split(": ")[1].rpartition("desk.")[2] for line in caught.value.mistakes]
    assert keys == ["url", "secret", "previous_secrets[0]", "headers.Webhook-Id", "headers.x-ok"]
    assert "hunter2" not in str(caught.value)


def test_the_destination_is_a_record() -> None:
    """Its key is that of its entry point; its settings hide the secrets."""
    assert DESTINATION.key == "webhook"
    assert NEW not in repr(WebhookSettings(url="https://a.example", secret=Secret(NEW)))


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_%%%", "secret", "whsec_" + "A" * 200])
def test_a_secret_of_another_form_is_refused(text: str) -> None:
    """Neither too short nor too long, and base64."""
    with pytest.raises(ValueError):
        read_secret(text)


def test_a_link_ends_with_its_time_and_fits_its_path_only() -> None:
    """A signed link opens one path until its time."""
    key = b"k" * 32
    path, _, query = sign_link(key, "/v1/attachments/att_1/file", 1000).partition("?")
    signature = query.partition("signature=")[2]
    assert query.startswith("expires=1000&")
    assert check_link(key, path, "1000", signature, 1000)
    assert not check_link(key, path, "1000", signature, 1001)
    assert not check_link(key, path, "2000", signature, 1000)
    assert not check_link(key, path + "x", "1000", signature, 1000)
    assert not check_link(b"j" * 32, path, "1000", signature, 1000)
    assert not check_link(key, path, "1e3", signature, 1000)
    assert not check_link(key, path, "1000", "é", 1000)


def test_the_trace_of_a_message_rides_along() -> None:
    """As the W3C writes it; one trace id for a message, another span for each event, and back again."""
    message, event = new_id(), new_id()
    trace = trace_parent(message, event)
    call = courier().request(Event(id="evt_1", type="t", body=BODY, trace=trace), datetime.now(UTC))
    assert call.headers["traceparent"] == trace
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
    assert read_trace(trace) == read_trace(message.hex) == message
    assert trace_parent(message, new_id())[:36] == trace[:36]
    assert [read_trace(text) for text in ("", "00-xyz-1-01", "msg_1", "f" * 31)] == [None] * 4
