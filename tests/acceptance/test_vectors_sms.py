"""Published and constructed vectors of the SMS providers, where they are at hand."""

import asyncio
import hashlib
import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from alibabacloud_tea_openapi.utils import Utils

from adapters._twilio_signature import sign
from adapters.sms_aliyun import CHANNEL as ALIYUN
from adapters.sms_aliyun import AliyunSettings
from adapters.sms_http import CHANNEL as GATEWAY
from adapters.sms_http import GatewayAdapter, GatewaySettings
from adapters.sms_tencent import CHANNEL as TENCENT
from adapters.sms_tencent import TencentSettings
from adapters.sms_twilio import CHANNEL as TWILIO
from adapters.sms_twilio import TwilioAdapter, TwilioSettings, read_pairs
from hub.channel import Account, HttpAnswer, IntakeRequest
from hub.errors import NotAuthentic, NotRecognised, RecipientGone
from hub.model import InboundEvent, Message, Notice, Receipt, Result, Secret
from hub.segments import count_segments
from hub.settings import channel_part, read_table
from hub.testing import Workbench
from normalizers._gateway_fields import items_in
from outbound._acs3 import canonical_query
from outbound._acs3 import signature as acs3
from outbound._tc3 import signature as tc3
from outbound.sms_aliyun import judge as aliyun_judge
from outbound.sms_tencent import error_of
from outbound.sms_tencent import judge as tencent_judge
from tests.support import shared_material as shared

FOLDER = "vectors/qq_sms"
INDEX = f"{FOLDER}/index.json"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = shared.needs(FOLDER)


def of(kind: str, *providers: str) -> Any:
    chosen = [one for one in shared.entries(INDEX, kind) if one.values[0]["provider"] in providers]
    return pytest.mark.parametrize("entry", chosen)


def vector(entry: dict[str, Any]) -> Any:
    return shared.read_json(f"{FOLDER}/{entry['file']}")


def raw(entry: dict[str, Any]) -> bytes:
    return bytes((shared.SHARED / FOLDER / entry["file"]).read_bytes())


def event_of(body: bytes, key: str = "k", **headers: str) -> InboundEvent:
    return InboundEvent(
        dedupe_key=key, order_key="somebody", body=body, received_at=NOW, headers=headers
    )


# --- segments ---------------------------------------------------------------------------------------


@of("vector", "sms")
def test_segments(entry: dict[str, Any]) -> None:
    """Alphabet and count."""
    made = vector(entry)
    counted = count_segments(made["inputs"]["text"])
    found = {"encoding": counted.encoding, "segments": counted.segments}
    assert found == made["expect"]


# --- Twilio -----------------------------------------------------------------------------------------


def twilio(token: str, public_url: str) -> TwilioAdapter:
    settings = TwilioSettings(
        account_sid="AC00",
        auth_token=Secret(token),
        public_url=public_url,
        from_number="+15005550006",
    )
    return TwilioAdapter(Account("shop", "sms_twilio", settings), Workbench().tools)


@of("vector", "twilio")
async def test_twilio_signature(entry: dict[str, Any]) -> None:
    """Taken or refused at the door, over the request as it came."""
    made = vector(entry)
    inputs = made["inputs"]
    parts = urlsplit(inputs["url"])
    as_json = inputs.get("json_body")
    request = IntakeRequest(
        "POST",
        parts.path,
        parts.query,
        {
            "content-type": "application/json" if as_json else "application/x-www-form-urlencoded",
            "x-twilio-signature": inputs["signature"],
        },
        (as_json or urlencode([(name, value) for name, value in inputs["params"]])).encode(),
        NOW,
    )
    adapter = twilio(inputs["auth_token"], f"{parts.scheme}://{parts.netloc}")
    try:
        genuine = bool((await adapter.accept(request)).events)
    except NotAuthentic:
        genuine = False
    assert genuine == made["expect"]["valid"]


async def twilio_results(body: bytes) -> tuple[str, list[Result]]:
    """The key and the results of a genuine callback with *body*."""
    path, base = "/in/sms_twilio/shop", "https://hub.example.com"
    headers = {"x-twilio-signature": sign("token", f"{base}{path}", read_pairs(body))}
    adapter = twilio("token", base)
    (event,) = (await adapter.accept(IntakeRequest("POST", path, "", headers, body, NOW))).events
    settings = TwilioSettings(account_sid="AC00", auth_token=Secret("token"))
    return event.dedupe_key, list(TWILIO.normalize(event, Account("shop", "sms_twilio", settings)))


@of("sample-payload", "twilio")
async def test_twilio_samples(entry: dict[str, Any]) -> None:
    """What each callback means; the error answer is in the tests of the sender."""
    expect = entry["expect"]
    if entry["event"] not in ("inbound", "status"):
        pytest.skip("an answer of the API")
    key, results = await twilio_results(raw(entry).strip())
    first = results[0]
    assert key == expect.get("dedupe", key)
    if isinstance(first, Message):
        assert first.text == expect.get("text", first.text)
        assert len(first.attachments) == expect.get("attachments", 0)
    else:
        assert isinstance(first, Receipt)
        assert first.status == expect.get("status", "failed")
    opted_out = any(isinstance(one, Notice) and one.consent == "withdrawn" for one in results)
    assert opted_out == expect.get("opt_out", False)


# --- Alibaba Cloud ----------------------------------------------------------------------------------


@of("vector", "aliyun")
def test_aliyun_signature(entry: dict[str, Any]) -> None:
    """The signature of version 3, and how parameters are escaped; version 1 is not spoken here."""
    made = vector(entry)
    inputs, expect = made["inputs"], made["expect"]
    if made["scheme"] == "aliyun-percent-encode":
        assert canonical_query(inputs) == expect["query"]
    elif made["scheme"] == "acs3-hmac-sha256":
        _names, signed = acs3(
            inputs["access_key_secret"],
            inputs["method"],
            inputs["uri"],
            canonical_query(inputs["query"]),
            inputs["headers"],
            inputs["body"].encode(),
        )
        assert signed == expect["signature"]
    else:
        assert rpc_signature(inputs) == expect["signature"]


def rpc_signature(inputs: dict[str, Any]) -> str:
    """Version 1, as Alibaba's own package makes it: the vectors hold for the peer of our tests."""
    return str(
        Utils.get_rpcsignature(inputs["params"], inputs["method"], inputs["access_key_secret"])
    )


def mainland(channel: Any, body: bytes) -> tuple[Any, list[Result]]:
    """The answer and the results of a callback."""
    settings: Any = (
        AliyunSettings(access_key_id="id", access_key_secret=Secret("s"), sign_name="小店")
        if channel is ALIYUN
        else TencentSettings(
            secret_id="id", secret_key=Secret("s"), sdk_app_id="1400", sign_name="小店"
        )
    )
    account = Account("shop", channel.key, settings)
    request = IntakeRequest("POST", "/in", "", {}, body, NOW)
    intake = asyncio.run(channel.adapter(account, Workbench().tools).accept(request))
    results = [one for event in intake.events for one in channel.normalize(event, account)]
    return intake, results


@of("sample-payload", "aliyun")
def test_aliyun_samples(entry: dict[str, Any]) -> None:
    """A reply, a report, an answer of the API."""
    expect = entry.get("expect", {})
    if entry["event"] == "SendSms response":
        answer = HttpAnswer(200, {}, raw(entry))
        assert aliyun_judge(answer)["BizId"] == vector(entry)["BizId"]
        return
    intake, results = mainland(ALIYUN, raw(entry))
    if entry["event"] == "SmsUp":
        assert len(results) == expect["messages"]
        assert json.loads(intake.response.body) == expect["reply"]
        (message,) = results
        assert isinstance(message, Message)
        assert f"{message.sent_at:%Y-%m-%dT%H:%M:%SZ}" == expect["send_time_utc"]
    else:
        (receipt,) = results
        assert isinstance(receipt, Receipt)
        assert receipt.status == expect["status"]


# --- Tencent Cloud ----------------------------------------------------------------------------------


@of("vector", "tencent")
def test_tencent_signature(entry: dict[str, Any]) -> None:
    """TC3, over the bytes as they are sent."""
    inputs, expect = vector(entry)["inputs"], vector(entry)["expect"]
    body = inputs["payload"].encode()
    assert hashlib.sha256(body).hexdigest() == expect["payload_sha256"]
    _names, signed = tc3(
        inputs["secret_key"], inputs["service"], inputs["timestamp"], inputs["headers"], body
    )
    assert signed == expect["signature"]


@of("sample-payload", "tencent")
def test_tencent_samples(entry: dict[str, Any]) -> None:
    """A reply, which is an object, a report, which is a list, and a number refused inside 200."""
    expect = entry.get("expect", {})
    if entry["event"] == "SendSms response":
        response = tencent_judge(HttpAnswer(200, {}, raw(entry)))
        failed = response["SendStatusSet"][1]
        assert isinstance(error_of(failed["Code"], failed["Message"], response), RecipientGone)
        return
    intake, results = mainland(TENCENT, raw(entry))
    (first,) = results
    if entry["event"] == "reply":
        made = vector(entry)
        parts = [
            str(made[name]) for name in ("nationcode", "mobile", "extend", "sign", "text", "time")
        ]
        assert intake.events[0].dedupe_key == hashlib.sha256("|".join(parts).encode()).hexdigest()
        assert json.loads(intake.response.body) == expect["ack"]
        assert isinstance(first, Message)
    else:
        assert isinstance(first, Receipt)
        assert first.status == expect["status"]


# --- any gateway: Vonage and MessageBird, with the settings of the docs -----------------------------


def gateway(name: str, **changes: Any) -> tuple[Any, Account[Any]]:
    """The door and the account of an example of the docs."""
    page = (Path(__file__).parents[2] / "docs/channels/sms_http.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- file: {name}.toml -->\n```toml\n(.*?)```", page, re.DOTALL)
    assert found
    (table,) = tomllib.loads(re.sub(r"\$\{\w+\}", "secret", found[1]))["accounts"].values()
    table = channel_part(table) | changes.pop("top", {})
    table["signature"] |= changes
    account = Account("shop", "sms_http", read_table(GatewaySettings, table, source="docs"))
    return GatewayAdapter(account, Workbench().tools), account


@of("vector", "vonage")
async def test_vonage_signature(entry: dict[str, Any]) -> None:
    """Taken at the door; a changed parameter is not."""
    inputs = vector(entry)["inputs"]
    params = {name: str(value) for name, value in inputs["params"].items()}
    adapter, _ = gateway(
        "vonage",
        secret=inputs["signature_secret"],
        algorithm=inputs["method"],
        max_age_s=10**10,
    )
    for change, genuine in (({}, True), ({"param9": "x"}, False)):
        query = urlencode({**params, **change, "sig": vector(entry)["expect"]["signature"]})
        request = IntakeRequest("GET", "/in", query, {}, b"", NOW)
        assert await is_taken(adapter, request) == genuine


async def is_taken(adapter: Any, request: IntakeRequest) -> bool:
    try:
        await adapter.accept(request)
    except NotAuthentic:
        return False
    except NotRecognised:
        return True  # genuine, and with nothing in it
    return True


@of("vector", "messagebird")
async def test_messagebird_signature(entry: dict[str, Any]) -> None:
    """The token is over URL, body and time; its own package says the same."""
    inputs = vector(entry)["inputs"]
    parts = urlsplit(inputs["url"])
    adapter, _ = gateway(
        "messagebird",
        secret=inputs["secret"],
        top={"public_url": f"{parts.scheme}://{parts.netloc}"},
    )
    body = (inputs["payload"] or "").encode()
    request = IntakeRequest(
        "POST" if body else "GET",
        parts.path,
        parts.query,
        {"messagebird-signature-jwt": inputs["token"], "content-type": "text/plain"},
        body,
        datetime.fromtimestamp(inputs["now"], UTC),
    )
    assert await is_taken(adapter, request) == vector(entry)["expect"]["valid"]


@of("sample-payload", "vonage")
def test_vonage_samples(entry: dict[str, Any]) -> None:
    """A message and a report."""
    _adapter, account = gateway("vonage")
    (fields,) = items_in("", raw(entry).strip())
    (result,) = GATEWAY.normalize(event_of(json.dumps(fields).encode()), account)
    if entry["event"] == "inbound":
        assert isinstance(result, Message)
        assert result.text == "Hello"
        assert result.sender.address.value == "+447700900001"
        assert result.external_id == "0A0000000123ABCD1"
        assert f"{result.sent_at:%Y-%m-%d %H:%M:%S}" == "2026-01-01 12:00:00"
    else:
        assert isinstance(result, Receipt)
        assert (result.status, result.external_id) == ("delivered", "0A2")
