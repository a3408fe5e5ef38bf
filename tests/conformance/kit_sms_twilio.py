"""Twilio's kit: signed forms, answers as it documents them."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode

from adapters.sms_twilio import CHANNEL, TwilioSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import BadCredentials, OptedOut, RateLimited, RecipientGone, Rejected
from hub.model import Address, Secret
from hub.testing import ChannelKit, Platform, json_answer, post

ACCOUNT_SID = "AC00000000000000000000000000000000"
AUTH_TOKEN = "conformance-auth-token"
PUBLIC_URL = "https://hub.example.com"
PATH = "/in/sms_twilio/conformance"


def signature(url: str, body: bytes) -> str:
    """What the platform puts beside a form, written again so that it can judge ours."""
    pairs = sorted(set(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))
    text = url + "".join(name + value for name, value in pairs)
    mac = hmac.new(AUTH_TOKEN.encode(), text.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def sealed(body: bytes, query: str = "") -> IntakeRequest:
    url = f"{PUBLIC_URL}{PATH}{'?' if query else ''}{query}"
    return post(
        PATH,
        query,
        body,
        content_type="application/x-www-form-urlencoded",
        x_twilio_signature=signature(url, body),
    )


def fields(number: int) -> dict[str, str]:
    sid = f"SM{number:032x}"
    return {
        "ToCountry": "US",
        "SmsMessageSid": sid,
        "NumMedia": "0",
        "ToCity": "",
        "SmsSid": sid,
        "SmsStatus": "received",
        "Body": f"number {number}",
        "To": "+15005550006",
        "MessageSid": sid,
        "AccountSid": ACCOUNT_SID,
        "From": "+14155550100",
        "ApiVersion": "2010-04-01",
    }


def sample(number: int) -> IntakeRequest:
    return sealed(urlencode(fields(number)).encode())


def refusal(code: int, status: int = 400) -> HttpAnswer:
    return json_answer({"code": code, "message": "no", "status": status}, status)


KIT = ChannelKit(
    channel=CHANNEL,
    settings=TwilioSettings(
        account_sid=ACCOUNT_SID,
        auth_token=Secret(AUTH_TOKEN),
        from_number="+15005550006",
        public_url=PUBLIC_URL,
    ),
    to=Address("tel", "", "+14155550100"),
    sample=sample,
    sealed=sealed,
    proof=("header:x-twilio-signature",),
    platform=Platform(
        said=json_answer({"sid": f"SM{1:032x}", "status": "queued", "num_segments": "1"}, 201),
        refusals={
            "opted out": (refusal(21610), OptedOut),
            "not a number": (refusal(21211), RecipientGone),
            "a landline": (refusal(21614), RecipientGone),
            "no such country": (refusal(21408), Rejected),
            "the queue is full": (refusal(21611), RateLimited),
            "too many requests": (refusal(20429, 429), RateLimited),
            "a wrong token": (refusal(20003, 401), BadCredentials),
            "no such account": (refusal(20404, 404), BadCredentials),
            "too long": (refusal(21617), Rejected),
        },
        unknown=refusal(99999),
    ),
)
