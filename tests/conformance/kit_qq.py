"""The QQ bot's kit: signed pushes, the address check, and the platform's answers."""

import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.qq import CHANNEL, QqSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    RecipientGone,
    Rejected,
    Unreachable,
    WindowClosed,
)
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit, HttpCall, Platform, json_answer, post
from hub.testing.kit import NOW

APP_ID = "102000000"
SECRET = "conformanceSecret0123456"
OPENID = "E4F4AEA33253A2797FB897C50B81D7ED"
PATH = "/in/qq/conformance"
TIMESTAMP = str(int(NOW.timestamp()))
KEY = Ed25519PrivateKey.from_private_bytes((SECRET * 3).encode()[:32])


def signed(body: bytes) -> IntakeRequest:
    """As the platform signs, written again so that it can judge ours."""
    return post(
        PATH,
        "",
        body,
        x_bot_appid=APP_ID,
        x_signature_timestamp=TIMESTAMP,
        x_signature_ed25519=KEY.sign(TIMESTAMP.encode() + body).hex(),
        user_agent="QQBot-Callback",
    )


def frame(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "id": f"C2C_MESSAGE_CREATE:{number}",
            "op": 0,
            "s": number,
            "t": "C2C_MESSAGE_CREATE",
            "d": {
                "id": f"ROBOT1.0_{number}!",
                "author": {"user_openid": OPENID},
                "content": f"number {number}",
                "timestamp": "2026-01-02T11:04:00+08:00",
            },
        }
    )


def sealed(body: bytes) -> IntakeRequest:
    """Any bytes, signed; they stand behind a brace, since nothing without one can be an event."""
    return signed(b"{" + body)


def event(body: bytes) -> InboundEvent:
    """A frame as the gateway's listener emits it."""
    return InboundEvent(
        dedupe_key=f"sha256:{hashlib.sha256(body).hexdigest()}",
        order_key=f"c2c:{OPENID}",
        body=body,
        received_at=NOW,
        proof="gateway",
    )


def handshake() -> IntakeRequest:
    body = b'{"op":13,"d":{"plain_token":"Arq0D5A61EgUu4OxUvOp","event_ts":"1725442341"}}'
    return post(PATH, "", body, x_bot_appid=APP_ID)


def support(call: HttpCall) -> HttpAnswer | None:
    if call.url.endswith("/app/getAppAccessToken"):
        return json_answer({"access_token": "ACCESS-TOKEN-OF-THE-KIT", "expires_in": "7200"})
    return None


def refusal(code: int, status: int = 400, *, err_code: int | None = None) -> HttpAnswer:
    body = {"message": "no", "code": code, "err_code": err_code or code, "trace_id": "8cbfe0"}
    return json_answer(body, status)


KIT = ChannelKit(
    channel=CHANNEL,
    settings=QqSettings(app_id=APP_ID, secret=Secret(SECRET)),
    to=Address("qq", APP_ID, OPENID),
    sample=lambda number: signed(frame(number)),
    sealed=sealed,
    event=event,
    samples=tuple(event(frame(number)) for number in range(3)),
    handshake=handshake(),
    proof=("header:x-signature-ed25519", "header:x-signature-timestamp", "header:x-bot-appid"),
    reply_context={"msg_id": "ROBOT1.0_0!"},
    platform=Platform(
        said=json_answer({"id": "ROBOT1.0_said", "timestamp": "2026-01-02T11:04:06+08:00"}),
        support=support,
        refusals={
            "an error inside 200": (refusal(40034006, 200), Rejected),
            "codes that differ": (refusal(11255, err_code=40011028), RecipientGone),
            "only err_code known": (refusal(987654, err_code=40034005), WindowClosed),
            "anchor over": (refusal(40034026), WindowClosed),
            "anchor not good": (refusal(40034024), WindowClosed),
            "used up": (refusal(304103), WindowClosed),
            "not friends": (refusal(40054004), RecipientGone),
            "refused": (refusal(40054013), RecipientGone),
            "too often": (refusal(22009), RateLimited),
            "quota": (refusal(40034100), RateLimited),
            "the platform's trouble": (refusal(50055001), Ambiguous),
            "a file not fetched": (refusal(304082), Unreachable),
            "link": (refusal(304003), Rejected),
            "too long": (refusal(40054007), Rejected),
            "no right to write first": (refusal(40034105), Rejected),
            "wrong token": (refusal(11241, 401), BadCredentials),
            "address not in the list": (refusal(11298, 401), BadCredentials),
        },
        unknown=refusal(987654),
        expired=refusal(11244, 401),
    ),
)
