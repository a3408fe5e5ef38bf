"""Asking ClamAV's daemon about a file, by its INSTREAM command (clamd(8))."""

import asyncio
import struct
from collections.abc import AsyncIterable
from contextlib import suppress

__all__ = ["Clamd"]

ANSWER_S = 60.0
CONNECT_S = 5.0


class Clamd:
    """The daemon at ``unix:/path`` or ``tcp:host:port``; each file has a connection of its own."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def infection(self, pieces: AsyncIterable[bytes]) -> str | None:
        """The name of what was found in the file, or None when it is clean.

        Raises:
            OSError: the daemon is away, or would not look at the file; nothing is known.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await self._connect()
        except TimeoutError as error:
            raise OSError("clamd does not answer") from error
        try:
            async with asyncio.timeout(ANSWER_S):
                return _verdict(await _ask(reader, writer, pieces))
        except TimeoutError as error:
            raise OSError("clamd does not answer") from error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        kind, _, rest = self._address.partition(":")
        if kind == "unix":
            return await asyncio.open_unix_connection(rest)
        host, _, port = rest.rpartition(":")
        return await asyncio.open_connection(host, int(port))


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: AsyncIterable[bytes]
) -> str:
    answer = asyncio.create_task(reader.read(4096))  # it may come early, with the connection's end
    try:
        with suppress(ConnectionError):
            writer.write(b"zINSTREAM\0")
            async for piece in pieces:
                if piece:
                    writer.write(struct.pack(">I", len(piece)) + piece)
                    await writer.drain()
            writer.write(struct.pack(">I", 0))
            await writer.drain()
        return (await answer).rstrip(b"\0\n").decode("utf-8", "replace")
    finally:
        answer.cancel()


def _verdict(answer: str) -> str | None:
    """``stream: OK``, ``stream: NAME FOUND``, or why it did not look."""
    text = answer.removeprefix("stream: ")
    if text == "OK":
        return None
    if text.endswith(" FOUND"):
        return text.removesuffix(" FOUND")
    raise OSError(f"clamd: {text or 'hung up'}")
