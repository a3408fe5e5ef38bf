"""Hostile bytes at the door of OneBot, bare, signed, as frames, and as what people write."""

import json
import time
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hub.errors import NotAuthentic, NotRecognised
from hub.model import Result, public_json
from hub.testing import ChannelKit, Workbench, post
from tests.conformance import kit_onebot
from tests.support import shared_material as shared

KIT: ChannelKit = kit_onebot.KIT

FOLDER = "corpora/badinput"
CORPUS = shared.SHARED / FOLDER
SECONDS = 2.0
"""Of this process's own time: what another one takes of the machine is not the input's fault."""
LOST = "\ud800"

pytestmark = shared.needs(FOLDER)


def files() -> Iterator[Any]:
    for path in sorted(CORPUS.glob("jsontestsuite/*.json")):
        if path.name != "index.json":
            yield pytest.param(path.read_bytes()[: 1 << 21], id=path.stem)


def naughty() -> list[str]:
    """Lines that people may write; each is tried as text, as a CQ string and inside segments."""
    listed = shared.read_json(f"{FOLDER}/blns/blns.share.json")
    found = [b64decode(one["b64"]).decode("utf-8", "replace") for one in listed]
    made = ["[CQ:", "[CQ:at,qq=]", "[CQ:a,b]", "[CQ:image,file=1,file=2]", "]" * 500, "[CQ:x" * 500]
    return [*found, *made, "[CQ:at,qq=10001000]" * 2000, "&" * 5000, LOST, "a\0b"]


def shown(results: list[Result]) -> None:
    """Something readable comes of it, and JSON can hold it."""
    assert results
    for one in results:
        msgspec.json.decode(msgspec.json.encode(public_json(one)))


@pytest.mark.parametrize("body", [*files()])
async def test_bare_bytes_never_pass(body: bytes) -> None:
    """With another body's signature nothing gets in."""
    assert KIT.channel.adapter is not None
    genuine = kit_onebot.sealed(kit_onebot.message(1)).headers["x-signature"]
    adapter = KIT.channel.adapter(KIT.account, Workbench().tools)
    with pytest.raises((NotAuthentic, NotRecognised)):
        await adapter.accept(post("/in/onebot/shop", "", body, x_signature=genuine))


@pytest.mark.parametrize("body", [*files()])
async def test_genuine_bytes_are_shown(body: bytes) -> None:
    """Signed, or as a frame: kept and visible, never an exception."""
    assert KIT.channel.adapter is not None
    assert KIT.event is not None
    started = time.process_time()
    shown(list(KIT.channel.normalize(KIT.event(body), KIT.account)))
    if body:
        adapter = KIT.channel.adapter(KIT.account, Workbench().tools)
        intake = await adapter.accept(kit_onebot.sealed(body))
        assert intake.response.body == b""
        assert len(intake.events) == 1
    assert time.process_time() - started < SECONDS


def test_whatever_people_write_is_shown() -> None:
    """As an array, as a string, as the data of every segment, and as their own names."""
    assert KIT.event is not None
    started = time.process_time()
    base = json.loads(kit_onebot.message(1))
    kinds = ("text", "at", "face", "image", "file", "location", "json", "reply", "share", "mface")
    for line in naughty():
        names = (
            "text",
            "qq",
            "id",
            "file",
            "name",
            "lat",
            "lon",
            "data",
            "title",
            "url",
            "summary",
        )
        data = dict.fromkeys(names, line)
        segments = [{"type": kind, "data": data} for kind in (*kinds, line)]
        sender = {"nickname": line, "card": line}
        for content in (line, [{"type": "text", "data": {"text": line}}], segments):
            body = json.dumps(base | {"message": content, "sender": sender}).encode()
            shown(list(KIT.channel.normalize(KIT.event(body), KIT.account)))
    assert time.process_time() - started < 20 * SECONDS


@pytest.mark.parametrize("name", ["message", "sender", "user_id", "group_id", "time", "message_id"])
@pytest.mark.parametrize(
    "value", [None, True, -1, 1e308, 10**30, "", " ", "\0", [], [[]], {}, {"a": {}}, [None, 1, "x"]]
)
def test_fields_of_a_wrong_type_are_shown(name: str, value: Any) -> None:
    """Implementations differ; none of them takes the hub down."""
    assert KIT.event is not None
    body = json.dumps(json.loads(kit_onebot.message(1)) | {name: value}).encode()
    shown(list(KIT.channel.normalize(KIT.event(body), KIT.account)))
