"""Mail that is posted to the real web server, up to a message in its conversation."""

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hub.core import Core
from hub.intake import Committer
from hub.running import opened
from hub.signing import Signer
from hub.store.models import AttachmentRow, MessageRow
from hub.web.app import make_app, serve
from tests.mailhub import said, working
from tests.mailkit import SUPPORT, simple_mail

KEY = "whsec_" + base64.b64encode(bytes(32)).decode()
CONFIG = f"""
[hub]
port = 0
{{place}}

[accounts.support]
channel = "email"
address = "{SUPPORT}"
intake = "mime"
webhook_secret = "{KEY}"
"""


@pytest.fixture
async def hub(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Core, str]]:
    """A process with a web server, and where mail is posted."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    path = tmp_path / "hub.toml"
    path.write_text(CONFIG.format(place=f'data_dir = "{tmp_path}"'))
    async with opened(path, "test") as core:
        limits = core.settings.hub
        committer = Committer(
            core.db, core.bells, max_events=1000, max_bytes=limits.queue_bytes, wait_s=4.0
        )
        await committer.start()
        (server,) = await serve(core, make_app(core, committer))
        async with working(core):
            yield core, f"http://127.0.0.1:{server.port}/in/email/support"
        await server.stop()
        await committer.stop()


async def post(core: Core, url: str, raw: bytes, message_id: str, *, key: str = KEY) -> int:
    stamp = int(core.clock().timestamp())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": Signer([key]).sign(message_id, stamp, raw),
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(raw), headers=headers) as answer,
    ):
        return answer.status


async def test_a_posted_mail_is_filed_once(hub: tuple[Core, str]) -> None:
    """Posted again it is known; one that nobody signed is refused."""
    core, url = hub
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert await post(core, url, simple_mail(0), "a", key=other) == 403
    assert await post(core, url, simple_mail(1), "b") == 200
    assert await post(core, url, simple_mail(1), "b") == 200
    assert await post(core, url, simple_mail(1), "c") == 200
    assert await post(core, url, simple_mail(2), "d") == 200
    messages = await said(2)
    assert sorted(one.body["text"] for one in messages) == ["hello 1", "hello 2"]


async def test_a_large_mail_is_taken_whole(hub: tuple[Core, str]) -> None:
    """Larger than any other callback: 12 MB."""
    core, url = hub
    content = bytes(range(256)) * 36_000
    raw = (
        b"From: anna@home.example\r\nMessage-ID: <big@home.example>\r\n"
        b'Content-Type: application/pdf; name="big.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content)
    )
    assert await post(core, url, raw, "big") == 200
    await said(1)
    (file,) = await AttachmentRow.all()
    assert (file.filename, file.size_bytes) == ("big.pdf", len(content))
    assert await MessageRow.all().count() == 1
