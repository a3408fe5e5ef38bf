"""Published and constructed vectors and samples of OneBot v11, where they are at hand."""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters.onebot import CHANNEL, OneBotAdapter, OneBotSettings
from hub.channel import Account, Intake
from hub.errors import NotAuthentic
from hub.model import Address, Ignored, Message, Notice, Reply, Secret
from hub.testing import Workbench, post
from normalizers._onebot_segments import escape_text, segments_of
from outbound.onebot import OneBotSender
from sandbox.onebot.wire import cq_string, message_number
from tests.support import shared_material as shared

FOLDER = "vectors/qq_sms"
INDEX = f"{FOLDER}/index.json"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "vectors"

pytestmark = shared.needs(FOLDER)


def of(**wanted: str) -> Any:
    """Every entry of OneBot that has these values."""
    found = [
        one
        for one in shared.entries(INDEX, wanted.pop("kind"))
        if one.values[0]["provider"] == "onebot"
        and all(one.values[0].get(name) == value for name, value in wanted.items())
    ]
    return pytest.mark.parametrize("entry", found)


def vector(entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = shared.read_json(f"{FOLDER}/{entry['file']}")
    return found


def account(secret: str = SECRET) -> Account[Any]:
    settings = OneBotSettings(self_id=10001000, secret=Secret(secret), groups="all")
    return Account("shop", "onebot", settings)


async def pushed(body: bytes, secret: str, signature: str) -> Intake:
    adapter = OneBotAdapter(account(secret), Workbench().tools)
    return await adapter.accept(post("/in/onebot/shop", "", body, x_signature=signature))


@of(kind="vector", scheme="onebot-x-signature")
async def test_signatures(entry: dict[str, Any]) -> None:
    """The published value is taken, any other is refused."""
    case = vector(entry)
    secret = bytes.fromhex(case["inputs"]["secret_hex"]).decode()
    body, header = bytes.fromhex(case["inputs"]["body_hex"]), case["expect"]["header"]
    assert (await pushed(body, secret, header)).events[0].body == body
    for wrong in (header[:-1] + ("0" if header[-1] != "0" else "1"), header[5:], ""):
        with pytest.raises(NotAuthentic):
            await pushed(body, secret, wrong)


@of(kind="vector", scheme="cq-escape")
def test_cq_strings(entry: dict[str, Any]) -> None:
    """Strings are read as the standard says, and the simulator writes the same."""
    case = vector(entry)
    if case["op"] == "escape_text":
        assert escape_text(case["inputs"]) == case["expect"]
        written = cq_string([{"type": "text", "data": {"text": case["inputs"]}}])
        assert written == case["expect"]
        return
    assert segments_of(case["inputs"]) == case["expect"]
    assert cq_string(case["expect"]) == case["inputs"]


@of(kind="vector", scheme="napcat-message-id")
def test_message_ids(entry: dict[str, Any]) -> None:
    """The simulator numbers messages as NapCat does."""
    case = vector(entry)
    assert message_number(case["inputs"]["msg_peer_chat"]) == case["expect"]["message_id"]


@of(kind="sample-payload")
async def test_samples(entry: dict[str, Any]) -> None:
    """Every sample passes the door signed, and means what it should."""
    body = (shared.SHARED / FOLDER / entry["file"]).read_bytes()
    fields = msgspec.json.decode(body)
    if "action" in fields:
        assert_action(fields)
        return
    digest = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    intake = await pushed(body, SECRET, f"sha1={digest}")
    assert (intake.response.status, intake.response.body) == (204, b"")
    if fields["post_type"] == "meta_event":
        assert intake.events == ()
        return
    (result,) = CHANNEL.normalize(intake.events[0], account())
    expected = entry.get("expect", {})
    if expected.get("drop"):
        assert isinstance(result, Ignored)
    elif fields["post_type"] == "message":
        assert isinstance(result, Message)
        assert result.text == expected.get("text", fields["raw_message"])
        assert result.in_reply_to == expected.get("reply_to")
        mentioned = "10001000" in result.extra.get("mentions", ())
        assert mentioned == expected.get("mentions_self", False)
        assert result.external_id == str(fields["message_id"])
        assert int(result.sent_at.timestamp()) == fields["time"]
    else:
        assert isinstance(result, Notice)
        assert result.kind in ("message_recalled", "group_file_uploaded", "contact_requested")


def assert_action(sample: dict[str, Any]) -> None:
    """The sample's call, made by us: the same action to the same person, its text in a segment."""
    params = sample["params"]
    sender = OneBotSender(account(), Workbench().tools)
    to = Address("onebot", "", str(params["user_id"]))
    (draft,) = sender.compose(Reply(to=to, text=params["message"]), ())
    text = [{"type": "text", "data": {"text": params["message"]}}]
    assert draft.json == {"action": sample["action"], "params": params | {"message": text}}
