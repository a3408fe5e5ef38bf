"""The app's kit: encrypted pushes, answers as the platform documents them."""

import hashlib
from base64 import b64decode, b64encode
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adapters.wecom import CHANNEL, WeComSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import BadCredentials, RateLimited, RecipientGone, Rejected
from hub.model import Address, Secret
from hub.testing import ChannelKit, HttpCall, Platform, json_answer, post
from hub.testing.kit import NOW

CORP_ID = "ww0123456789abcdef"
TOKEN = "conformanceToken"
AES_KEY = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
MEMBER = "zhangsan"
TIMESTAMP, NONCE = "1767323045", "1597212914"


def signature(*parts: str) -> str:
    """What the platform puts beside a push, written again so that it can judge ours."""
    return hashlib.sha1("".join(sorted([TOKEN, *parts])).encode()).hexdigest()


def encrypt(message: bytes) -> str:
    """As the platform seals, written again so that it can judge ours."""
    key = b64decode(AES_KEY + "=")
    data = b"0123456789abcdef" + len(message).to_bytes(4, "big") + message + CORP_ID.encode()
    pad = 32 - len(data) % 32
    cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return b64encode(cipher.update(data + bytes([pad]) * pad) + cipher.finalize()).decode()


def query(sealed: str, **more: str) -> str:
    signed = signature(TIMESTAMP, NONCE, sealed)
    return urlencode({"msg_signature": signed, "timestamp": TIMESTAMP, "nonce": NONCE, **more})


def sealed(message: bytes) -> IntakeRequest:
    encrypted = encrypt(message)
    body = (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><AgentID>1000002</AgentID>"
        f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    ).encode()
    return post("/in/wecom/conformance", query(encrypted), body, content_type="text/xml")


def sample(number: int) -> IntakeRequest:
    return sealed(
        f"<xml><ToUserName>{CORP_ID}</ToUserName><FromUserName>{MEMBER}</FromUserName>"
        f"<CreateTime>{1767323000 + number}</CreateTime><MsgType>text</MsgType>"
        f"<Content>number {number}</Content><MsgId>{2000000000 + number}</MsgId>"
        f"<AgentID>1000002</AgentID></xml>".encode()
    )


def handshake(echo: bytes = b"1616140317555161061") -> IntakeRequest:
    encrypted = encrypt(echo)
    path = "/in/wecom/conformance"
    return IntakeRequest("GET", path, query(encrypted, echostr=encrypted), {}, b"", NOW)


def support(call: HttpCall) -> HttpAnswer | None:
    if call.url.endswith("/cgi-bin/gettoken"):
        token = {"access_token": "ACCESS-TOKEN-OF-THE-KIT", "expires_in": 7200}
        return json_answer({"errcode": 0, "errmsg": "ok", **token})
    return None


def refusal(
    code: int, text: str = "no, hint: [1626766012_1_abc], from ip: 127.0.0.1"
) -> HttpAnswer:
    return json_answer({"errcode": code, "errmsg": text})


KIT = ChannelKit(
    channel=CHANNEL,
    settings=WeComSettings(
        corp_id=CORP_ID,
        agent_id=1000002,
        secret=Secret("conformance-app-secret"),
        token=Secret(TOKEN),
        aes_key=Secret(AES_KEY),
    ),
    to=Address("wecom", CORP_ID, MEMBER),
    sample=sample,
    sealed=sealed,
    handshake=handshake(),
    proof=("query:msg_signature", "query:timestamp", "query:nonce", "query:echostr"),
    platform=Platform(
        said=json_answer({"errcode": 0, "errmsg": "ok", "invaliduser": "", "msgid": "MSGID1"}),
        support=support,
        refusals={
            "busy": (refusal(-1), RateLimited),
            "too often": (refusal(45009), RateLimited),
            "too many at once": (refusal(45033), RateLimited),
            "invalid user": (
                json_answer({"errcode": 0, "errmsg": "ok", "invaliduser": "ZhangSan|lisi"}),
                RecipientGone,
            ),
            "no licence": (
                json_answer({"errcode": 0, "errmsg": "ok", "unlicenseduser": MEMBER}),
                Rejected,
            ),
            "nobody reached": (refusal(81013), RecipientGone),
            "no such member": (refusal(60111), RecipientGone),
            "corp id": (refusal(40013), BadCredentials),
            "secret": (refusal(40001), BadCredentials),
            "address not trusted": (refusal(60020), BadCredentials),
            "no right": (refusal(48002), BadCredentials),
            "secret of another app": (refusal(301002), BadCredentials),
            "too long": (refusal(45002), Rejected),
            "media gone": (refusal(40007), Rejected),
            "words": (refusal(40201), Rejected),
        },
        unknown=refusal(987654),
        expired=refusal(42001),
    ),
)
