"""Reads a mailbox: every mail stored before it is marked, none twice, none lost, none in the way.

How far a folder has been read is a checkpoint (``uid_validity``, ``last_uid``), stored in one
transaction with the mails. Flags decide nothing: people read the same mailbox in their own clients.
"""

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.email.mailbox import ConnectionLost, Folder, LoginRefused, Mailbox, Refused
from adapters.email.reading import MailReader, Place, Read
from hub.channel import Account, Emit, Tools, Wake
from hub.errors import BadCredentials, Unreachable
from hub.model import Checkpoint, InboundEvent
from outbound.email import EmailSettings, MailTokens, tls_context

__all__ = ["EmailListener"]

MAX_BATCH_MAILS = 20
MAX_BATCH_BYTES = 8 * 1024 * 1024
# NATs and providers cut quiet connections long before the 29 minutes of RFC 2177.
MAX_IDLE_S = 280.0
# Mails that could not be read are tried again this often.
GAP_RETRY_S = 900.0
# Looked at again when a folder's numbering has changed: mails from this long before the last one.
OVERLAP = timedelta(days=2)
# A mail that comes just while IDLE begins is pushed by few servers: it is looked for soon after, then
# less and less often.
FIRST_IDLE_S = 1.0
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 300.0
# So many failures in a row, with no success between, are shown to the admin.
MAX_FAILURES = 6
# Before it was in once: a wrong host is no interruption. (One, as a token may have run out meanwhile.)
MAX_FIRST_FAILURES = 1

_MAX_GAPS = 1000
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a folder has been read. *newest* is the latest arrival seen; *gaps* could not be read."""

    uid_validity: int
    last_uid: int
    newest: datetime
    gaps: tuple[int, ...] = ()

    def checkpoint(self, folder: str) -> Checkpoint:
        """The mark as the core keeps it."""
        value = {
            "uid_validity": self.uid_validity,
            "last_uid": self.last_uid,
            "newest": self.newest.isoformat(),
            "gaps": list(self.gaps),
        }
        return Checkpoint(folder, value)

    def after(self, read: Read) -> "_Mark":
        """The mark once that mail is dealt with."""
        newest = max(self.newest, read.arrived_at) if read.arrived_at else self.newest
        gaps = (*self.gaps, read.uid)[-_MAX_GAPS:] if read.is_gap else self.gaps
        return _Mark(self.uid_validity, max(self.last_uid, read.uid), newest, gaps)


def _read_mark(value: Mapping[str, Any] | None) -> _Mark | None:
    if value is None:
        return None
    newest = datetime.fromisoformat(str(value["newest"])).astimezone(UTC)
    gaps = tuple(int(uid) for uid in value.get("gaps", ()))
    return _Mark(int(value["uid_validity"]), int(value["last_uid"]), newest, gaps)


@dataclass(slots=True)
class _Batch:
    """Mails that are stored together, and the mark that is stored with them."""

    mark: _Mark
    events: list[InboundEvent] = field(default_factory=list)
    uids: list[int] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, read: Read) -> None:
        """Take one mail in."""
        if read.event is not None:
            self.events.append(read.event)
            self.size_bytes += len(read.event.body)
            if not read.is_gap:
                self.uids.append(read.uid)
        self.mark = self.mark.after(read)

    @property
    def is_full(self) -> bool:
        """Whether it should be stored now."""
        return len(self.events) >= MAX_BATCH_MAILS or self.size_bytes >= MAX_BATCH_BYTES


class _Pause:
    """Waiting times that double from one second to five minutes, each a little off."""

    def __init__(self) -> None:
        self.failures = 0

    def next_s(self) -> float:
        """How long to wait after one more failure."""
        delay = min(FIRST_DELAY_S * 2.0**self.failures, LONGEST_DELAY_S)
        self.failures += 1
        return delay * random.uniform(0.75, 1.25)  # noqa: S311

    def reset(self) -> None:
        """Something worked."""
        self.failures = 0


class EmailListener:
    """Takes the mail of one mailbox in."""

    def __init__(self, account: Account[EmailSettings], tools: Tools, /) -> None:
        self._account = account
        self._settings = account.settings
        self._tools = tools
        self._pause = _Pause()
        self._reader = MailReader(account.settings, tools.clock)
        self._gaps_tried_at: dict[Place, datetime] = {}
        self._surprises = 0
        self._tokens = MailTokens(account.settings, tools)
        self._refused_token: str | None = None
        self._was_in = False
        # One connection hears of one folder only; further folders are looked at now and then.
        has_more = len(account.settings.folders) > 1
        self._idle_s = min(account.settings.poll_seconds, MAX_IDLE_S) if has_more else MAX_IDLE_S

    async def listen(self, emit: Emit, wake: Wake) -> None:
        """Read until cancelled; short interruptions are bridged, long ones raised.

        Raises:
            BadCredentials: the server refuses the login; trying again soon may lock the mailbox.
            Unreachable: the server has been away for some time or could not be reached from the start,
                or its certificate is not accepted.
        """
        self._was_in = False
        if not self._settings.imap_host:
            await asyncio.Event().wait()
        while True:
            try:
                await self._session(emit, wake)
            except LoginRefused as error:
                raise BadCredentials(f"IMAP login: {error}") from error
            except ssl.SSLCertVerificationError as error:
                raise Unreachable(f"the server's certificate: {error.verify_message}") from error
            except (ConnectionLost, Refused) as error:
                delay = self._pause.next_s()
                if self._pause.failures > (MAX_FAILURES if self._was_in else MAX_FIRST_FAILURES):
                    self._pause.reset()
                    raise Unreachable(f"IMAP: {error}") from error
                self._tools.log.info(
                    "mailbox.reconnect", reason=str(error), delay_s=round(delay, 1)
                )
                await asyncio.sleep(delay)

    async def _session(self, emit: Emit, wake: Wake) -> None:
        settings = self._settings
        tls = tls_context(settings) if settings.imap_security == "tls" else None
        mailbox = Mailbox(settings.imap_host, settings.imap_port, tls)
        try:
            await self._log_in(mailbox)
            self._was_in = True
            await self._follow(mailbox, emit, wake)
        finally:
            await mailbox.close()

    async def _log_in(self, mailbox: Mailbox) -> None:
        """Open *mailbox*. A refused token is renewed once; the next session goes in with the new one."""
        settings = self._settings
        if not settings.wants_oauth:
            await mailbox.open(settings.login_name, settings.password.reveal())
            return
        token = await self._tokens.get(unlike=self._refused_token)
        try:
            await mailbox.open(settings.login_name, token=token)
            self._refused_token = None
        except LoginRefused as error:
            if self._refused_token is not None:
                raise
            self._refused_token = token
            raise ConnectionLost(f"the token is not accepted any more: {error}") from error

    async def _follow(self, mailbox: Mailbox, emit: Emit, wake: Wake) -> None:
        """Look, wait for news, look again."""
        can_idle, was_told, fruitless, patience_s = mailbox.can("IDLE"), True, 0, FIRST_IDLE_S
        while True:
            taken, is_open = await self._look(mailbox, emit)
            self._pause.reset()
            if taken and not was_told:
                self._note_surprise()
            fruitless = 0 if taken or not was_told else fruitless + 1
            if fruitless > 1:
                # A server that tells of news again and again must not keep us running in circles.
                pause_s = 0.1 * 2.0 ** min(fruitless, 10)
                await asyncio.sleep(min(pause_s, self._settings.poll_seconds))
            if can_idle and is_open:
                patience_s = min(FIRST_IDLE_S if taken else patience_s * 2, self._idle_s)
                was_told = await mailbox.wait_for_news(patience_s)
            else:
                await wake.wait(self._settings.poll_seconds)
                await mailbox.noop()
                was_told = True

    def _note_surprise(self) -> None:
        """There is IDLE, and yet the server did not tell: if that happens again it is asked more often."""
        self._surprises += 1
        if self._surprises > 1:
            self._idle_s = min(self._idle_s, self._settings.poll_seconds)

    async def _look(self, mailbox: Mailbox, emit: Emit) -> tuple[int, bool]:
        """How many mails were new, and whether the first folder is open now, to wait for its news.

        Raises:
            Refused: none of the folders can be opened.
        """
        taken, refusals = 0, list[Refused]()
        is_open = False
        for name in reversed(self._settings.folders):
            try:
                taken += await self._catch_up(mailbox, name, emit)
                is_open = True
            except Refused as error:
                self._tools.log.warning("mailbox.folder_refused", folder=name, reason=str(error))
                refusals.append(error)
                is_open = False
        if len(refusals) == len(self._settings.folders):
            raise refusals[0]
        return taken, is_open

    # --- one folder -------------------------------------------------------------------------------

    async def _catch_up(self, mailbox: Mailbox, name: str, emit: Emit) -> int:
        """Take in everything that is new in the folder *name*, which stays open; how much that was."""
        taken = 0
        folder = await mailbox.select(name)
        mark = await self._mark(mailbox, name, folder, emit)
        while uids := await mailbox.search_after(mark.last_uid):
            taken += len(uids)
            while uids:
                wanted, uids = uids[: self._reader.chunk], uids[self._reader.chunk :]
                mark = await self._take(mailbox, name, folder, mark, wanted, emit)
        await self._retry_gaps(mailbox, name, mark, emit)
        return taken

    async def _mark(self, mailbox: Mailbox, name: str, folder: Folder, emit: Emit) -> _Mark:
        """Where to go on in the folder *name*: as stored, or found anew and stored."""
        stored = _read_mark(await emit.checkpoint(name))
        if stored and stored.uid_validity == folder.uid_validity:
            return stored
        now = self._tools.clock()
        if stored is None:
            since = timedelta(days=self._settings.initial_lookback_days)
            last_uid = await self._last_uid_before(mailbox, folder, now - since if since else None)
            mark = _Mark(folder.uid_validity, last_uid, now)
        else:
            # The server has numbered the mails anew. What is read twice is known by its content.
            self._tools.log.warning("mailbox.renumbered", folder=name)
            last_uid = await self._last_uid_before(mailbox, folder, stored.newest - OVERLAP)
            mark = _Mark(folder.uid_validity, last_uid, stored.newest)
        await emit([], mark.checkpoint(name))
        return mark

    async def _last_uid_before(
        self, mailbox: Mailbox, folder: Folder, since: datetime | None
    ) -> int:
        """The UID after which to read: behind everything old, which is everything without *since*."""
        if since is not None:
            # SINCE looks at the server's own day (RFC 3501): one day earlier is safe anywhere.
            day = since - timedelta(days=1)
            found = await mailbox.search("SINCE", f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}")
            if found:
                return found[0] - 1
        if folder.uid_next is not None:
            return folder.uid_next - 1
        return max(await mailbox.search_after(0), default=0)

    async def _take(
        self,
        mailbox: Mailbox,
        name: str,
        folder: Folder,
        mark: _Mark,
        uids: Sequence[int],
        emit: Emit,
    ) -> _Mark:
        """Store the mails *uids* in order, in batches; flag them only then."""
        batch = _Batch(mark)
        try:
            async for read in self._reader.read(mailbox, Place(name, mark.uid_validity), uids):
                if read.is_gap:
                    self._tools.log.warning("mailbox.unreadable", folder=name, uid=read.uid)
                batch.add(read)
                if batch.is_full:
                    await self._store(mailbox, name, folder, batch, emit)
                    batch = _Batch(batch.mark)
        except ConnectionLost:
            # What was read before the connection broke is good.
            if batch.mark != mark:
                await emit(batch.events, batch.mark.checkpoint(name))
            raise
        await self._store(mailbox, name, folder, batch, emit)
        return batch.mark

    async def _retry_gaps(self, mailbox: Mailbox, name: str, mark: _Mark, emit: Emit) -> None:
        """One more try, now and then, at the mails that the server did not hand out."""
        place, now = Place(name, mark.uid_validity), self._tools.clock()
        last = self._gaps_tried_at.setdefault(place, now)
        if not mark.gaps or now - last < timedelta(seconds=GAP_RETRY_S):
            return
        self._gaps_tried_at[place] = now
        for uid in mark.gaps:
            read = await self._reader.read_again(mailbox, place, uid)
            if not read.is_gap:
                mark = replace(mark, gaps=tuple(one for one in mark.gaps if one != uid))
                events = [read.event] if read.event else []
                await emit(events, mark.checkpoint(name))

    async def _store(
        self, mailbox: Mailbox, name: str, folder: Folder, batch: _Batch, emit: Emit
    ) -> None:
        await emit(batch.events, batch.mark.checkpoint(name))
        if folder.is_writable:
            await self._finish(mailbox, batch.uids)

    async def _finish(self, mailbox: Mailbox, uids: Sequence[int]) -> None:
        """What the settings want done with stored mails; nothing depends on it."""
        match self._settings.after_store:
            case "seen":
                await mailbox.mark_seen(uids)
            case "flag":
                await mailbox.mark_flagged(uids)
            case "move":
                await mailbox.move(uids, self._settings.move_to)
