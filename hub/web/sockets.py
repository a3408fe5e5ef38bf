"""WebSockets that platforms and visitors open to us."""

import asyncio
from collections.abc import Mapping

import structlog
from aiohttp import WSMsgType, web

from hub.channel import Emit, NotAuthentic, Socket

__all__ = ["OpenSockets", "serve_socket"]

MAX_FRAME_BYTES = 1 << 20
HEARTBEAT_S = 30.0
GOING_AWAY = 1001

_log = structlog.get_logger("hub.web.sockets")


class _Connection:
    """A :class:`hub.channel.Connection`; the upgrade is answered at the first receive or send.

    So a channel can look at the headers, and refuse with NotAuthentic, while HTTP still can say 403.
    """

    def __init__(
        self, request: web.BaseRequest, headers: Mapping[str, str], max_frame_bytes: int
    ) -> None:
        self._request = request
        self._headers = headers
        self.socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=max_frame_bytes)
        self.open = False

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    async def _prepare(self) -> None:
        if not self.open:
            self.open = True
            await self.socket.prepare(self._request)

    async def receive(self) -> str | bytes:
        await self._prepare()
        frame = await self.socket.receive()
        if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            data: str | bytes = frame.data
            return data
        raise ConnectionError("the peer has gone")

    async def send(self, frame: str | bytes) -> None:
        await self._prepare()
        if isinstance(frame, str):
            await self.socket.send_str(frame)
        else:
            await self.socket.send_bytes(frame)

    async def close(self, code: int = 1000) -> None:
        await self._prepare()
        await self.socket.close(code=code)


class OpenSockets:
    """The sockets of one process; they would hold up its end, since nobody else closes them."""

    def __init__(self) -> None:
        self._open: set[_Connection] = set()

    def add(self, connection: _Connection) -> None:
        self._open.add(connection)

    def discard(self, connection: _Connection) -> None:
        self._open.discard(connection)

    async def close(self) -> None:
        """Tell everybody that this process goes; what they have sent is still stored."""
        ends = [one.close(GOING_AWAY) for one in self._open if one.open]
        await asyncio.gather(*ends, return_exceptions=True)


async def serve_socket(
    request: web.BaseRequest,
    part: Socket,
    emit: Emit,
    headers: Mapping[str, str],
    sockets: OpenSockets,
) -> web.StreamResponse:
    """Run *part* on the connection until it ends.

    Raises:
        NotAuthentic: the channel refused before anything was read.
    """
    most: int = getattr(part, "max_frame_bytes", MAX_FRAME_BYTES)
    connection = _Connection(request, headers, most)
    sockets.add(connection)
    try:
        await part.serve(connection, emit)
    except NotAuthentic:
        if not connection.open:
            raise
        await connection.close(1008)
    except ConnectionError:
        pass
    except Exception as error:
        _log.error("socket_broken", error=type(error).__name__)
        await connection.close(1011)
    else:
        await connection.close()
    finally:
        sockets.discard(connection)
    return connection.socket
