"""Lean HTTP/1.1, both sides: what measures must not take the time that is measured."""

import asyncio
import re
import time
from collections.abc import Callable

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Caller(asyncio.Protocol):
    """One connection of the platform: one request at a time, *done* gets (status, ticket)."""

    def __init__(self, done: "Callable[[Caller, int, int], None]") -> None:
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._ticket = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._ticket >= 0:
            self._end(0)

    def send(self, request: bytes, ticket: int) -> None:
        """Send *request*; a closed connection ends it with status 0."""
        self._ticket = ticket
        self._answer = b""
        if self._transport is None:
            self._end(0)
        else:
            self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._answer = answer = self._answer + data if self._answer else data
        end = answer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(answer, 0, end)
        if len(answer) >= end + 4 + (int(found[1]) if found else 0):
            self._end(int(answer[9:12]))

    def _end(self, status: int) -> None:
        ticket, self._ticket = self._ticket, -1
        self._done(self, status, ticket)


class Taker(asyncio.Protocol):
    """One connection of the helpdesk: notes when each body came, and says 204."""

    def __init__(self, received: list[tuple[float, bytes]]) -> None:
        self._received = received
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        while self._data and self._take():
            pass

    def _take(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        found = _LENGTH.search(self._data, 0, end) if end > 0 else None
        if found is None:
            return False
        size = end + 4 + int(found[1])
        if len(self._data) < size:
            return False
        self._received.append((time.monotonic(), self._data[end + 4 : size]))
        self._data = self._data[size:]
        if self._transport is not None:
            self._transport.write(_TAKEN)
        return True
