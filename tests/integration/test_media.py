"""Attachments: kept, fetched, uploaded, read and served."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec
import pytest
from aiohttp import web
from msgspec import Struct

from hub.bells import Bells
from hub.core import Core, now
from hub.destination import Destination, Target
from hub.errors import Ambiguous, BadCredentials, RecipientGone, Rejected, Unreachable, Unsupported
from hub.fetch import ON_PREMISE, Fetcher, Forbidden, TooLarge
from hub.ids import new_id, read_id, show_id
from hub.jobs import Jobs
from hub.media import Media, due, fetch_pending
from hub.model import Attachment, ReplyAttachment
from hub.settings import DestinationPlan, HubSettings, Settings
from hub.store import Database
from hub.worker import LONG_QUEUE, ask_for_files
from outbound.helpdesks.webhook import WebhookCourier

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100
MAX = 4096


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class Source:
    """A channel's MediaSource that gives what it was told to."""

    def __init__(self) -> None:
        self.parts: Sequence[bytes | Exception] = [PNG]
        self.asked: list[Attachment] = []

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        self.asked.append(attachment)
        for part in self.parts:
            await asyncio.sleep(0)
            if isinstance(part, Exception):
                raise part
            yield part


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def core(database_url: str, tmp_path: Path, source: Source) -> AsyncIterator[Any]:
    db = await Database.open(database_url)
    media = Media(db, tmp_path, MAX, fetcher=Fetcher(ON_PREMISE))
    running = {
        "shop": SimpleNamespace(media=source, fault=None, plan=SimpleNamespace(enabled=True)),
        "plain": SimpleNamespace(media=None, fault=None, plan=SimpleNamespace(enabled=True)),
        "off": SimpleNamespace(media=None, fault=None, plan=SimpleNamespace(enabled=False)),
    }
    kind = Destination(key="webhook", title="", settings=Struct, courier=WebhookCourier)
    desk = DestinationPlan(
        Target("desk", "webhook", None), kind, True, ("*",), (), 1, 1.0, False, None
    )
    hub = HubSettings(max_attachment_bytes=MAX, public_url="https://hub.example/")
    settings = Settings(hub, {}, {}, [], {"desk": desk}, "", None, ())
    made: Any = Core(settings, db, Bells(None), running, media)  # type: ignore[arg-type]
    yield made
    await media.close()
    await db.close()


async def arrived(
    core: Any, account: str = "shop", direction: str = "inbound", **source: Any
) -> UUID:
    """A message with one attachment that is yet to be fetched; gives the attachment's id."""
    message, conversation, attachment = new_id(), new_id(), new_id()
    await core.db.fetch(
        "INSERT INTO conversations (id, account, channel, thread_key, contact_id, address_scheme, "
        "address_scope, address_value, is_group, queue, state, case_number, last_seq, tags, reply_context, "
        "created_at, updated_at) VALUES ($1, $2, 'toy', $3, $1, 's', '', 'v', false, 'sales', 'open', 1, 1, "
        "'[]', '{}', now(), now())",
        conversation,
        account,
        str(conversation),
    )
    await core.db.fetch(
        "INSERT INTO messages (id, conversation_id, seq, account, channel, direction, kind, dedupe_key, "
        "body, reply_context, created_at) VALUES ($1, $2, 1, $3, 'toy', $4, 'image', $5, '{}', '{}', now())",
        message,
        conversation,
        account,
        direction,
        str(message),
    )
    await core.db.fetch(
        "INSERT INTO attachments (id, message_id, account, kind, mime_type, filename, state, source, tries, "
        "next_at, created_at) VALUES ($1, $2, $3, 'image', 'image/jpeg', '图.jpg', 'pending', $4, 0, "
        "clock_timestamp(), clock_timestamp())",
        attachment,
        message,
        account,
        msgspec.json.encode(source).decode(),
    )
    return attachment


async def row_of(core: Any, attachment: UUID) -> Any:
    rows = await core.db.fetch(
        "SELECT *, EXTRACT(EPOCH FROM next_at - clock_timestamp())::float8 AS pause "
        "FROM attachments WHERE id = $1",
        attachment,
    )
    return rows[0]


async def told(core: Any) -> list[Any]:
    rows = await core.db.fetch(
        "SELECT body, queue, conversation_id FROM events WHERE type = 'attachment.ready' ORDER BY position"
    )
    return [msgspec.json.decode(row["body"])["data"] for row in rows]


# --- what comes in ----------------------------------------------------------------------------------


async def test_the_content_of_a_mail_is_kept_before_it_is_filed(core: Any) -> None:
    """Its hash, size and true type come back; the bytes no longer travel along."""
    kept = await core.media.keep(
        Attachment(kind="file", filename="a.bin", mime_type="application/octet-stream", content=PNG)
    )
    assert (kept.state, kept.mime_type, kept.size_bytes, kept.content) == (
        "stored",
        "image/png",
        len(PNG),
        None,
    )
    assert await core.media.blobs.read(kept.sha256) == PNG
    large = await core.media.keep(Attachment(kind="file", content=b"x" * (MAX + 1)))
    assert (large.state, large.size_bytes, large.content) == ("refused", MAX + 1, None)
    pointed = Attachment(kind="image", source={"media_id": "1"})
    assert await core.media.keep(pointed) == pointed


async def test_a_pending_file_is_fetched_and_told(core: Any, source: Source) -> None:
    """The channel gets the source facts; the helpdesk one event; the row the file."""
    attachment = await arrived(core, media_id="MID")
    assert await due(core.db) == [attachment]
    await fetch_pending(core, attachment)
    row = await row_of(core, attachment)
    assert (row["state"], row["sha256"], row["mime_type"], row["size_bytes"]) == (
        "stored",
        hashlib.sha256(PNG).hexdigest(),
        "image/png",
        len(PNG),
    )
    (data,) = await told(core)
    public = show_id("att", attachment)
    assert source.asked[0].source == {"media_id": "MID"}
    assert data["attachment"] == {
        "kind": "image",
        "id": public,
        "mime_type": "image/png",
        "filename": "图.jpg",
        "size_bytes": len(PNG),
        "sha256": row["sha256"],
        "state": "stored",
        "url": f"https://hub.example/v1/attachments/{public}",
        "source": {"media_id": "MID"},
    }
    assert data["message_id"] == show_id("msg", row["message_id"])
    assert len(await core.db.fetch("SELECT FROM deliveries")) == 1
    assert await due(core.db) == []


async def test_ten_jobs_for_one_file_fetch_it_once(core: Any, source: Source) -> None:
    """Jobs may run twice; the claim lets one through."""
    attachment = await arrived(core)
    await asyncio.gather(*(fetch_pending(core, attachment) for _ in range(10)))
    await fetch_pending(core, attachment)
    assert (len(source.asked), len(await told(core))) == (1, 1)


async def test_a_job_that_lost_its_claim_writes_nothing(core: Any, source: Source) -> None:
    """Paused past its claim, it finds that another job has been there."""
    attachment = await arrived(core)
    entered, go = asyncio.Event(), asyncio.Event()

    class Paused(Source):
        async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
            entered.set()
            await go.wait()
            yield b"late"

    core.accounts["shop"].media = Paused()
    late = asyncio.create_task(fetch_pending(core, attachment))
    await entered.wait()
    await core.db.fetch("UPDATE attachments SET next_at = clock_timestamp()")
    core.accounts["shop"].media = source
    await fetch_pending(core, attachment)
    go.set()
    await late
    assert (await row_of(core, attachment))["size_bytes"] == len(PNG)
    assert len(await told(core)) == 1


async def test_without_redis_files_are_fetched_all_the_same(core: Any) -> None:
    """Platforms keep them for three days; nobody knows for how long Redis is away."""
    waiting = [await arrived(core) for _ in range(3)]
    jobs = Jobs("redis://127.0.0.1:1/0")
    await ask_for_files(core, jobs)
    await jobs.close()
    states = [(await row_of(core, one))["state"] for one in waiting]
    assert states == ["stored"] * 3


async def test_what_waits_long_is_not_asked_for_without_end(core: Any, redis_url: str) -> None:
    """While a platform's file server hangs, the sweep comes by every few seconds."""
    for _ in range(30):
        await arrived(core)
    jobs = Jobs(redis_url)
    before = await jobs.waiting() or 0
    for _ in range(20):
        await ask_for_files(core, jobs)
    assert (await jobs.waiting() or 0) - before <= LONG_QUEUE + 30
    await jobs.close()


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    "error, state",
    [
        (Rejected("no such media"), "failed"),
        (Unsupported("no"), "failed"),
        (RecipientGone("gone"), "expired"),
        (TooLarge("100 MB"), "refused"),
        (Forbidden("10.0.0.1"), "refused"),
        (wrapped(Unreachable("x"), wrapped(Ambiguous("y"), TooLarge("z"))), "refused"),
    ],
)
async def test_what_will_not_change_is_final_and_told(
    core: Any, source: Source, error: Exception, state: str
) -> None:
    """The helpdesk hears that the file will never come."""
    attachment = await arrived(core)
    source.parts = [b"x", error]
    await fetch_pending(core, attachment)
    row = await row_of(core, attachment)
    assert (row["state"], row["sha256"], row["next_at"]) == (state, None, None)
    assert row["error"]
    assert [data["attachment"]["state"] for data in await told(core)] == [state]


async def test_a_file_larger_than_allowed_is_refused(core: Any, source: Source) -> None:
    """Nothing of it stays on disk."""
    attachment = await arrived(core)
    source.parts = [b"x" * MAX, b"x"]
    await fetch_pending(core, attachment)
    assert (await row_of(core, attachment))["state"] == "refused"


@pytest.mark.parametrize(
    "error", [Unreachable("x"), Ambiguous("x"), BadCredentials("x"), OSError("x"), KeyError("bug")]
)
async def test_what_may_change_is_tried_again(core: Any, source: Source, error: Exception) -> None:
    """After 1, 5, 30 minutes, 2 and 6 hours; after three days it is given up."""
    attachment = await arrived(core)
    source.parts = [error]
    pauses = []
    for _ in range(7):
        await fetch_pending(core, attachment)
        pauses.append(round((await row_of(core, attachment))["pause"], -1))
        await fetch_pending(core, attachment)  # not due
        await core.db.fetch("UPDATE attachments SET next_at = clock_timestamp()")
    assert pauses == [60, 300, 1800, 7200, 21600, 21600, 21600]
    assert len(source.asked) == 7
    assert await told(core) == []
    await core.db.fetch("UPDATE attachments SET created_at = created_at - interval '3 days'")
    await fetch_pending(core, attachment)
    final = "failed" if isinstance(error, BadCredentials) else "expired"
    assert (await row_of(core, attachment))["state"] == final


@pytest.mark.parametrize(
    "account, state", [("gone", "failed"), ("plain", "failed"), ("off", "pending")]
)
async def test_an_account_that_cannot_fetch(core: Any, account: str, state: str) -> None:
    """Removed, or of a channel without files: failed. Disabled for now: later."""
    attachment = await arrived(core, account)
    await fetch_pending(core, attachment)
    assert (await row_of(core, attachment))["state"] == state


@pytest.fixture
async def elsewhere() -> AsyncIterator[str]:
    """A web server that has files."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=PNG, status=int(request.query.get("status", "200")))

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_a_replys_file_is_fetched_from_its_url(core: Any, elsewhere: str) -> None:
    """It is fetched by the hub's own client, not by the channel, and the reply is woken."""
    attachment = await arrived(core, direction="outbound", url=elsewhere)
    await fetch_pending(core, attachment)
    assert (await row_of(core, attachment))["state"] == "stored"
    async with asyncio.timeout(1):
        await core.bells.wait("reply", 60)


async def test_a_replys_file_behind_the_guard_is_refused(core: Any, elsewhere: str) -> None:
    """The strict client lets nobody read what lies inside."""
    core.media._fetcher = Fetcher()
    attachment = await arrived(core, direction="outbound", url=elsewhere)
    await fetch_pending(core, attachment)
    row = await row_of(core, attachment)
    assert row["state"] == "refused"
    with pytest.raises(Unsupported, match="refused"):
        await core.media.read(ReplyAttachment(url=elsewhere))


@pytest.mark.parametrize("status, state", [(404, "failed"), (503, "pending"), (302, "failed")])
async def test_a_urls_refusal(core: Any, elsewhere: str, status: int, state: str) -> None:
    """What the server says for good is final."""
    attachment = await arrived(core, direction="outbound", url=f"{elsewhere}?status={status}")
    await fetch_pending(core, attachment)
    assert (await row_of(core, attachment))["state"] == state


# --- what goes out ----------------------------------------------------------------------------------


async def test_an_upload_can_be_sent_and_served(core: Any, elsewhere: str) -> None:
    """It is read by its id; what is not there cannot be."""
    made = await core.media.upload(
        pieces(PNG), filename='报告 "x"/../a.html', mime_type="text/html", token_id=None, at=now()
    )
    assert (made.kind, made.mime_type, made.state) == ("image", "image/png", "stored")
    assert await core.media.read(ReplyAttachment(id=made.id)) == PNG
    assert await core.media.read(ReplyAttachment(url=elsewhere)) == PNG
    assert await core.media.read(ReplyAttachment(content=b"1")) == b"1"
    for missing in (
        ReplyAttachment(id=show_id("att", new_id())),
        ReplyAttachment(id="x"),
        ReplyAttachment(),
    ):
        with pytest.raises(Unsupported):
            await core.media.read(missing)
    with pytest.raises(TooLarge):
        await core.media.upload(
            pieces(b"x" * (MAX + 1)), filename=None, mime_type=None, token_id=None, at=now()
        )


@pytest.mark.parametrize(
    "content, served",
    [
        (PNG, "image/png"),
        (b"<html><script>alert(1)</script>", "application/octet-stream"),
        (b"<svg onload=alert(1)>", "application/octet-stream"),
        (b"plain text", "application/octet-stream"),
    ],
)
async def test_nothing_is_served_as_a_page(core: Any, content: bytes, served: str) -> None:
    """Downloads only, with a name that no header breaks on."""
    name = '报告 "x"\r\nSet-Cookie: a=1/../b%41;.html'
    made = await core.media.upload(
        pieces(content), filename=name, mime_type="text/html", token_id=None, at=datetime.now(UTC)
    )
    own = read_id("att", made.id)
    assert own is not None
    file = await core.media.open_attachment(own)
    disposition = file.headers["Content-Disposition"]
    assert file.file.path.read_bytes() == content
    assert file.headers["Content-Type"] == served
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in file.headers["Content-Security-Policy"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.isascii()
    assert disposition.isprintable()
    assert unquote(disposition.partition("UTF-8''")[2]) == '报告 "x" Set-Cookie: a=1_.._b%41;.html'


async def test_what_is_not_stored_is_not_served(core: Any) -> None:
    """Pending, unknown and removed files alike are None."""
    pending = await arrived(core)
    assert await core.media.open_attachment(pending) is None
    assert await core.media.open_attachment(new_id()) is None
    await fetch_pending(core, pending)
    served = await core.media.open_attachment(pending)
    await core.media.blobs.remove((await row_of(core, pending))["sha256"])
    assert served is not None
    assert await core.media.open_attachment(pending) is None
    with pytest.raises(Unsupported, match="no longer"):
        await core.media.read(ReplyAttachment(id=show_id("att", pending)))
