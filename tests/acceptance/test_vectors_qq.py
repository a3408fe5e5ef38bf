"""Published vectors and payloads of the QQ bot, where they are at hand."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters._qq_signing import SigningKey
from adapters.qq import CHANNEL, QqAdapter, QqSettings
from hub.channel import Account, HttpAnswer
from hub.errors import NotAuthentic, WindowClosed
from hub.model import Ignored, InboundEvent, Message, Notice, Receipt, Reply, Secret
from hub.testing import HttpCall, Workbench, json_answer, post
from normalizers._qq_contents import scene_entry
from normalizers._qq_event import event_of
from outbound.qq import QqApi, QqSender
from sandbox.qq.gateway import shard_of
from tests.support import shared_material as shared

FOLDER = "vectors/qq_sms"
INDEX = f"{FOLDER}/index.json"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = shared.needs(FOLDER)


def of(kind: str) -> Any:
    return [one for one in shared.entries(INDEX, kind) if one.values[0].get("provider") == "qq"]


def account(secret: str = "DG5g3B4j9X2KOErG", app_id: str = "11111111") -> Account[Any]:
    settings = QqSettings(app_id=app_id, secret=Secret(secret), groups="all")
    return Account("shop", "qq", settings)


@pytest.mark.parametrize("entry", of("vector"))
async def test_vector(entry: dict[str, Any]) -> None:
    """Each gives the outcome that stands beside it."""
    vector = shared.read_json(f"{FOLDER}/{entry['file']}")
    await SCHEMES[entry["scheme"]](vector["inputs"], vector["expect"])


async def derivation(inputs: dict[str, Any], expect: dict[str, Any]) -> None:
    assert SigningKey(inputs["secret"]).public_key.hex() == expect["public_key_hex"]


async def handshake(inputs: dict[str, Any], expect: dict[str, Any]) -> None:
    """The published check is answered with the published signature; our own it verifies too."""
    headers = {name.lower().replace("-", "_"): value for name, value in inputs["headers"].items()}
    body = json.dumps(inputs["op13"]).encode()
    made = account(inputs["secret"], inputs["headers"]["X-Bot-Appid"])
    request = post("/in/qq/shop", "", body, **headers)
    answer = (await QqAdapter(made, Workbench().tools).accept(request)).response
    assert (answer.status, json.loads(answer.body)) == (200, expect["response"])


async def dispatch(inputs: dict[str, Any], expect: dict[str, Any]) -> None:
    """Genuine, or refused; where the published signature is wrong, the right one is taken."""
    body, at = inputs["body"].encode(), datetime.fromtimestamp(int(inputs["timestamp"]), UTC)

    async def taken(signature: str) -> bool:
        request = post(
            "/in/qq/shop",
            "",
            body,
            x_bot_appid="11111111",
            x_signature_timestamp=inputs["timestamp"],
            x_signature_ed25519=signature,
        )
        request = msgspec.structs.replace(request, received_at=at)
        try:
            return bool(
                (
                    await QqAdapter(account(inputs["secret"]), Workbench().tools).accept(request)
                ).events
            )
        except NotAuthentic:
            return False

    assert await taken(inputs["signature_hex"]) == expect["valid"]
    if "correct_signature_hex" in expect:
        assert await taken(expect["correct_signature_hex"])


async def shards(inputs: list[dict[str, Any]], expect: list[int]) -> None:
    """The platform's own side: we take one shard, and all of them."""
    assert [shard_of(one["guild_id"], one["shards"]) for one in inputs] == expect


SCHEMES: dict[str, Any] = {
    "qq-op13": handshake,
    "qq-key-derivation": derivation,
    "qq-dispatch": dispatch,
    "qq-shard": shards,
}

# What each published payload is, besides what the index says of it.
KINDS = {
    "friend_add": "contact_added",
    "c2c_msg_receive": "consent_on",
    "group_add_robot": "bot_joined",
    "group_msg_reject": "consent_off",
    "interaction_c2c_button": "choice",
    "group_at_image_2026": "image",
}
ANSWERS = {
    "audit_pending_response",
    "token_response_string_ttl",
    "send_error_invalid_msg_id",
    "gateway_hello",
    "gateway_bot_url",
}


def frame_of(entry: dict[str, Any]) -> bytes:
    return bytes((shared.SHARED / FOLDER / entry["file"]).read_bytes())


def meaning(body: bytes) -> tuple[InboundEvent, Any]:
    event = event_of(body, "shop", NOW, "gateway")
    (result,) = CHANNEL.normalize(event, account())
    return event, result


@pytest.mark.parametrize("entry", [one for one in of("sample-payload") if one.id not in ANSWERS])
def test_sample(entry: dict[str, Any]) -> None:
    """Each event means what the index says; none is refused for what it lacks."""
    body = frame_of(entry)
    sent, expect = json.loads(body), entry.get("expect") or {}
    _, result = meaning(body)
    assert not isinstance(result, Ignored)
    if isinstance(result, Receipt):
        assert result.external_id == f"audit:{sent['d']['audit_id']}"
        assert result.status == "sent"
        return
    wanted = KINDS.get(entry["id"], "text")
    assert (result.kind, type(result)) == (
        wanted,
        Notice
        if wanted in ("contact_added", "consent_on", "bot_joined", "consent_off")
        else Message,
    )
    if "text" in expect:
        assert result.text == expect["text"]
    if "conversation" in expect:
        assert result.conversation.thread_key.partition(":")[0] == expect["conversation"]
    if "reply_to" in expect:
        assert [one.key for one in result.allowances] == [expect["reply_to"]]
        assert result.reply_context["msg_id"] == expect["reply_to"]
    if "ref_index" in expect:
        assert scene_entry(sent["d"], "msg_idx") == expect["ref_index"]
    if "quoted" in expect:
        assert result.in_reply_to == expect["quoted"]
    if "attachments" in expect:
        assert len(result.attachments) == expect["attachments"]
    if "event_id_for_reply" in expect:
        assert [one.key for one in result.allowances] == [expect["event_id_for_reply"]]
        assert result.external_id == sent["d"]["id"]  # what is acknowledged
    assert "auth_token" not in repr(result)


def test_a_sample_twice_is_one_event() -> None:
    """Samples share ids between kinds; the kind belongs to the key."""
    keys = [
        event_of(frame_of(one.values[0]), "shop", NOW, "gateway").dedupe_key
        for one in of("sample-payload")
        if one.id not in ANSWERS
    ]
    assert len(keys) == len(set(keys))


def sample(name: str) -> Any:
    (found,) = (one.values[0] for one in of("sample-payload") if one.id == name)
    return json.loads(frame_of(found))


async def said(answer: HttpAnswer) -> Any:
    """What comes of a reply that the platform answers with *answer*."""
    token = json_answer(sample("token_response_string_ttl"))
    bench = Workbench(lambda call: token if call.url.endswith("Token") else answer)
    sender = QqSender(account(), bench.tools)
    (draft,) = sender.compose(_reply(), ())
    return await sender.send(draft, {})


def _reply() -> Reply:
    address = CHANNEL.normalize(
        event_of(json.dumps(sample("c2c_text_2023")).encode(), "shop", NOW, "gateway"), account()
    )
    (message,) = address
    assert isinstance(message, Message)
    return Reply(
        to=message.sender.address,
        thread_key=message.conversation.thread_key,
        text="hi",
        reply_context=message.reply_context,
    )


async def test_the_published_review_is_held() -> None:
    answer = sample("audit_pending_response")
    receipt = await said(json_answer(answer, 202))
    assert receipt.status == "held"
    assert receipt.external_id == f"audit:{answer['data']['message_audit']['audit_id']}"


async def test_the_published_refusal_closes_the_window() -> None:
    """It never becomes an active message by itself."""
    with pytest.raises(WindowClosed) as refused:
        await said(json_answer(sample("send_error_invalid_msg_id"), 400))
    assert refused.value.external_code == "40034024"
    assert refused.value.trace_id == "8cbfe05773d4402496e605e19336e396"


async def test_the_published_token_is_taken() -> None:
    """Its time is a text."""

    def script(call: HttpCall) -> HttpAnswer:
        return json_answer(sample("token_response_string_ttl"))

    token = await QqApi(account(), Workbench(script).tools).fetch_token()
    assert (token.value, token.expires_in) == ("ACCESS_TOKEN", 7200.0)
