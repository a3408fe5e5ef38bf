"""Published and constructed vectors of enterprise WeChat, where they are at hand."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from wechatpy.enterprise import parse_message

from adapters._wechat_crypto import Box, sign
from adapters.wecom import CHANNEL, WeComAdapter, WeComSettings
from hub.channel import Account, IntakeRequest
from hub.errors import NotAuthentic
from hub.model import Address, Ignored, InboundEvent, Link, Reply, ReplyAttachment, Secret
from hub.testing import Workbench
from normalizers._wechat_fields import read_fields, text_of
from outbound.wecom import WeComSender

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
KEY = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"

pytestmark = shared.needs(FOLDER)


def of(*kinds: str) -> Any:
    chosen = [
        one
        for one in shared.entries(INDEX, *kinds)
        if one.values[0]["platform"] in ("wecom", "any")
    ]
    return pytest.mark.parametrize("entry", chosen)


def vector(entry: dict[str, Any]) -> Any:
    return shared.read_json(f"{FOLDER}/{entry['file']}")


def raw(entry: dict[str, Any]) -> bytes:
    return bytes((shared.SHARED / FOLDER / entry["file"]).read_bytes())


def account(
    corp_id: str = "ww0123456789abcdef", token: str = "vectors", key: str = KEY
) -> Account[Any]:
    settings = WeComSettings(
        corp_id=corp_id,
        agent_id=1000002,
        secret=Secret("s"),
        token=Secret(token),
        aes_key=Secret(key),
        receive_id=corp_id,
    )
    return Account("shop", "wecom", settings)


def adapter_of(case: dict[str, Any]) -> WeComAdapter:
    one = account(case["receive_id"], case["token"], case["encoding_aes_key"])
    return WeComAdapter(one, Workbench().tools)


def push(query: dict[str, str], body: bytes, method: str = "POST") -> IntakeRequest:
    return IntakeRequest(method, "/in/wecom/shop", urlencode(query), {}, body, NOW)


@of("crypto.echo")
async def test_encrypted_echo(entry: dict[str, Any]) -> None:
    """The platform's own echo is answered with what is inside."""
    case = vector(entry)
    intake = await adapter_of(case).accept(push(case["query"], b"", "GET"))
    assert case["expect"]["plaintext"].encode() == intake.response.body


@of("crypto.decrypt")
async def test_decrypt(entry: dict[str, Any]) -> None:
    """A published push opens to its published plaintext."""
    case = vector(entry)
    if "query" not in case:
        pytest.skip("no request around it")
    intake = await adapter_of(case).accept(push(case["query"], case["body"].encode()))
    assert case["expect"]["plaintext"] == intake.events[0].body.decode()


@of("crypto.negative")
async def test_refused(entry: dict[str, Any]) -> None:
    """A wrong signature answers nothing."""
    case = vector(entry)
    method = "GET" if "echostr" in case["query"] else "POST"
    with pytest.raises(NotAuthentic):
        await WeComAdapter(account(), Workbench().tools).accept(
            push(case["query"], case.get("body", "").encode() or b"<xml/>", method)
        )


async def event_of(body: bytes) -> InboundEvent:
    """*body*, sealed and signed, through the adapter."""
    sealed = Box(KEY, "ww0123456789abcdef").seal(body)
    query = {"timestamp": "1", "nonce": "2", "msg_signature": sign("vectors", "1", "2", sealed)}
    envelope = f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode()
    adapter = WeComAdapter(account(), Workbench().tools)
    return (await adapter.accept(push(query, envelope))).events[0]


@of("inbound.wecom", "reply.wecom")
async def test_fields(entry: dict[str, Any]) -> None:
    """Every field of the sample is read as the index has it, and as wechatpy reads it."""
    body = raw(entry)
    fields = read_fields(body)
    assert fields is not None
    for name, value in entry.get("fields", {}).items():
        assert value == text_of(fields, name)
    if entry["kind"] == "inbound.wecom" and "MsgType" in fields:
        theirs = parse_message(body)._data
        plain = {name: one for name, one in theirs.items() if isinstance(one, str)}
        ours = {name: text_of(fields, name).strip() for name in plain}
        assert {k: v.lower() for k, v in plain.items()} == {k: v.lower() for k, v in ours.items()}


@of("inbound.wecom")
async def test_meaning(entry: dict[str, Any]) -> None:
    """Every sample becomes a message or a notice that is not ``unsupported``; the bell is left."""
    event = await event_of(raw(entry))
    fields = read_fields(event.body) or {}
    (result,) = CHANNEL.normalize(event, account())
    if text_of(fields, "Event") == "kf_msg_or_event":
        assert isinstance(result, Ignored)
        return
    assert getattr(result, "kind", "") not in ("unsupported", "")
    assert bool(text_of(fields, "MsgId")) == (type(result).__name__ == "Message") or (
        getattr(result, "kind", "") == "choice"
    )


CONTENT: dict[str, dict[str, Any]] = {
    "text": {"text": "sfsfdsdf"},
    "image": {"attachments": (ReplyAttachment(kind="image", mime_type="image/png", id="att_1"),)},
    "news": {"link": Link("URL", "Happy Day", "Is Really A Happy Day", "PIC_URL")},
}


@of("outbound.wecom")
def test_outbound(entry: dict[str, Any]) -> None:
    """What we compose holds what another implementation sends for the same content."""
    expected = vector(entry)
    kind = expected["msgtype"]
    if kind not in CONTENT:
        pytest.skip(f"no reply becomes {kind} of this shape")
    sender = WeComSender(account(), Workbench().tools)
    reply = Reply(to=Address("wecom", "ww0123456789abcdef", "OPENID"), **CONTENT[kind])
    (said,) = [one.json for one in sender.compose(reply, ()) if one.role == "say"]
    if kind == "image":
        expected["image"]["media_id"] = "{{media_id}}"
    if kind == "news":  # a reply has one link
        expected["news"]["articles"] = expected["news"]["articles"][:1]
    assert {**expected, "safe": 0} == {name: said[name] for name in expected}
