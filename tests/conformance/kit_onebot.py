"""OneBot's kit: signed events at the door, frames as a connection brings them, actions by HTTP."""

import hashlib
import hmac
import json

from adapters._onebot_link import event_of
from adapters.onebot import CHANNEL, OneBotSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import BadCredentials, Rejected, Unsupported
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit, Platform, json_answer, post
from hub.testing.kit import NOW
from normalizers._json_fields import read_object

SELF_ID = 10001000
SECRET = "conformance-secret"


def sealed(body: bytes) -> IntakeRequest:
    """Any bytes, signed as an implementation signs them."""
    digest = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    headers = {"x_self_id": str(SELF_ID), "x_signature": f"sha1={digest}"}
    return post("/in/onebot/conformance", "", body, content_type="application/json", **headers)


def message(number: int) -> bytes:
    """The event that brings message *number*."""
    return json.dumps(
        {
            "time": 1767323000 + number,
            "self_id": SELF_ID,
            "post_type": "message",
            "message_type": "private",
            "sub_type": "friend",
            "message_id": 12 + number,
            "user_id": 12345678,
            "message": [{"type": "text", "data": {"text": f"number {number}"}}],
            "raw_message": f"number {number}",
            "font": 14,
            "sender": {"user_id": 12345678, "nickname": "小不点", "sex": "male", "age": 18},
        }
    ).encode()


def event(body: bytes) -> InboundEvent:
    """A frame as a connection brings it."""
    return event_of(body, read_object(body), NOW, "websocket")


def refusal(retcode: int, text: str = "no") -> HttpAnswer:
    return json_answer({"status": "failed", "retcode": retcode, "data": None, "message": text})


KIT = ChannelKit(
    channel=CHANNEL,
    settings=OneBotSettings(
        self_id=SELF_ID,
        secret=Secret(SECRET),
        access_token=Secret("conformance-access-token"),
        api_base="http://127.0.0.1:3000",
    ),
    to=Address("onebot", "", "12345678"),
    sample=lambda number: sealed(message(number)),
    sealed=sealed,
    event=event,
    samples=tuple(event(message(number)) for number in range(3)),
    proof=("header:x-signature",),
    platform=Platform(
        said=json_answer({"status": "ok", "retcode": 0, "data": {"message_id": 13}}),
        refusals={
            "no token": (HttpAnswer(401, {}, b""), BadCredentials),
            "another token": (HttpAnswer(403, {}, b""), BadCredentials),
            "another token, inside 200": (refusal(1403), BadCredentials),
            "no such action": (HttpAnswer(404, {}, b""), Unsupported),
            "no such action, inside 200": (refusal(1404), Unsupported),
            "parameters": (refusal(1400), Rejected),
            "muted": (refusal(1200, "EventRet: 120, 你已被禁言"), Rejected),
        },
        unknown=refusal(987654),
    ),
)
