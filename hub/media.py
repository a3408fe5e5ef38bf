"""Attachments: kept as they come, fetched from platforms, uploaded, read for replies, served.

Every file lies in the blob store before a row says so. What a channel only points at is fetched by a
job that claims the row, so that a crash or a second job costs a repeat at most.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import msgspec
import structlog

from hub.blobs import AttachmentSettings, Blobs, Kept, Opened, open_blobs
from hub.clamd import Clamd
from hub.core import Core
from hub.errors import (
    BadCredentials,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
    Unsupported,
    WindowClosed,
)
from hub.feed import NewEvent, publish
from hub.fetch import STRICT, Fetcher, Forbidden, TooLarge
from hub.ids import new_id, read_id, show_id
from hub.model import Attachment, ReplyAttachment
from hub.sniff import is_safe_inline, sniff, true_type
from hub.store import AWAY, Database, Transaction
from hub.store import media as rows
from hub.store.media import due
from hub.text import single_line

__all__ = ["Infected", "Media", "Served", "due", "fetch_pending"]

PAUSES_S = (60.0, 300.0, 1800.0, 7200.0, 21600.0)
"""How long to wait after each failed fetch; the last one repeats."""

GIVE_UP_S = 3 * 86400.0
FETCH_S = 100.0
"""A file that is not here by then is tried again; less than the claim on its row."""

_log = structlog.get_logger("hub.media")


class Served(NamedTuple):
    """A file to be handed out: never to be shown as a page of ours."""

    file: Opened
    headers: dict[str, str]


class Infected(Rejected):
    """The virus scanner found something; the file is not kept."""


class Media:
    """The files of the hub, for one process."""

    def __init__(
        self,
        db: Database,
        data_dir: Path,
        max_bytes: int,
        *,
        fetcher: Fetcher | None = None,
        settings: AttachmentSettings | None = None,
    ) -> None:
        """*max_bytes* is the largest file; *fetcher* gets files from URLs that anybody may have set."""
        settings = settings or AttachmentSettings()
        self._db = db
        self._max_bytes = max_bytes
        self._fetcher = fetcher or Fetcher(STRICT, limit=8)
        self._clamd = Clamd(settings.clamd) if settings.clamd else None
        self.blobs: Blobs = open_blobs(settings, data_dir)

    async def close(self) -> None:
        """Close the connections."""
        await self._fetcher.close()

    # -- what comes in -------------------------------------------------------------------------------

    async def keep(self, attachment: Attachment) -> Attachment:
        """*attachment* with its content in the store, and its size, hash and type filled in.

        The content is on disk when this returns, before the transaction that files the message. One
        that is too large is refused; it stays in the raw event.
        """
        content = attachment.content
        if content is None:
            return attachment
        if len(content) > self._max_bytes:
            return msgspec.structs.replace(
                attachment, content=None, state="refused", size_bytes=len(content)
            )
        kept = await self.blobs.keep(content)
        try:
            await self.inspect(kept)
        except Infected:
            return msgspec.structs.replace(
                attachment, content=None, state="refused", size_bytes=len(content)
            )
        return msgspec.structs.replace(
            attachment,
            content=None,
            state="stored",
            size_bytes=kept.size_bytes,
            sha256=kept.sha256,
            mime_type=true_type(kept.head, attachment.mime_type),
        )

    async def upload(
        self,
        pieces: AsyncIterable[bytes],
        *,
        filename: str | None,
        mime_type: str | None,
        token_id: UUID | None,
        at: datetime,
    ) -> Attachment:
        """Store a file that somebody wants to send later; it belongs to the token until then.

        Raises:
            TooLarge: it is larger than the hub allows.
            Infected: the virus scanner found something.
        """
        kept = await self.keep_stream(pieces, self._max_bytes)
        own = new_id()
        kind = _kind(true_type(kept.head, mime_type))
        name = single_line(filename, 255) if filename else None
        outcome = _stored(kept, mime_type)
        await rows.insert_upload(self._db, own, token_id, kind, name, outcome, at)
        return Attachment(
            kind=kind,
            id=show_id("att", own),
            mime_type=outcome.mime_type,
            filename=name,
            size_bytes=kept.size_bytes,
            sha256=kept.sha256,
            state="stored",
        )

    async def keep_stream(self, pieces: AsyncIterable[bytes], max_bytes: int) -> Kept:
        """Store what *pieces* yields, once it is known to be clean.

        Raises:
            TooLarge: it has more than *max_bytes*; nothing is kept.
            Infected: the virus scanner found something; nothing is kept.
        """
        kept = await self.blobs.keep_stream(pieces, max_bytes)
        await self.inspect(kept)
        return kept

    async def inspect(self, kept: Kept) -> None:
        """Have the virus scanner look at a stored file, if there is one.

        Raises:
            Infected: it found something; the file is gone.
            OSError: the scanner is away.
        """
        if self._clamd is None:
            return
        file = await self.blobs.open(kept.sha256)
        found = await self._clamd.infection(file.pieces) if file else None
        if found is not None:
            await self.blobs.remove(kept.sha256)
            raise Infected(f"the virus scanner found {found}")

    # -- what goes out -------------------------------------------------------------------------------

    async def read(self, attachment: ReplyAttachment) -> bytes:
        """The whole file, for a reply; see ``hub.channel.MediaStore``.

        Raises:
            Unsupported: there is no such file, or it is larger than the hub allows.
            SendError: the URL does not answer.
        """
        if attachment.content is not None:
            return attachment.content
        if attachment.id is not None:
            return await self._read_stored(attachment.id)
        if attachment.url is not None:
            try:
                return b"".join([piece async for piece in self.download(attachment.url)])
            except (Forbidden, TooLarge) as error:
                raise Unsupported(error.detail) from error
        raise Unsupported("the attachment names no file")

    async def download(self, url: str) -> AsyncIterator[bytes]:
        """The file at *url*, through the strict client.

        Raises:
            SendError: it cannot be had; Forbidden and TooLarge will stay so.
        """
        async with self._fetcher.stream("GET", url, max_bytes=self._max_bytes) as file:
            if file.status != 200:
                retry = file.status >= 500 or file.status in (408, 425, 429)
                raise (Unreachable if retry else Rejected)(
                    f"HTTP {file.status}", external_code=file.status
                )
            async for piece in file.pieces:
                yield piece

    async def _read_stored(self, shown: str) -> bytes:
        own = read_id("att", shown)
        row = await rows.load(self._db, own) if own else None
        if row is None or row.state != "stored" or row.sha256 is None:
            raise Unsupported(f"there is no file {shown}")
        if (row.size_bytes or 0) > self._max_bytes:
            raise Unsupported(
                f"the file has {row.size_bytes} bytes, at most {self._max_bytes} are allowed"
            )
        content = await self.blobs.read(row.sha256)
        if content is None:
            raise Unsupported(f"the file {shown} is no longer kept")
        return content

    async def open_attachment(self, attachment_id: UUID) -> Served | None:
        """The file and the headers to serve it with; None when it is not (or no longer) stored.

        Whoever calls has checked that the asker may see it.
        """
        row = await rows.load(self._db, attachment_id)
        if row is None or row.state != "stored" or row.sha256 is None:
            return None
        file = await self.blobs.open(row.sha256)
        if file is None:
            return None
        name = row.filename or show_id("att", row.id)
        return Served(file, _headers(name, sniff(file.head)))


def _headers(filename: str, found: str | None) -> dict[str, str]:
    """Headers under which no browser runs what the file holds, whatever it is called (RFC 6266)."""
    name = filename.replace("/", "_").replace("\\", "_")
    plain = "".join(
        one if one.isascii() and one.isprintable() and one not in '"%;' else "_" for one in name
    )
    return {
        "Content-Type": found if found and is_safe_inline(found) else "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-site",
        "Cache-Control": "private, max-age=300",
    }


def _kind(mime_type: str | None) -> Any:
    family = (mime_type or "").partition("/")[0]
    return {"image": "image", "audio": "voice", "video": "video"}.get(family, "file")


def _stored(kept: Kept, claimed: str | None) -> rows.Outcome:
    mime_type = true_type(kept.head, claimed)
    short = mime_type[:255] if mime_type else None
    return rows.Outcome("stored", None, kept.sha256, kept.size_bytes, short)


# --- the job that fetches ---------------------------------------------------------------------------


async def fetch_pending(core: Core, attachment_id: UUID) -> None:
    """Fetch the attachment if it is due; may run any number of times, anywhere.

    Ends with the row stored, failed, expired or refused and an ``attachment.ready`` event, or with a
    later time to try again.
    """
    row = await rows.claim(core.db, attachment_id)
    if row is None:
        return
    place = await rows.place_of(core.db, row.message_id)
    try:
        async with asyncio.timeout(FETCH_S):
            kept = await core.media.keep_stream(
                _pieces(core, row, place), core.settings.hub.max_attachment_bytes
            )
        outcome: rows.Outcome | None = _stored(kept, row.mime_type)
    except AWAY as error:
        outcome = _judged(row, Unreachable(f"{type(error).__name__}: {error}"))
        reason = f"{type(error).__name__}: {error}"
    except Exception as error:
        outcome = _judged(row, error)
        reason = _told(error)
    if outcome is None:
        pause = PAUSES_S[min(row.tries, len(PAUSES_S)) - 1]
        _log.info("file_put_off", attachment=show_id("att", row.id), reason=reason, pause_s=pause)
        await rows.put_off(core.db, row, reason, pause)
        return
    await _finish(core, row, place, outcome)


def _pieces(core: Core, row: rows.FileRow, place: rows.Place | None) -> AsyncIterable[bytes]:
    if place is not None and place.direction == "outbound":
        return core.media.download(str(row.source.get("url", "")))
    running = core.accounts.get(row.account or "")
    if running is None:
        raise Rejected("the account is not configured any more")
    if running.media is None:
        if running.fault is not None or not running.plan.enabled:
            raise Unreachable(running.fault or "the account is disabled")
        raise Unsupported("this channel cannot fetch files")
    return running.media.open(_shown(core, row))


def _shown(core: Core, row: rows.FileRow, outcome: rows.Outcome | None = None) -> Attachment:
    public = show_id("att", row.id)
    base = (core.settings.hub.public_url or "").rstrip("/")
    shown = Attachment(
        kind=row.kind,
        id=public,
        mime_type=row.mime_type,
        filename=row.filename,
        size_bytes=row.size_bytes,
        state=row.state,
        url=f"{base}/v1/attachments/{public}",
        source=row.source,
    )
    if outcome is None:
        return shown
    state: Any = outcome.state
    return msgspec.structs.replace(
        shown,
        state=state,
        sha256=outcome.sha256,
        size_bytes=outcome.size_bytes if outcome.size_bytes is not None else row.size_bytes,
        mime_type=outcome.mime_type or row.mime_type,
    )


def _told(error: BaseException) -> str:
    if isinstance(error, SendError):
        return f"{error.sentence} {error.detail}".strip()
    return f"{type(error).__name__}: {error}"


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and len(chain) < 10:
        chain.append(cause)
    return chain


def _judged(row: rows.FileRow, error: BaseException) -> rows.Outcome | None:
    """What *error* means for good; None: try again later."""
    for cause in _causes(error):  # a channel may have wrapped it
        if isinstance(cause, TooLarge | Forbidden | Infected):
            return rows.Outcome("refused", _told(cause))
    if isinstance(error, RecipientGone | WindowClosed):
        return rows.Outcome("expired", _told(error))
    if isinstance(error, Rejected | Unsupported):
        return rows.Outcome("failed", _told(error))
    if row.age_s > GIVE_UP_S:
        return rows.Outcome(
            "failed" if isinstance(error, BadCredentials) else "expired", _told(error)
        )
    return None


async def _finish(
    core: Core, row: rows.FileRow, place: rows.Place | None, outcome: rows.Outcome
) -> None:
    at = core.clock()
    events = []
    if place is not None and row.message_id is not None:
        data = {
            "attachment": _plain(_shown(core, row, outcome)),
            "message_id": show_id("msg", row.message_id),
            "conversation_id": show_id("cnv", place.conversation_id),
        }
        events = [
            NewEvent(
                "attachment.ready",
                data,
                row.account,
                place.queue,
                place.conversation_id,
                row.message_id,
            )
        ]

    async def work(tx: Transaction) -> frozenset[str] | None:
        if not await rows.finish(tx, row, outcome):
            return None
        return await publish(tx, core.settings, events, at)

    told = await core.db.transaction(work)
    if told is None:
        return  # the claim ran out and another job has it
    if told:
        core.bells.ring("deliver")
    if place is not None and place.direction == "outbound":
        core.bells.ring("reply")
    if outcome.state != "stored":
        _log.warning(
            "file_not_fetched",
            attachment=show_id("att", row.id),
            account=row.account,
            state=outcome.state,
            reason=outcome.error,
        )


def _plain(attachment: Attachment) -> dict[str, Any]:
    names = [name for name in Attachment.__struct_fields__ if name != "content"]
    return {name: getattr(attachment, name) for name in names}
