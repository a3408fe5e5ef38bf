"""Every case of the shared helpdesk vectors gives its stated outcome, where they are at hand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from adapters.helpdesks._proof import Proof, proof_mistakes, prove
from adapters.helpdesks.chatwoot import Chatwoot
from adapters.helpdesks.django_helpdesk import DjangoHelpdesk
from adapters.helpdesks.freescout import FreeScout
from adapters.helpdesks.zammad import Zammad
from hub.channel import IntakeRequest, NotAuthentic
from hub.destination import DeskTools, Seen, Target
from hub.model import Secret
from outbound.helpdesks._templates import escape_braces
from outbound.helpdesks.chatwoot import ChatwootSettings
from outbound.helpdesks.django_helpdesk import DjangoHelpdeskSettings
from outbound.helpdesks.freescout import FreeScoutSettings
from outbound.helpdesks.zammad import ZammadSettings
from tests.support import shared_material as shared

FOLDER = "vectors/helpdesks"
INDEX = f"{FOLDER}/index.json"
STATES = {"closed": "resolved", "open": "open"}

pytestmark = shared.needs(FOLDER)


async def no_network(*_: Any, **__: Any) -> Any:
    raise AssertionError("a callback is judged without any call")


def tools() -> DeskTools:
    return DeskTools(http=no_network, files=no_network, clock=lambda: datetime.now(UTC))


def chatwoot(case: dict[str, Any]) -> Chatwoot:
    settings = ChatwootSettings(
        base_url="https://chatwoot.test",
        account_id=1,
        inbox_id=case["context"]["inbox_id"],
        api_token=Secret("t"),
        callback_secret=Secret("c" * 24),
        webhook_secret=Secret(case["secret"]),
        hub_user_id=case["context"]["hub_user_id"],
    )
    return Chatwoot(Target("desk", "chatwoot", settings), tools())


def django(_case: dict[str, Any]) -> DjangoHelpdesk:
    settings = DjangoHelpdeskSettings(
        base_url="https://desk.test",
        username="hub",
        password=Secret("p"),
        callback_secret=Secret("c" * 24),
    )
    return DjangoHelpdesk(Target("desk", "django_helpdesk", settings), tools())


def zammad(case: dict[str, Any]) -> Zammad:
    settings = ZammadSettings(
        base_url="https://zammad.test",
        api_token=Secret("t"),
        group="Messaging",
        callback_secret=Secret("c" * 24),
        webhook_secret=Secret(case["secret"]),
        hub_user_id=case["context"]["hub_user_id"],
    )
    return Zammad(Target("desk", "zammad", settings), tools())


def freescout(case: dict[str, Any]) -> FreeScout:
    settings = FreeScoutSettings(
        base_url="https://freescout.test",
        api_key=Secret("k"),
        mailbox_id=2,
        hub_user_id=case["context"]["hub_user_id"],
        callback_secret=Secret("c" * 24),
        webhook_secret=Secret(case["secret"]),
    )
    return FreeScout(Target("desk", "freescout", settings), tools())


DESKS = {
    "chatwoot": chatwoot,
    "django-helpdesk": django,
    "freescout": freescout,
    "zammad": zammad,
}


def request_of(case: dict[str, Any]) -> IntakeRequest:
    asked = case["request"]
    now = case["context"].get("now", 1763717502)
    headers = {name.lower(): value for name, value in asked["headers"].items()}
    at = datetime.fromtimestamp(now, UTC)
    return IntakeRequest("POST", "/in/x/desk/secret", "", headers, asked["body_raw"].encode(), at)


def outcome(seen: Seen | None) -> set[str]:
    """What the core would do: say it, change a state, note who is assigned."""
    found = set()
    for one in seen.items if seen else ():
        if one.kind == "reply":
            found.add("reply")
    if seen and seen.state == "resolved":
        found.add("status")
    if seen and seen.assignee is not None:
        found.add("assignment")
    return found


@pytest.mark.parametrize("entry", shared.entries(INDEX, "callback"))
async def test_a_callback_gives_its_outcome(entry: dict[str, Any]) -> None:
    """A reply, a state, an assignment, nothing at all, or a refusal."""
    case = shared.read_json(f"{FOLDER}/{entry['file']}")
    desk, expect = DESKS[entry["helpdesk"]](case), case["expect"]
    if expect["verify"] is False:
        with pytest.raises(NotAuthentic):
            await desk.accept(request_of(case))
        return
    callback = await desk.accept(request_of(case))
    assert callback.proven is (expect["verify"] is True)
    assert callback.seen is not None
    wanted = set(expect["action"].split("+")) - {"ignore", "recall-if-supported"}
    assert wanted <= outcome(callback.seen)
    assert ("reply" in outcome(callback.seen)) == ("reply" in wanted)
    replies = [one for one in callback.seen.items if one.kind == "reply"]
    if "text" in expect:
        assert [one.text for one in replies] == [expect["text"]]
    if "external_message_id" in expect and replies:
        assert [one.ref.rpartition(":")[2] for one in replies] == [expect["external_message_id"]]
    if "external_conversation_id" in expect:
        assert callback.seen.ticket == expect["external_conversation_id"]
    if "status" in expect:
        assert callback.seen.state == STATES[expect["status"]]
    if "assignee" in expect:
        assert callback.seen.assignee == expect["assignee"]


PROOFS: dict[str, dict[str, Any]] = {
    "zendesk": {
        "place": "header:X-Zendesk-Webhook-Signature",
        "over": "{timestamp}{body}",
        "encoding": "base64",
        "timestamp": "header:X-Zendesk-Webhook-Signature-Timestamp",
        "time_format": "iso",
    },
    "qiyu": {
        "place": "query:checksum",
        "algorithm": "sha1",
        "over": "{secret}{body_md5}{timestamp}",
        "timestamp": "query:time",
    },
    "sobot": {
        "place": "header:X-Log-Sign",
        "algorithm": "md5",
        "over": "company01{timestamp}{nonce}{secret}",
        "timestamp": "header:X-Log-TimeStamp",
        "time_format": "unix_ms",
        "nonce": "header:X-Log-RandomCode",
    },
}
AT = {
    "zendesk": datetime(2026, 11, 21, 9, 31, 41, tzinfo=UTC),
    "qiyu": datetime.fromtimestamp(1463725840, UTC),
    "sobot": datetime.fromtimestamp(1763717501, UTC),
}


def signed(case: dict[str, Any], **changes: Any) -> IntakeRequest:
    asked = case["request"]
    values = {
        "headers": {name.lower(): value for name, value in asked["headers"].items()},
        "query": urlencode(asked["query"]),
        "body": asked["body_raw"].encode(),
        "received_at": AT[case["helpdesk"]],
        **changes,
    }
    return IntakeRequest(method="POST", path="/in/http/desk/secret", **values)


@pytest.mark.parametrize("entry", shared.entries(INDEX, "signature"))
def test_a_signature_that_is_known_by_settings(entry: dict[str, Any]) -> None:
    """Zendesk, Qiyu and Sobot: theirs is taken, and any other secret, time or (where signed) body is not."""
    case = shared.read_json(f"{FOLDER}/{entry['file']}")
    proof = Proof(secret=Secret(case["secret"]), **PROOFS[entry["helpdesk"]])
    assert list(proof_mistakes(proof)) == []
    prove(proof, signed(case))
    changed = msgspec.structs.replace(proof, previous_secrets=(proof.secret,), secret=Secret("new"))
    prove(changed, signed(case))
    late = AT[entry["helpdesk"]] + timedelta(seconds=301)
    wrong = [
        (msgspec.structs.replace(proof, secret=Secret("another")), signed(case)),
        (proof, signed(case, received_at=late)),
        (proof, signed(case, headers={}, query="")),
    ]
    if proof.covers_body:
        wrong.append((proof, signed(case, body=case["request"]["body_raw"].encode() + b" ")))
    for one, request in wrong:
        with pytest.raises(NotAuthentic):
            prove(one, request)
    assert proof.covers_body is (entry["helpdesk"] != "sobot")


def test_text_that_poisons_a_template_is_escaped() -> None:
    """As the real server has kept it unchanged."""
    case = shared.read_json(f"{FOLDER}/django-helpdesk/dh-poison-comments.json")
    for one in case["escaped_cases"]:
        assert escape_braces(one["text"]) == one["send"], json.dumps(one)
