"""The receiver on the page for helpdesks works as it stands there."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from hub.destination import EVENT_TYPES
from hub.signing import Signer
from hub.web.api import ROUTES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "plug-in-a-helpdesk.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signed(body: bytes, event_id: str) -> dict[str, str]:
    at = int(time.time())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": Signer([SECRET]).sign(event_id, at, body),
    }


async def test_the_example_verifies_and_drops_repeats(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the hub signs is taken once; anything else is refused."""
    monkeypatch.setenv("DESK_WEBHOOK_SECRET", SECRET)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "plug-in-a-helpdesk.md", "exec"), names)
    message = {"text": "hello", "conversation": {"id": "cnv_1"}}
    body = json.dumps({"type": "message.received", "data": {"message": message}}).encode()
    async with TestClient(TestServer(names["app"])) as desk:
        for _ in range(2):
            answer = await desk.post("/hooks/hub", data=body, headers=signed(body, "evt_1"))
            assert answer.status == 204
        forged = await desk.post("/hooks/hub", data=body + b" ", headers=signed(body, "evt_2"))
        assert forged.status == 401
    assert capsys.readouterr().out == "cnv_1 hello\n"


@pytest.mark.parametrize("page", [PAGE, REFERENCE], ids=["how-to", "reference"])
def test_every_path_that_the_pages_name_is_served(page: str) -> None:
    """So that nobody copies what is not there."""
    known = {re.sub(r"{\w+}", "{}", route.path) for route in ROUTES}
    named = re.findall(r"/v1/[\w/{}$.-]*[\w}]", page)
    assert named
    for path in named:
        plain = re.sub(r"\$?{\w+}|\$[A-Z]+", "{}", path)
        assert plain in known, path


def test_every_event_that_the_page_names_exists() -> None:
    """By its type."""
    named = set(re.findall(r"`((?:message|delivery|attachment)\.\w+)`", PAGE)) - {"message.reply"}
    assert named <= EVENT_TYPES
