"""Hostile bytes at the doors of enterprise WeChat, bare, sealed, and as pulled items."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hub.channel import Intake, IntakeRequest
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Result, public_json
from hub.testing import ChannelKit, Workbench, post
from tests.conformance import kit_wechat_kefu, kit_wecom
from tests.support import shared_material as shared

KITS: dict[str, ChannelKit] = {"wecom": kit_wecom.KIT, "wechat_kefu": kit_wechat_kefu.KIT}

FOLDER = "corpora/badinput"
CORPUS = shared.SHARED / FOLDER
SECONDS = 2.0
"""Of this process's own time: what another one takes of the machine is not the input's fault."""
SEALED_BYTES = 40_000  # an envelope of it stays within what a door takes

pytestmark = shared.needs(FOLDER)


def bodies() -> Iterator[Any]:
    """Whole files of the kinds XML and JSON, and each line of the lists of attacks."""
    for pattern in ("authored/wechat_xml/*", "defusedxml/*.xml", "jsontestsuite/*.json"):
        for path in sorted(CORPUS.glob(pattern)):
            if path.name != "index.json":
                name = f"{path.parent.name}/{path.name}"
                yield pytest.param(path.read_bytes()[: 1 << 21], id=name)
    for path in sorted(CORPUS.glob("payloadsallthethings/xxe_*.txt")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            yield pytest.param(line, id=f"{path.stem}:{number}")


def each() -> Any:
    return pytest.mark.parametrize("body", [*bodies()])


async def taken(kit: ChannelKit, request: IntakeRequest) -> Intake | None:
    """The intake, or None when it is refused as it should be; any other exception fails the test."""
    assert kit.channel.adapter is not None
    try:
        return await kit.channel.adapter(kit.account, Workbench().tools).accept(request)
    except (NotAuthentic, NotRecognised):
        return None


def shown(results: list[Result]) -> None:
    """Something readable comes of it, and JSON can hold it."""
    assert results
    for one in results:
        msgspec.json.decode(msgspec.json.encode(public_json(one)))


@pytest.mark.parametrize("name", KITS)
@each()
async def test_bare_bytes_never_pass(name: str, body: bytes) -> None:
    """Under the query of a genuine push: nothing that is not sealed gets in."""
    kit = KITS[name]
    started = time.process_time()
    assert await taken(kit, post(f"/in/{name}/shop", kit.sample(1).query, body)) is None
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("name", KITS)
@each()
async def test_sealed_bytes_are_shown(name: str, body: bytes) -> None:
    """Genuine, whatever it is: stored and visible, never an exception."""
    kit = KITS[name]
    started = time.process_time()
    if not body[:SEALED_BYTES]:
        return
    intake = await taken(kit, kit.sealed(body[:SEALED_BYTES]))
    assert intake is not None
    for event in intake.events:
        shown(list(kit.channel.normalize(event, kit.account)))
    assert time.process_time() - started < SECONDS


@each()
async def test_pulled_bytes_are_shown(body: bytes) -> None:
    """An item of customer service is kept and shown, whatever it holds."""
    kit = KITS["wechat_kefu"]
    started = time.process_time()
    event = kit.event(body)
    assert event.dedupe_key == f"sha256:{hashlib.sha256(body).hexdigest()}"
    shown(list(kit.channel.normalize(event, kit.account)))
    assert time.process_time() - started < SECONDS
