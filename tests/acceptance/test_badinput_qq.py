"""Hostile bytes at the door of the QQ bot: bare, signed, and as frames of the gateway."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hub.channel import Intake, IntakeRequest
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Result, public_json
from hub.testing import Workbench
from normalizers._qq_event import event_of
from tests.conformance import kit_qq as kit
from tests.support import shared_material as shared

FOLDER = "corpora/badinput"
CORPUS = shared.SHARED / FOLDER
SECONDS = 2.0
"""Of this process's own time: what another one takes of the machine is not the input's fault."""

pytestmark = shared.needs(FOLDER)


def bodies() -> list[Any]:
    """Whole files of JSON that no parser should stumble over."""
    return [
        pytest.param(path.read_bytes()[: 1 << 20], id=path.name)
        for path in sorted(CORPUS.glob("jsontestsuite/*.json"))
        if path.name != "index.json"
    ]


def naughty() -> Iterator[str]:
    """Every string of the big list."""
    if (CORPUS / "blns/blns.share.json").exists():
        for one in shared.read_json(f"{FOLDER}/blns/blns.share.json"):
            yield one if isinstance(one, str) else str(one)


async def taken(request: IntakeRequest) -> Intake | None:
    """What the door makes of it; None when it is refused."""
    adapter = kit.KIT.channel.adapter(kit.KIT.account, Workbench().tools)
    try:
        return await adapter.accept(request)
    except (NotAuthentic, NotRecognised):
        return None


def shown(body: bytes) -> list[Result]:
    event = event_of(body, "shop", kit.NOW, "gateway")
    results = list(kit.KIT.channel.normalize(event, kit.KIT.account))
    for one in results:
        msgspec.json.decode(msgspec.json.encode(public_json(one)))
    return results


@pytest.mark.parametrize("body", bodies())
async def test_any_json_is_refused_or_shown(body: bytes) -> None:
    """Unsigned it brings nothing; signed it is an event that can be read; never an exception."""
    began = time.process_time()
    bare = kit.post(kit.PATH, "", body, x_bot_appid=kit.APP_ID)
    intake = await taken(bare)
    assert intake is None or not intake.events
    for signed in (body, b'{"op":0,"t":"C2C_MESSAGE_CREATE","d":' + body + b"}"):
        intake = await taken(kit.signed(signed)) if signed else None
        for event in intake.events if intake else ():
            assert shown(event.body)
        assert shown(signed)
    assert time.process_time() - began < SECONDS


def test_whatever_people_write_is_kept() -> None:
    """To the character, but for blanks around it and what a database refuses."""
    texts = [one for one in naughty() if one.strip() and "<" not in one]
    assert len(texts) > 100
    for text in texts:
        frame = {
            "t": "C2C_MESSAGE_CREATE",
            "d": {"id": "1", "author": {"user_openid": kit.OPENID}, "content": text},
        }
        (message,) = shown(msgspec.json.encode(frame))
        assert public_json(message)["text"] == text.strip()
