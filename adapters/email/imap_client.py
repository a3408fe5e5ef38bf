"""aioimaplib's client, made honest: it takes any amount of lines and tells what it would hide.

The library is GPL-3.0-only and an optional extra, so it is imported when a mailbox is opened.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Iterator
from typing import Any

__all__ = ["COMMAND_TIMEOUT_S", "MissingLibrary", "Signals", "connecting_client"]

COMMAND_TIMEOUT_S = 30.0
_MAX_LINES_PER_PIECE = 100
_EXISTS = re.compile(rb"\* (\d+) EXISTS", re.IGNORECASE)


class MissingLibrary(Exception):
    """The IMAP library is not installed: pip install 'messaging-hub[email]'."""


def _library() -> Any:
    try:
        import aioimaplib.aioimaplib as library
    except ImportError as error:
        raise MissingLibrary(str(MissingLibrary.__doc__)) from error
    # It formats what it sends and receives, passwords too, when its log is on.
    for name in ("aioimaplib", "aioimaplib.aioimaplib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return library


class Signals:
    """What happens on the connection outside of any answer."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.news = False

    def lose(self, reason: str) -> None:
        """The connection is of no further use."""
        if not self.lost.done():
            self.lost.set_result(reason)


def connecting_client(host: str, port: int, tls: ssl.SSLContext | None, signals: Signals) -> Any:
    """A client that is connecting; *signals* will hear of pushes and of the connection's end."""
    return _client(_library(), host, port, tls, signals)


def _client(
    library: Any, host: str, port: int, tls: ssl.SSLContext | None, signals: Signals
) -> Any:
    class Protocol(library.IMAP4ClientProtocol):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            for piece in _pieces(data):
                super().data_received(piece)

        def _untagged_response(self, line: bytes) -> Any:
            if _EXISTS.match(line):
                signals.news = True
            elif line[:5].upper() == b"* BYE":
                signals.lose(line[2:200].decode("utf-8", "replace"))
            return super()._untagged_response(line)

        def _continuation(self, line: bytes) -> None:
            command = self.pending_sync_command
            if command is not None and command.name == "AUTHENTICATE":
                # A refused token: the server explains, and waits for an empty line before its NO.
                self.transport.write(b"\r\n")
                return
            super()._continuation(line)

        async def welcome(self, line: bytes) -> None:
            try:
                await super().welcome(line)
            except Exception as error:  # the library leaves it in a task that nobody reads
                signals.lose(f"greeting: {error}")

    class Client(library.IMAP4):  # type: ignore[misc]
        def create_client(self, host: str, port: int, loop: Any, lost: Any, context: Any) -> None:
            running = asyncio.get_running_loop()
            self.protocol = Protocol(running, lost)
            self._client_task = running.create_task(
                running.create_connection(lambda: self.protocol, host, port, ssl=context)
            )

    def lost(error: Exception | None) -> None:
        signals.lose(f"connection closed: {error}" if error else "connection closed")

    return Client(host, port, timeout=COMMAND_TIMEOUT_S, conn_lost_cb=lost, ssl_context=tls)


def _pieces(data: bytes) -> Iterator[bytes]:
    """*data* in pieces of few lines: the library's parser calls itself once per line."""
    lines = data.split(b"\n")
    for at in range(0, len(lines), _MAX_LINES_PER_PIECE):
        is_last = at + _MAX_LINES_PER_PIECE >= len(lines)
        piece = b"\n".join(lines[at : at + _MAX_LINES_PER_PIECE]) + (b"" if is_last else b"\n")
        if piece:
            yield piece
