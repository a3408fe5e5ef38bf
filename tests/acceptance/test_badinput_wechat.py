"""Hostile bytes at the door of an official account, bare and inside a genuine envelope."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from msgspec.structs import replace

from adapters._wechat_crypto import sign
from adapters.wechat import CHANNEL, WeChatAdapter
from hub.channel import Account, Intake, IntakeRequest
from hub.errors import ConfigError, NotAuthentic, NotRecognised
from hub.model import Secret, public_json
from hub.settings import read_table
from hub.testing import Workbench, post
from tests.conformance import kit_wechat as kit
from tests.support import shared_material as shared

FOLDER = "corpora/badinput"
CORPUS = shared.SHARED / FOLDER
SECONDS = 2.0
"""Of this process's own time: what another one takes of the machine is not the input's fault."""

pytestmark = shared.needs(FOLDER)


@dataclass
class Bad:
    name: str
    body: bytes


def bodies() -> Iterator[Bad]:
    """Whole files of the kinds XML and JSON, and each line of the lists of attacks."""
    for pattern in (
        "authored/wechat_xml/*",
        "defusedxml/*.xml",
        "jsontestsuite/*.json",
        "payloadsallthethings/xxe_files/*",
        "wycheproof/*.json",
    ):
        for path in sorted(CORPUS.glob(pattern)):
            if path.name != "index.json":
                yield Bad(f"{path.parent.name}/{path.name}", path.read_bytes()[: 1 << 21])
    for path in sorted(CORPUS.glob("payloadsallthethings/xxe_*.txt")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            yield Bad(f"{path.stem}:{number}", line)
    if (CORPUS / "authored").is_dir():
        for number, case in enumerate(
            shared.read_json(f"{FOLDER}/authored/content_types.share.json")
        ):
            yield Bad(f"content_types:{number}", case["body"].encode())


def account(mode: str) -> Account[Any]:
    return Account("shop", "wechat", replace(kit.KIT.settings, mode=mode))


def bare(bad: Bad, mode: str) -> IntakeRequest:
    """*bad* as the body, with the three-part signature right."""
    query = {"timestamp": "1", "nonce": "2", "signature": sign(kit.TOKEN, "1", "2")}
    if mode != "plain":
        query |= {"encrypt_type": "aes", "msg_signature": sign(kit.TOKEN, "1", "2", "x")}
    return post("/in/wechat/shop", urlencode(query), bad.body, content_type="text/xml")


async def taken(request: IntakeRequest, mode: str) -> Intake | None:
    """The intake, or None when it is refused as it should be; any other exception fails the test."""
    try:
        return await WeChatAdapter(account(mode), Workbench().tools).accept(request)
    except (NotAuthentic, NotRecognised):
        return None


def kinds(intake: Intake, mode: str) -> set[str]:
    found = [one for event in intake.events for one in CHANNEL.normalize(event, account(mode))]
    for one in found:
        msgspec.json.encode(public_json(one))
    return {getattr(one, "kind", "receipt") for one in found}


@pytest.mark.parametrize("mode", ["safe", "compatible"])
@pytest.mark.parametrize("bad", [*bodies()], ids=lambda bad: bad.name)
async def test_bare_bytes_never_pass_as_encrypted(bad: Bad, mode: str) -> None:
    """Without a signature over the encrypted part nothing gets in."""
    started = time.process_time()
    assert await taken(bare(bad, mode), mode) is None
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("bad", [*bodies()], ids=lambda bad: bad.name)
async def test_signed_bytes_in_plain_mode_are_shown(bad: Bad) -> None:
    """In plain mode the account's own rule makes them authentic: kept, and shown as what they are."""
    started = time.process_time()
    intake = await taken(bare(bad, "plain"), "plain")
    if 0 < len(bad.body) <= 64 * 1024:
        assert intake is not None
        assert kinds(intake, "plain") <= {"unsupported", "text"}
    else:
        assert intake is None
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("bad", [*bodies()], ids=lambda bad: bad.name)
async def test_sealed_bytes_are_kept_and_shown(bad: Bad) -> None:
    """Inside a genuine envelope any bytes are an event, and the normalizer shows them."""
    started = time.process_time()
    intake = await taken(kit.sealed(bad.body), "safe")
    if len(bad.body) < 40 * 1024:
        assert intake is not None
        (event,) = intake.events
        assert bad.body == event.body
        assert intake.response.body == b"success"
        assert kinds(intake, "safe") <= {"unsupported", "text"}
    assert time.process_time() - started < SECONDS


# --- the table of signature cases -------------------------------------------------------------------


def tampered(case: str) -> IntakeRequest:
    request = kit.sample(1)
    query = dict(pair.split("=", 1) for pair in request.query.split("&"))
    body = request.body
    match case:
        case "signature empty string":
            query["msg_signature"] = ""
        case "one byte flipped in body":
            body = body.replace(b"[CDATA[", b"[CDATA[A", 1)
        case "signature of another account":
            query["msg_signature"] = sign("another", query["timestamp"], query["nonce"])
        case "timestamp missing":
            del query["timestamp"]
        case "timestamp 1e400":
            query["timestamp"] = "1e400"
        case "nonce 1 MB long":
            query["nonce"] = "1" * (1 << 20)
        case "body of 2 MB":
            body = body + b" " * (2 << 20)
    joined = "&".join(f"{name}={value}" for name, value in query.items())
    return replace(request, query=joined, body=body)


# What the table calls 401 is our 403, 413 and 414 are our 400 (the web server answers them before).
EXPECTED: dict[str, type[Exception] | None] = {
    "valid": None,
    "signature empty string": NotAuthentic,
    "one byte flipped in body": NotAuthentic,
    "signature of another account": NotAuthentic,
    "timestamp missing": NotAuthentic,
    "timestamp 1e400": NotAuthentic,
    "timestamp 301 s old": None,
    "same request replayed after success": None,
    "nonce 1 MB long": NotRecognised,
    "body of 2 MB": NotRecognised,
}


def signature_cases() -> list[str]:
    if not (CORPUS / "authored").is_dir():
        return []
    table = shared.read_json(f"{FOLDER}/authored/signature_cases.share.json")
    return [one["case"] for one in table if one["channel"] == "wechat_mp"]


@pytest.mark.parametrize("case", [one for one in signature_cases() if one in EXPECTED])
async def test_signature_case(case: str) -> None:
    """Each line of the table is answered as it says; a repeat has the key of the first."""
    adapter = WeChatAdapter(kit.KIT.account, Workbench().tools)
    expected = EXPECTED[case]
    if expected is not None:
        with pytest.raises(expected):
            await adapter.accept(tampered(case))
    else:
        first, again = await adapter.accept(tampered(case)), await adapter.accept(tampered(case))
        assert first.events[0].dedupe_key == again.events[0].dedupe_key
        assert first.response == again.response


async def test_old_key_in_the_rotation_window() -> None:
    """A push sealed with the key before the last change is taken while that key is configured."""
    new = Secret("A" * 43)
    settings = replace(kit.KIT.settings, aes_key=new, previous_aes_key=Secret(kit.AES_KEY))
    adapter = WeChatAdapter(Account("shop", "wechat", settings), Workbench().tools)
    assert (await adapter.accept(kit.sample(1))).events
    without = WeChatAdapter(
        Account("shop", "wechat", replace(settings, previous_aes_key=None)), Workbench().tools
    )
    with pytest.raises(NotAuthentic):
        await without.accept(kit.sample(1))


def test_secret_with_a_line_end() -> None:
    """A line end around a secret in the file is left out."""
    table = {"app_id": kit.APP_ID, "token": f"{kit.TOKEN}\n", "aes_key": f" {kit.AES_KEY}\n"}
    try:
        settings = read_table(CHANNEL.settings, table, source="test")
    except ConfigError as error:
        pytest.fail(str(error))
    assert Secret(kit.TOKEN) == settings.token  # type: ignore[attr-defined]


def test_every_signature_case_is_covered() -> None:
    """No line of the table is left out."""
    elsewhere = {"old secret in rotation window", "secret with trailing newline in the config file"}
    assert set(signature_cases()) - elsewhere <= EXPECTED.keys()
