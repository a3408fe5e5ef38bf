"""The official account's kit: pushes in safe mode, answers as the platform documents them."""

import hashlib
import json
from base64 import b64decode, b64encode
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adapters.wechat import CHANNEL, WeChatSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import BadCredentials, RateLimited, RecipientGone, Rejected, WindowClosed
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit, HttpCall, Platform, json_answer, post
from hub.testing.kit import NOW

APP_ID = "wx0123456789abcdef"
TOKEN = "conformanceToken"
AES_KEY = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
OPENID = "oConformance-0123456789_abcd"
TIMESTAMP, NONCE = "1767323045", "416284039"


def signature(*parts: str) -> str:
    """What the platform puts beside a push, written again so that it can judge ours."""
    return hashlib.sha1("".join(sorted([TOKEN, *parts])).encode()).hexdigest()


def encrypt(message: bytes) -> str:
    """As the platform seals, written again so that it can judge ours."""
    key = b64decode(AES_KEY + "=")
    data = b"0123456789abcdef" + len(message).to_bytes(4, "big") + message + APP_ID.encode()
    pad = 32 - len(data) % 32
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return b64encode(cipher.update(data + bytes([pad]) * pad) + cipher.finalize()).decode()


def sealed(message: bytes) -> IntakeRequest:
    encrypted = encrypt(message)
    query = {
        "timestamp": TIMESTAMP,
        "nonce": NONCE,
        "encrypt_type": "aes",
        "msg_signature": signature(TIMESTAMP, NONCE, encrypted),
    }
    body = f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()
    return post("/in/wechat/conformance", urlencode(query), body, content_type="text/xml")


def sample(number: int) -> IntakeRequest:
    return sealed(
        f"<xml><ToUserName>gh_1</ToUserName><FromUserName>{OPENID}</FromUserName>"
        f"<CreateTime>{1767323000 + number}</CreateTime><MsgType>text</MsgType>"
        f"<Content>number {number}</Content><MsgId>{7000000000000000 + number}</MsgId></xml>".encode()
    )


def support(call: HttpCall) -> HttpAnswer | None:
    if call.url.endswith("/cgi-bin/stable_token"):
        return json_answer({"access_token": "ACCESS-TOKEN-OF-THE-KIT", "expires_in": 7200})
    return None


def refusal(code: int, text: str = "no rid: 6750-a1-b2") -> HttpAnswer:
    return json_answer({"errcode": code, "errmsg": text})


def profile(body: bytes) -> InboundEvent:
    """What the platform answered when it was asked who somebody is."""
    digest = hashlib.sha256(body).hexdigest()
    return InboundEvent(
        dedupe_key=f"profile:{digest}",
        order_key=OPENID,
        body=body,
        received_at=NOW,
        proof="user/info",
    )


KIT = ChannelKit(
    channel=CHANNEL,
    settings=WeChatSettings(
        app_id=APP_ID,
        app_secret=Secret("conformance-app-secret"),
        token=Secret(TOKEN),
        aes_key=Secret(AES_KEY),
    ),
    to=Address("wechat", APP_ID, OPENID),
    sample=sample,
    sealed=sealed,
    event=profile,
    samples=(profile(json.dumps({"openid": OPENID, "unionid": "oUNION"}).encode()),),
    handshake=IntakeRequest(
        "GET",
        "/in/wechat/conformance",
        urlencode(
            {
                "signature": signature(TIMESTAMP, NONCE),
                "timestamp": TIMESTAMP,
                "nonce": NONCE,
                "echostr": "4375120948345356249",
            }
        ),
        {},
        b"",
        NOW,
    ),
    proof=("query:msg_signature", "query:signature", "query:timestamp", "query:nonce"),
    platform=Platform(
        said=refusal(0, "ok"),
        support=support,
        refusals={
            "busy": (refusal(-1), RateLimited),
            "over the daily quota": (refusal(45009), RateLimited),
            "too fast": (refusal(45011), RateLimited),
            "window over": (refusal(45015), WindowClosed),
            "count used up": (refusal(45047), WindowClosed),
            "not following": (refusal(43004), RecipientGone),
            "blacklisted": (refusal(43019), RecipientGone),
            "refuses": (refusal(48002), RecipientGone),
            "not following, newer": (refusal(50005), RecipientGone),
            "app id": (refusal(40013), BadCredentials),
            "secret": (refusal(40125), BadCredentials),
            "address not listed": (refusal(40164), BadCredentials),
            "no right": (refusal(48001), BadCredentials),
            "too long": (refusal(45002), Rejected),
            "media gone": (refusal(40007), Rejected),
        },
        unknown=refusal(987654),
        expired=refusal(42001),
    ),
)
