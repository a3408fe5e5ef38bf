"""Gateways by settings: what proves a callback, and requests that carry all in their URL."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from adapters._gateway_proof import Signature
from adapters.sms_http import GatewayAdapter, GatewaySettings
from hub.channel import Account, HttpAnswer, IntakeRequest
from hub.errors import NotAuthentic
from hub.model import Address, Reply, Secret
from hub.testing import Workbench
from outbound.sms_http import GatewaySender, Sending

KEY = b"0123456789abcdef"


def asked(method: str, query: str, body: bytes, signed: bytes) -> IntakeRequest:
    signature = hmac.new(KEY, signed, hashlib.sha256).hexdigest()
    headers = {"x-signature": signature, "content-type": "application/json"}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return IntakeRequest(method, "/in/sms_http/shop", query, headers, body, at, None)


def door() -> GatewayAdapter:
    signature = Signature(kind="hmac_header", secret=Secret(KEY.decode()))
    settings = GatewaySettings(signature=signature)
    return GatewayAdapter(Account("shop", "sms_http", settings), Workbench().tools)


async def test_a_signature_of_nothing_proves_nothing() -> None:
    """One request without a body would open the door for any text in the query, for ever."""
    query = "from=%2B447700900001&text=forged&id=1"
    with pytest.raises(NotAuthentic):
        await door().accept(asked("GET", query, b"", b""))
    with pytest.raises(NotAuthentic):
        await door().accept(asked("POST", query, b"", b""))


async def test_a_signed_body_counts_and_its_query_does_not() -> None:
    """What is read is what was signed."""
    body = b'{"from":"+447700900001","text":"genuine","id":"2"}'
    intake = await door().accept(asked("POST", "text=forged", body, body))
    assert [b"genuine" in event.body for event in intake.events] == [True]


async def test_a_text_in_the_url_stays_one_value() -> None:
    """Many gateways are called by GET; a text has blanks, and may look like further fields."""
    path = "/send?key={key}&to={to}&text={text}"
    sending = Sending(
        method="GET", api_base="https://sms.example", path=path, secrets={"key": Secret("a&b")}
    )
    account = Account("shop", "sms_http", GatewaySettings(number="SHOP", send=sending))
    bench = Workbench(lambda call: HttpAnswer(200, {}, b""))
    sender = GatewaySender(account, bench.tools)
    reply = Reply(to=Address("tel", "", "+447700900001"), text="Hi & to=+1 #你")
    (draft,) = sender.compose(reply, ())
    await sender.send(draft, {})
    said = "to=%2B447700900001&text=Hi%20%26%20to%3D%2B1%20%23%E4%BD%A0"
    assert draft.url == f"https://sms.example/send?key=***&{said}"
    assert [call.url for call in bench.http.calls] == [f"https://sms.example/send?key=a%26b&{said}"]
