"""An IMAP server that misbehaves by script, for what a real one will not do on demand.

It keeps one folder of mails and knows just enough of IMAP for a client that
reads by UID. Every command can be given another answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

TAG = b"TAG"
"""In a scripted answer this stands for the tag of the command."""

CAPABILITIES = b"IMAP4rev1 IDLE ID MOVE UIDPLUS AUTH=XOAUTH2 SASL-IR"
_LINE_LIMIT = 1024 * 1024
_PARTIAL = re.compile(rb"<(\d+)\.(\d+)>")
_LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n$")


class Hangup(Exception):
    """Raised by a scripted answer to cut the connection."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the client. ``name`` is upper case, ``UID FETCH`` in one."""

    tag: bytes
    name: str
    argument: bytes
    connection: "Connection"


Answer = bytes | Callable[[Command], Awaitable[bytes]]


@dataclass(slots=True)
class FakeImapServer:
    """A scripted server on an ephemeral port.

    Args:
        script: answers by command name (``"SELECT"``, ``"UID FETCH"``, ``"DONE"``):
            bytes in which ``TAG`` is replaced, or an async function.
            A list gives the answers for the first, second … time; then the usual one.
        mails: the folder; the first has UID 1.
        piece_bytes: cut what is written into pieces of this size.
    """

    script: Mapping[str, Answer | Sequence[Answer]] = field(default_factory=dict)
    greeting: bytes = b"* OK ready\r\n"
    capabilities: bytes = CAPABILITIES
    mails: list[bytes] = field(default_factory=list)
    uid_validity: int = 1
    piece_bytes: int | None = None
    received: list[bytes] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _connections: set["Connection"] = field(default_factory=set)
    _used: dict[str, int] = field(default_factory=dict)

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", port, limit=_LINE_LIMIT
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.drop_all()
            await self._server.wait_closed()
            self._server = None

    def drop_all(self) -> None:
        """Cut every connection without a word."""
        for connection in list(self._connections):
            connection.writer.transport.abort()

    async def tell(self, line: bytes) -> None:
        """Push an untagged line to every connection: ``b"* 4 EXISTS\\r\\n"``."""
        for connection in list(self._connections):
            await connection.write(line)

    def commands(self, name: str) -> list[bytes]:
        """The received lines that hold *name*."""
        return [line for line in self.received if name.encode() in line.upper()]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run()
        except (ConnectionError, EOFError, Hangup, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.discard(connection)
            writer.close()

    def scripted(self, name: str) -> Answer | None:
        found = self.script.get(name)
        if found is None or isinstance(found, bytes) or callable(found):
            return found
        turn = self._used.get(name, 0)
        self._used[name] = turn + 1
        return found[turn] if turn < len(found) else None


class Connection:
    """One client."""

    def __init__(
        self, server: FakeImapServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self._idle_tag = b"*"

    async def run(self) -> None:
        await self.write(self.server.greeting)
        while command := await self._read():
            await self.write(await self._answer(command))
            if command.name == "LOGOUT":
                return

    async def write(self, data: bytes) -> None:
        size = self.server.piece_bytes or len(data) or 1
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await self.writer.drain()
            if self.server.piece_bytes:
                await asyncio.sleep(0)

    async def _read(self) -> Command | None:
        line = await self.reader.readline()
        while literal := _LITERAL.search(line):
            if not line.endswith(b"+}\r\n"):
                await self.write(b"+ go on\r\n")
            line += await self.reader.readexactly(int(literal[1])) + await self.reader.readline()
        if not line:
            return None
        self.server.received.append(line)
        if line.strip().upper() == b"DONE":
            return Command(self._idle_tag, "DONE", b"", self)
        tag, _, rest = line.strip().partition(b" ")
        name, _, argument = rest.partition(b" ")
        if name.upper() == b"UID":
            sub, _, argument = argument.partition(b" ")
            name += b" " + sub
        return Command(tag, name.decode("ascii", "replace").upper(), argument, self)

    async def _answer(self, command: Command) -> bytes:
        scripted = self.server.scripted(command.name)
        if scripted is None:
            scripted = self._usual(command)
        answer = scripted if isinstance(scripted, bytes) else await scripted(command)
        return answer.replace(TAG, command.tag)

    def _usual(self, command: Command) -> bytes:
        done = TAG + b" OK done\r\n"
        match command.name:
            case "CAPABILITY":
                return b"* CAPABILITY " + self.server.capabilities + b"\r\n" + done
            case "SELECT" | "EXAMINE":
                return self._selected()
            case "UID SEARCH":
                uids = b" ".join(b"%d" % uid for uid in self._searched(command.argument))
                return b"* SEARCH " + uids + b"\r\n" + done
            case "UID FETCH":
                return self._fetched(command.argument) + done
            case "IDLE":
                self._idle_tag = command.tag
                return b"+ idling\r\n"
            case "LOGOUT":
                return b"* BYE see you\r\n" + done
            case _:
                return done

    def _selected(self) -> bytes:
        count = len(self.server.mails)
        lines = (
            b"* %d EXISTS" % count,
            b"* FLAGS (\\Seen \\Deleted)",
            b"* OK [UIDVALIDITY %d] valid" % self.server.uid_validity,
            b"* OK [UIDNEXT %d] next" % (count + 1),
            TAG + b" OK [READ-WRITE] done",
        )
        return b"".join(line + b"\r\n" for line in lines)

    def _searched(self, argument: bytes) -> list[int]:
        """As real servers do, ``n:*`` holds the highest UID even when it is below n."""
        highest = len(self.server.mails)
        found = re.search(rb"UID (\d+):\*", argument)
        if found is None or highest == 0:
            return list(range(1, highest + 1))
        return list(range(min(int(found[1]), highest), highest + 1))

    def _fetched(self, argument: bytes) -> bytes:
        uids, _, items = argument.partition(b" ")
        return b"".join(self._fetch_line(uid, items.upper()) for uid in self._uids_in(uids))

    def _uids_in(self, text: bytes) -> list[int]:
        uids: list[int] = []
        for span in text.split(b","):
            first, _, last = span.partition(b":")
            end = len(self.server.mails) if last == b"*" else int(last or first)
            uids.extend(range(int(first), end + 1))
        return [uid for uid in uids if 1 <= uid <= len(self.server.mails)]

    def _fetch_line(self, uid: int, items: bytes) -> bytes:
        mail = self.server.mails[uid - 1]
        facts = b'UID %d RFC822.SIZE %d FLAGS () INTERNALDATE "21-Nov-2026 12:00:00 +0000"' % (
            uid,
            len(mail),
        )
        if b"BODY" in items:
            content = mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if b"HEADER" in items else mail
            section = b"BODY[HEADER]" if b"HEADER" in items else b"BODY[]"
            if partial := _PARTIAL.search(items):
                begin, size = int(partial[1]), int(partial[2])
                section, content = section + b"<%d>" % begin, content[begin : begin + size]
            facts += b" %s {%d}\r\n%s" % (section, len(content), content)
        return b"* %d FETCH (%s)\r\n" % (uid, facts)
