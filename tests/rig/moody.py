"""A helpdesk in all its moods: well, away, slow, failing, redirecting, cutting, answering too late."""

import asyncio
import contextlib
import re
import time
from typing import NamedTuple

__all__ = ["MOODS", "Came", "Moody"]

MOODS = ("away", "slow", "error", "redirect", "cut", "late")
"""Besides ``well``: nobody listens; no answer; 500; 302; the connection ends; 200 when nobody waits."""

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_ID = re.compile(rb"(?i)\r\nwebhook-id: *(\S+)")
_ORDER = re.compile(rb'"order":\{"lane":"(\w+)","n":(\d+)\}')
_NUMBER = re.compile(rb'"text":"m(\d+) from')
_ANSWERS = {
    "well": b"HTTP/1.1 204 No Content\r\n\r\n",
    "late": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "error": b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
}


class Came(NamedTuple):
    """One request as it came: *mood* tells what became of it."""

    at: float
    mood: str
    event: str
    lane: str
    n: int
    body: bytes
    number: int | None


class Moody:
    """One helpdesk; :meth:`be` changes its mood, at once and for open connections too."""

    def __init__(self, late_s: float = 20.0) -> None:
        """*late_s*: when it answers in the mood ``late``, and how long it is silent when ``slow``."""
        self.mood = "well"
        self.came: list[Came] = []
        self.port = 0
        self._late_s = late_s
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where events go."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def start(self) -> None:
        """Listen; always at the same port."""
        self._server = await asyncio.start_server(
            self._talk, "127.0.0.1", self.port, limit=1 << 22, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody listens any more, and open connections end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def be(self, mood: str) -> None:
        """Change the mood."""
        before, self.mood = self.mood, mood
        if mood == "away":
            await self.stop()
        elif before == "away":
            await self.start()

    def taken(self) -> list[Came]:
        """What was answered well, in time."""
        return [one for one in self.came if one.mood == "well"]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length, event = _LENGTH.search(head), _ID.search(head)
        if length is None or event is None:
            raise ValueError(f"no webhook: {head!r}")
        body = await reader.readexactly(int(length[1]))
        mood = self.mood
        self._note(mood, event[1].decode(), body)
        if mood in ("slow", "late"):
            await asyncio.sleep(self._late_s)
        if mood not in _ANSWERS:
            return False
        writer.write(_ANSWERS[mood])
        await writer.drain()
        return True

    def _note(self, mood: str, event: str, body: bytes) -> None:
        order, number = _ORDER.search(body), _NUMBER.search(body)
        if order is None:
            raise ValueError(f"no event: {body[:200]!r}")
        self.came.append(
            Came(
                time.monotonic(),
                mood,
                event,
                order[1].decode(),
                int(order[2]),
                body,
                int(number[1]) if number else None,
            )
        )
