"""Published and constructed vectors of the SMS providers, where they are at hand."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from adapters.sms_twilio import CHANNEL as TWILIO
from adapters.sms_twilio import TwilioAdapter, TwilioSettings
from hub.channel import Account, IntakeRequest
from hub.errors import NotAuthentic
from hub.model import InboundEvent, Message, Notice, Receipt, Result, Secret
from hub.segments import count_segments
from hub.testing import Workbench

_spec = importlib.util.spec_from_file_location(
    "shared_material", Path(__file__).with_name("shared_material.py")
)
assert _spec is not None
assert _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)

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
    from adapters._twilio_signature import sign
    from adapters.sms_twilio import read_pairs

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
