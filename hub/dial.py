"""A WebSocket that the hub opens."""

from collections.abc import Mapping

import aiohttp
from aiohttp import WSMsgType

from hub.errors import Closed

__all__ = ["Dialled"]


class Dialled:
    """A :class:`hub.channel.Connection` that the hub opened."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    @property
    def headers(self) -> Mapping[str, str]:
        """Nobody needs the answer's headers; there are none."""
        return {}

    async def receive(self) -> str | bytes:
        """The next frame; a peer that is gone, or breaks the protocol, is Closed."""
        frame = await self._socket.receive()
        if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = frame.data
            return data
        raise Closed(self._socket.close_code)

    async def send(self, frame: str | bytes) -> None:
        """Send one frame."""
        if isinstance(frame, str):
            await self._socket.send_str(frame)
        else:
            await self._socket.send_bytes(frame)

    async def close(self, code: int = 1000) -> None:
        """Close the connection; harmless when it is closed."""
        await self._socket.close(code=code)
