"""One IMAP connection that cannot hang, lie or lose a push: the only place that knows aioimaplib.

aioimaplib 2.0.3 has faults that were measured; each has its guard here:

* a response of about 1,000 lines in one piece ends in RecursionError and a hang → the bytes reach
  the parser in small pieces, and no command asks for more than :data:`MAX_UIDS_PER_FETCH` mails;
* a lost connection is told to nobody who waits → every wait also waits for the loss;
* ``store``, ``copy``, ``move`` know no time limit → every call has one, and after any time-out the
  connection is closed: the library never clears the pending command;
* ``EXISTS`` outside IDLE is dropped → it is noted before the library sees it;
* pushes that were not read before the end of an IDLE turn up in the next → the queue is emptied;
* a greeting other than OK surfaces as a time-out → it is noted and ends the wait;
* a refused XOAUTH2 token is answered by a challenge that is never answered → it is, with an empty line;
* capabilities in a login answer are split wrongly → asked for again after login;
* user and folder names are sent bare → quoted here.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from adapters.email.imap_client import (
    COMMAND_TIMEOUT_S,
    MissingLibrary,
    Signals,
    connecting_client,
)
from adapters.email.imap_text import (
    FETCH,
    UID,
    arrived_at,
    content_of,
    folder_name,
    quoted,
    uid_set,
)

__all__ = [
    "MAX_UIDS_PER_FETCH",
    "ConnectionLost",
    "Facts",
    "Folder",
    "LoginRefused",
    "Mailbox",
    "MissingLibrary",
    "Refused",
]

MAX_UIDS_PER_FETCH = 100
CONNECT_TIMEOUT_S = 20.0
# Larger mails are fetched in pieces of this size.
PIECE_BYTES = 1024 * 1024
# A slow line takes 64 kB/s.
_PIECE_S = PIECE_BYTES / (64 * 1024)

_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)")
_BUSY = re.compile(rb"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|CONTACTADMIN)\]", re.IGNORECASE)


class ConnectionLost(Exception):
    """The connection to the mail server broke; a new one is needed."""


class LoginRefused(Exception):
    """The mail server refuses the name or the password."""


class Refused(Exception):
    """The mail server answered NO or BAD; the connection goes on."""


class Folder(NamedTuple):
    """A folder as it was opened."""

    uid_validity: int
    uid_next: int | None
    is_writable: bool


class Facts(NamedTuple):
    """What the server knows of a mail without its text."""

    uid: int
    size_bytes: int
    arrived_at: datetime | None


class Mailbox:
    """A session with one mail server. After :class:`ConnectionLost` it is of no further use."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._signals = Signals()
        self._open: tuple[str, Folder] | None = None
        self._imap = connecting_client(host, port, tls, self._signals)

    # --- the session ------------------------------------------------------------------------------

    async def open(self, user: str, password: str = "", *, token: str | None = None) -> None:
        """Connect, log in by *password* or OAuth *token*, and say who we are where that is asked for.

        Raises:
            ConnectionLost: the server cannot be reached, or says that it is busy.
            LoginRefused: name or password are wrong.
            ssl.SSLCertVerificationError: the server's certificate is not accepted.
        """
        await self._run(self._imap.wait_hello_from_server(), CONNECT_TIMEOUT_S)
        try:
            if token is None:
                await self._ok(self._imap.login(quoted(user), password))
            else:
                await self._ok(self._imap.xoauth2(user, token))
        except Refused as error:
            if _BUSY.search(str(error).encode()):
                raise self._broken(str(error)) from error
            raise LoginRefused(str(error)) from error
        await self._run(self._imap.protocol.capability(), COMMAND_TIMEOUT_S)
        if self.can("ID"):
            # 163 and 126 refuse SELECT without it; QQ hangs up on a command that it does not offer.
            await self._tolerated(
                self._imap.id(name="messaging-hub", version="1", vendor="messaging-hub")
            )

    def can(self, capability: str) -> bool:
        """Whether the server offers *capability*."""
        return capability.upper() in {str(one).upper() for one in self._imap.protocol.capabilities}

    @property
    def capabilities(self) -> list[str]:
        """What the server offers."""
        return sorted(str(one).upper() for one in self._imap.protocol.capabilities)

    async def close(self) -> None:
        """End the session politely if it still lives, then for good."""
        if not self._signals.lost.done():
            try:
                async with asyncio.timeout(3):
                    await self._tolerated(self._imap.logout())
            except (ConnectionLost, TimeoutError):
                pass
        self._abort("closed")

    # --- folders ----------------------------------------------------------------------------------

    async def select(self, name: str) -> Folder:
        """Open the folder *name*, unless it is the one that is open.

        Raises:
            Refused: there is no such folder, or the server does not want to.
        """
        if self._open and self._open[0] == name:
            return self._open[1]
        self._open = None
        lines = await self._ok(self._imap.select(folder_name(name)))
        text = b"\n".join(bytes(line) for line in lines)
        validity = re.search(rb"\[UIDVALIDITY (\d+)\]", text, re.IGNORECASE)
        following = re.search(rb"\[UIDNEXT (\d+)\]", text, re.IGNORECASE)
        if not validity:
            raise Refused(f"folder {name}: the server gives no UIDVALIDITY")
        self._signals.news = False
        folder = Folder(
            uid_validity=int(validity[1]),
            uid_next=int(following[1]) if following else None,
            is_writable=b"[READ-ONLY]" not in text.upper(),
        )
        self._open = name, folder
        return folder

    async def search(self, *criteria: str) -> list[int]:
        """The UIDs that match, in order."""
        self._signals.news = False
        lines = await self._ok(self._imap.uid_search(*criteria, charset=None))
        # The last line is the tagged text, which may hold numbers; without data it stands alone.
        found = b" ".join(bytes(line) for line in lines[:-1]).split()
        return sorted({int(one) for one in found if one.isdigit()})

    async def search_after(self, uid: int) -> list[int]:
        """The UIDs above *uid*. (``n:*`` always matches the highest mail, be it below n.)"""
        return [one for one in await self.search("UID", f"{uid + 1}:*") if one > uid]

    # --- mails ------------------------------------------------------------------------------------

    async def facts(self, uids: Sequence[int]) -> dict[int, Facts]:
        """Size and arrival of at most MAX_UIDS_PER_FETCH mails; those that are gone are left out."""
        lines = await self._fetch(uids, "(UID RFC822.SIZE INTERNALDATE)", COMMAND_TIMEOUT_S)
        found: dict[int, Facts] = {}
        for line in lines:
            uid, size = UID.search(line), _SIZE.search(line)
            if isinstance(line, bytes) and FETCH.match(line) and uid and size:
                found[int(uid[1])] = Facts(int(uid[1]), int(size[1]), arrived_at(line))
        return found

    async def raw(self, uid: int, *, size_bytes: int = 0) -> bytes | None:
        """The mail *uid* as it is, without marking it; None when it is gone.

        A large one comes in pieces, each with its own time limit, so that a slow line is told from a
        dead one.
        """
        patience = COMMAND_TIMEOUT_S + _PIECE_S
        if size_bytes <= PIECE_BYTES:
            return content_of(await self._fetch([uid], "(UID BODY.PEEK[])", patience), uid)
        return await self._raw_in_pieces(uid, size_bytes, patience)

    async def _raw_in_pieces(self, uid: int, size_bytes: int, patience: float) -> bytes | None:
        whole = bytearray()
        # Servers count the size in their own way: what comes decides where the end is.
        for begin in range(0, 2 * size_bytes + PIECE_BYTES, PIECE_BYTES):
            items = f"(UID BODY.PEEK[]<{begin}.{PIECE_BYTES}>)"
            piece = content_of(await self._fetch([uid], items, patience), uid)
            if piece is None:
                return None
            whole += piece
            if len(piece) != PIECE_BYTES:
                break
        return bytes(whole)

    async def head(self, uid: int, *, max_bytes: int = 256 * 1024) -> bytes | None:
        """The header of the mail *uid*, at most *max_bytes* of it; None when the mail is gone."""
        lines = await self._fetch(
            [uid], f"(UID BODY.PEEK[HEADER]<0.{max_bytes}>)", COMMAND_TIMEOUT_S
        )
        return content_of(lines, uid)

    async def mark_seen(self, uids: Sequence[int]) -> None:
        """Set \\Seen on *uids*; a refusal is no error, for nothing depends on the flag."""
        if uids:
            await self._tolerated(
                self._imap.uid("STORE", uid_set(uids), "+FLAGS.SILENT", "(\\Seen)")
            )

    async def mark_flagged(self, uids: Sequence[int]) -> None:
        """Set \\Flagged on *uids*, as a star in many programs; a refusal is no error."""
        if uids:
            await self._tolerated(
                self._imap.uid("STORE", uid_set(uids), "+FLAGS.SILENT", "(\\Flagged)")
            )

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move *uids* to *folder*, which is made when it is missing; a refusal leaves them in place."""
        if not uids:
            return
        name = folder_name(folder)
        command = "MOVE" if self.can("MOVE") else "COPY"
        try:
            await self._ok(self._imap.uid(command, uid_set(uids), name))
        except Refused:
            await self._tolerated(self._imap.create(name))
            try:
                await self._ok(self._imap.uid(command, uid_set(uids), name))
            except Refused:
                return
        if command == "COPY":
            await self._delete(uids)

    async def _delete(self, uids: Sequence[int]) -> None:
        """Where there is no MOVE. Only what UIDPLUS lets us name is expunged: others delete, too."""
        await self._tolerated(
            self._imap.uid("STORE", uid_set(uids), "+FLAGS.SILENT", "(\\Deleted)")
        )
        if self.can("UIDPLUS"):
            await self._tolerated(self._imap.uid("EXPUNGE", uid_set(uids)))

    # --- waiting ----------------------------------------------------------------------------------

    async def noop(self) -> None:
        """Keep the connection alive."""
        await self._ok(self._imap.noop())

    async def wait_for_news(self, seconds: float) -> bool:
        """Until the server tells of a new mail (True) or *seconds* are over. Needs IDLE."""
        self._empty_queue()
        if self._signals.news:
            return True
        idle = await self._run(self._imap.idle_start(timeout=seconds + 60), COMMAND_TIMEOUT_S)
        try:
            return await self._listen(seconds)
        finally:
            if not self._signals.lost.done():
                self._imap.idle_done()
                await self._run(asyncio.shield(idle), COMMAND_TIMEOUT_S)
            self._empty_queue()

    async def _listen(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._signals.news:
            left = until - loop.time()
            if left <= 0:
                return False
            try:
                await self._run(self._imap.wait_server_push(left), left + 5)
            except _NothingCame:
                return False
        return True

    def _empty_queue(self) -> None:
        queue = self._imap.protocol.idle_queue
        while not queue.empty():
            queue.get_nowait()

    # --- guards -----------------------------------------------------------------------------------

    async def _run(self, call: Awaitable[Any], seconds: float) -> Any:
        """*call*, ended by its result, by the loss of the connection, or by time."""
        task = asyncio.ensure_future(call)
        try:
            await asyncio.wait(
                {task, self._signals.lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if task.done() and not task.cancelled():
                return self._result(task)
            reason = (
                self._signals.lost.result() if self._signals.lost.done() else "no answer in time"
            )
            raise self._broken(reason)
        except asyncio.CancelledError:
            self._abort("cancelled")
            raise
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _result(self, task: "asyncio.Future[Any]") -> Any:
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, ssl.SSLCertVerificationError):
            self._abort("certificate")
            raise error
        if isinstance(error, TimeoutError) and self._imap.has_pending_idle():
            raise _NothingCame
        raise self._broken(f"{type(error).__name__}: {error}") from error

    async def _ok(self, call: Awaitable[Any]) -> list[Any]:
        """The lines of an answer that must be OK."""
        answer = await self._run(call, COMMAND_TIMEOUT_S)
        if answer.result != "OK":
            raise Refused(
                bytes(answer.lines[-1]).decode("utf-8", "replace") if answer.lines else "NO"
            )
        return list(answer.lines)

    async def _tolerated(self, call: Awaitable[Any]) -> None:
        try:
            await self._ok(call)
        except Refused:
            return

    async def _fetch(self, uids: Sequence[int], items: str, seconds: float) -> list[Any]:
        answer = await self._run(self._imap.uid("FETCH", uid_set(uids), items), seconds)
        if answer.result != "OK":
            raise Refused(
                bytes(answer.lines[-1]).decode("utf-8", "replace") if answer.lines else "NO"
            )
        return list(answer.lines[:-1])

    def _broken(self, reason: str) -> ConnectionLost:
        self._abort(reason)
        return ConnectionLost(reason[:300])

    def _abort(self, reason: str) -> None:
        self._signals.lose(reason)
        self._imap._client_task.cancel()
        if self._imap._idle_waiter is not None:
            self._imap._idle_waiter.cancel()
        if self._imap.protocol.transport is not None:
            self._imap.protocol.transport.abort()


class _NothingCame(Exception):
    """The server told nothing within the time."""
