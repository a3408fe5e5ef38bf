"""The kit of any gateway, set up as Vonage: signed parameters, answers as it documents them."""

import hashlib
import hmac
from urllib.parse import urlencode

from adapters.sms_http import CHANNEL, GatewaySettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import BadCredentials, RateLimited, RecipientGone, Rejected
from hub.model import Address
from hub.settings import read_table
from hub.testing import ChannelKit, Platform, json_answer
from hub.testing.kit import NOW

SECRET = "conformance-signature-secret"
SETTINGS = read_table(
    GatewaySettings,
    {
        "provider": "Vonage",
        "number": "447700900000",
        "inbound": {
            "id": "messageId",
            "sender": "msisdn",
            "recipient": "to",
            "time": "message-timestamp",
            "time_format": "%Y-%m-%d %H:%M:%S",
        },
        "reports": {"id": "messageId", "status": "status", "recipient": "msisdn"},
        "signature": {"kind": "sorted_params", "secret": SECRET},
        "send": {
            "api_base": "https://rest.nexmo.com",
            "path": "/sms/json",
            "secrets": {"api_secret": "conformance-api-secret"},
            "form": {
                "api_key": "abcd1234",
                "api_secret": "{api_secret}",
                "to": "{to_digits}",
                "from": "{from}",
                "text": "{text}",
                "client-ref": "{id}",
            },
            "ok_path": "messages.0.status",
            "ok_values": ["0"],
            "id_path": "messages.0.message-id",
            "error_path": "messages.0.error-text",
            "errors": {"1": "rate_limited", "4": "bad_credentials", "7": "recipient_gone"},
        },
    },
    source="kit",
)


def signed(params: dict[str, str]) -> IntakeRequest:
    """As the gateway signs, written again so that it can judge ours."""
    text = "".join(
        f"&{name}={value.replace('&', '_').replace('=', '_')}"
        for name, value in sorted(params.items())
    )
    made = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    query = urlencode({**params, "sig": made})
    return IntakeRequest("GET", "/in/sms_http/conformance", query, {}, b"", NOW)


def fields(number: int) -> dict[str, str]:
    return {
        "msisdn": "447700900001",
        "to": "447700900000",
        "messageId": f"0A{number:014}",
        "text": f"number {number}",
        "type": "text",
        "message-timestamp": "2026-01-01 12:00:00",
        "timestamp": "1767268800",
        "nonce": "aaaaaaaa-bbbb",
    }


def sealed(body: bytes) -> IntakeRequest:
    return signed({**fields(1), "text": body.decode("utf-8", "replace").replace("\0", " ")})


def status(code: str) -> HttpAnswer:
    return json_answer({"message-count": "1", "messages": [{"status": code, "error-text": "no"}]})


KIT = ChannelKit(
    channel=CHANNEL,
    settings=SETTINGS,
    to=Address("tel", "", "+447700900001"),
    sample=lambda number: signed(fields(number)),
    sealed=sealed,
    proof=("query:sig",),
    platform=Platform(
        said=json_answer({"messages": [{"status": "0", "message-id": "0A0000000123ABCD1"}]}),
        refusals={
            "throttled": (status("1"), RateLimited),
            "wrong key": (status("4"), BadCredentials),
            "no such number": (status("7"), RecipientGone),
            "not there": (HttpAnswer(404, {}, b"{}"), Rejected),
            "forbidden": (HttpAnswer(403, {}, b"no"), BadCredentials),
        },
        unknown=status("99"),
    ),
)
