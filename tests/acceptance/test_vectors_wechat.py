"""Published and constructed vectors of the WeChat family, where they are at hand."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from wechatpy import parse_message

from adapters._wechat_crypto import Box, is_aes_key, is_signed, sign
from adapters.wechat import CHANNEL, WeChatAdapter, WeChatSettings
from hub.channel import Account, IntakeRequest
from hub.errors import NotAuthentic
from hub.model import Address, InboundEvent, Link, Menu, MenuChoice, Reply, ReplyAttachment, Secret
from hub.testing import Workbench
from normalizers._wechat_fields import read_fields, text_of
from outbound.wechat import WeChatSender

_spec = importlib.util.spec_from_file_location(
    "shared_material", Path(__file__).with_name("shared_material.py")
)
assert _spec is not None
assert _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)

FOLDER = "vectors/wechat"
INDEX = f"{FOLDER}/index.json"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = shared.needs(FOLDER)


def of(*kinds: str) -> Any:
    return pytest.mark.parametrize("entry", shared.entries(INDEX, *kinds))


def vector(entry: dict[str, Any]) -> Any:
    return shared.read_json(f"{FOLDER}/{entry['file']}")


def raw(entry: dict[str, Any]) -> bytes:
    return bytes((shared.SHARED / FOLDER / entry["file"]).read_bytes())


def account(
    app_id: str = "wx0123456789abcdef", token: str = "vectors", **rest: Any
) -> Account[Any]:
    settings = WeChatSettings(app_id=app_id, token=Secret(token), **rest)
    return Account("shop", "wechat", settings)


def push(query: dict[str, str], body: bytes, method: str = "POST") -> IntakeRequest:
    return IntakeRequest(method, "/in/wechat/shop", urlencode(query), {}, body, NOW)


def adapter_of(case: dict[str, Any]) -> WeChatAdapter:
    key = case.get("encoding_aes_key")
    one = account(
        case.get("receive_id", "wx0123456789abcdef"),
        case["token"],
        aes_key=Secret(key) if key else None,
    )
    return WeChatAdapter(one, Workbench().tools)


@of("crypto.signature")
def test_signature(entry: dict[str, Any]) -> None:
    """The published parts have the published signature, in whatever order they come."""
    case = vector(entry)
    parts = case.get("parts") or [case["token"], case["timestamp"], case["nonce"]]
    assert case["expect"]["signature"] == sign(*parts)
    assert is_signed(case["expect"]["signature"], *reversed(parts))


@of("crypto.verify_plain")
async def test_url_verification(entry: dict[str, Any]) -> None:
    """The platform's worked example is answered with its echostr."""
    case = vector(entry)
    intake = await adapter_of(case).accept(push(case["query"], b"", "GET"))
    assert case["expect"]["response_body"].encode() == intake.response.body
    assert intake.events == ()


@of("crypto.decrypt")
async def test_decrypt(entry: dict[str, Any]) -> None:
    """A published push opens to its published plaintext."""
    case = vector(entry)
    if entry["platform"] == "wecom":
        sealed = read_fields(case["body"].encode()) or {}
        found = Box(case["encoding_aes_key"], case["receive_id"]).open(text_of(sealed, "Encrypt"))
    else:
        intake = await adapter_of(case).accept(push(case["query"], case["body"].encode()))
        found = intake.events[0].body
    assert case["expect"]["plaintext"] == found.decode()


@of("crypto.echo")
def test_encrypted_echo(entry: dict[str, Any]) -> None:
    """An encrypted echostr, as WeCom sends it, opens to the published text."""
    case = vector(entry)
    query = case["query"]
    parts = (case["token"], query["timestamp"], query["nonce"], query["echostr"])
    assert is_signed(query["msg_signature"], *parts)
    opened = Box(case["encoding_aes_key"], case["receive_id"]).open(query["echostr"])
    assert case["expect"]["plaintext"] == opened.decode()


@of("crypto.encrypt")
def test_encrypt(entry: dict[str, Any]) -> None:
    """With the published random bytes, sealing gives the published ciphertext."""
    case = vector(entry)
    box = Box(case["encoding_aes_key"], case["receive_id"])
    assert case["expect"]["encrypt"] == box.seal(
        case["plaintext"].encode(), case["random"].encode()
    )


@of("crypto.negative", "crypto.negative_content")
async def test_refused(entry: dict[str, Any]) -> None:
    """A wrong signature, padding or length is NotAuthentic."""
    case = vector(entry)
    if "echostr" in case["query"]:
        query = case["query"]
        parts = (case["token"], query["timestamp"], query["nonce"], query["echostr"])
        assert not is_signed(query["msg_signature"], *parts)
        return
    with pytest.raises(NotAuthentic):
        await adapter_of(case).accept(push(case["query"], case["body"].encode()))


@of("crypto.aeskey_invalid")
def test_key_of_wrong_form(entry: dict[str, Any]) -> None:
    """A key that is not 43 characters of base64 is a mistake in the settings."""
    for key in vector(entry)["keys"]:
        assert not is_aes_key(key)
        mistakes = dict(account(aes_key=Secret(key)).settings.mistakes())
        assert "aes_key" in mistakes


async def event_of(body: bytes) -> InboundEvent:
    """*body*, sealed and signed as in safe mode, through the adapter."""
    key = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
    sealed = Box(key, "wx0123456789abcdef").seal(body)
    query = {"timestamp": "1", "nonce": "2", "msg_signature": sign("vectors", "1", "2", sealed)}
    adapter = WeChatAdapter(account(aes_key=Secret(key)), Workbench().tools)
    envelope = f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode()
    return (await adapter.accept(push(query, envelope))).events[0]


@of("inbound.mp", "reply.mp")
async def test_fields(entry: dict[str, Any]) -> None:
    """Every field of the sample is read as the index has it, and as wechatpy reads it."""
    body = raw(entry)
    fields = read_fields(body)
    assert fields is not None
    for name, value in entry.get("fields", {}).items():
        assert value == text_of(fields, name)
    if entry["kind"] == "inbound.mp" and body.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<"):
        theirs = parse_message(body)._data
        rewritten = {"Event", "EventKey"} if text_of(fields, "Event") == "subscribe" else set()
        plain = {
            name: one
            for name, one in theirs.items()
            if isinstance(one, str) and name not in rewritten
        }
        assert plain == {name: text_of(fields, name).strip() for name in plain}


@of("inbound.mp")
async def test_meaning(entry: dict[str, Any]) -> None:
    """Every sample becomes a message, notice or receipt about its sender, never ``unsupported``."""
    event = await event_of(raw(entry))
    fields = read_fields(event.body) or {}
    results = list(CHANNEL.normalize(event, account()))
    assert results
    for result in results:
        kind = getattr(result, "kind", "receipt")
        sticker = "收到不支持的消息类型" in text_of(fields, "Content")
        assert (kind == "unsupported") == sticker
    assert text_of(fields, "FromUserName") == event.order_key


@of("inbound_malformed.mp")
async def test_malformed(entry: dict[str, Any]) -> None:
    """An authentic but odd body is an event, and something readable comes of it."""
    event = await event_of(raw(entry))
    (result,) = CHANNEL.normalize(event, account())
    odd_but_readable = "msgid" in entry["id"] or "json-body" in entry["id"]
    assert ("text" if odd_but_readable else "unsupported") == getattr(result, "kind", None)


def said(reply: Reply) -> list[Any]:
    sender = WeChatSender(account(app_secret=Secret("x")), Workbench().tools)
    return [draft.json for draft in sender.compose(reply, ()) if draft.role == "say"]


TO = Address("wechat", "wx0123456789abcdef", "OPENID")
CONTENT: dict[str, dict[str, Any]] = {
    "text": {"text": "sfsfdsdf"},
    "voice": {"attachments": (ReplyAttachment(kind="voice", id="att_1"),)},
    "news": {"link": Link("URL", "Happy Day", "Is Really A Happy Day", "PIC_URL")},
    "msgmenu": {
        "menu": Menu(
            "head_content",
            (MenuChoice("101", "msgmenu1"), MenuChoice("102", "msgmenu2")),
            "tail_content",
        )
    },
}


@of("outbound.mp")
def test_outbound(entry: dict[str, Any]) -> None:
    """What we compose is the body that another implementation sends for the same content."""
    expected = vector(entry)
    kind = expected["msgtype"]
    if kind == "voice":
        expected["voice"]["media_id"] = "{{media_id}}"
    if kind == "news":  # today the platform takes one article
        expected["news"]["articles"] = expected["news"]["articles"][:1]
    assert [expected] == said(Reply(to=TO, **CONTENT[kind]))
