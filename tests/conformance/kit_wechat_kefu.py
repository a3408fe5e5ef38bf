"""Customer service's kit: bells at the door, items as the listener emits them."""

import hashlib
from base64 import b64decode, b64encode
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adapters.wechat_kefu import CHANNEL, KefuSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import BadCredentials, RateLimited, RecipientGone, Rejected, WindowClosed
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit, HttpCall, Platform, json_answer, post
from hub.testing.kit import NOW

CORP_ID = "ww0123456789abcdef"
TOKEN = "conformanceToken"
AES_KEY = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
DESK = "wkAJ2GCAAASSm4_FhToWMFea0xAFfd3Q"
CUSTOMER = "wmAJ2GCAAAme1XQRC-NI-q0_ZM9ukoAw"
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
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><AgentID></AgentID>"
        f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    ).encode()
    return post("/in/wechat_kefu/conformance", query(encrypted), body, content_type="text/xml")


def bell(number: int) -> IntakeRequest:
    return sealed(
        f"<xml><ToUserName>{CORP_ID}</ToUserName><CreateTime>{1767323000 + number}</CreateTime>"
        f"<MsgType>event</MsgType><Event>kf_msg_or_event</Event><Token>TOKEN{number}</Token>"
        f"<OpenKfId>{DESK}</OpenKfId></xml>".encode()
    )


def handshake() -> IntakeRequest:
    encrypted = encrypt(b"1616140317555161061")
    path = "/in/wechat_kefu/conformance"
    return IntakeRequest("GET", path, query(encrypted, echostr=encrypted), {}, b"", NOW)


def event(body: bytes) -> InboundEvent:
    """An item as the listener emits it."""
    return InboundEvent(
        dedupe_key=f"sha256:{hashlib.sha256(body).hexdigest()}",
        order_key=f"{DESK}:{CUSTOMER}",
        body=body,
        received_at=NOW,
        headers={"open_kfid": DESK},
        proof="sync_msg",
    )


def item(number: int) -> InboundEvent:
    return event(
        msgspec.json.encode(
            {
                "msgid": f"from_msgid_{number}",
                "open_kfid": DESK,
                "external_userid": CUSTOMER,
                "send_time": 1767323000 + number,
                "origin": 3,
                "msgtype": "text",
                "text": {"content": f"number {number}"},
            }
        )
    )


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
    settings=KefuSettings(
        corp_id=CORP_ID,
        secret=Secret("conformance-app-secret"),
        token=Secret(TOKEN),
        aes_key=Secret(AES_KEY),
        open_kfids=(DESK,),
    ),
    to=Address("wechat_kefu", CORP_ID, CUSTOMER),
    sample=bell,
    sealed=sealed,
    event=event,
    samples=tuple(item(number) for number in range(3)),
    handshake=handshake(),
    proof=("query:msg_signature", "query:timestamp", "query:nonce", "query:echostr"),
    platform=Platform(
        said=json_answer({"errcode": 0, "errmsg": "ok", "msgid": "MSGID1"}),
        support=support,
        refusals={
            "busy": (refusal(-1), RateLimited),
            "too often": (refusal(45009), RateLimited),
            "too many at once": (refusal(45033), RateLimited),
            "count used up": (refusal(95001), WindowClosed),
            "48 hours over": (refusal(95002), WindowClosed),
            "session ended": (refusal(95013), WindowClosed),
            "state forbids": (refusal(95018), WindowClosed),
            "illegal step": (refusal(95016), Rejected),
            "desk deleted": (refusal(95004), Rejected),
            "other enterprise": (refusal(40096), RecipientGone),
            "corp id": (refusal(40013), BadCredentials),
            "secret": (refusal(40001), BadCredentials),
            "address not trusted": (refusal(60020), BadCredentials),
            "no right": (refusal(48002), BadCredentials),
            "switched off": (refusal(95017), BadCredentials),
            "media gone": (refusal(40007), Rejected),
        },
        unknown=refusal(987654),
        expired=refusal(42001),
    ),
)
