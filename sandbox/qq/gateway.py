"""The WebSocket gateway: hello, identify, heartbeats, events, resume.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html,
…/websocket.html
"""

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from sandbox.journal import Journal
from sandbox.qq.tokens import TokenDesk

__all__ = ["Gateway", "shard_of"]

DISPATCH, HEARTBEAT, IDENTIFY, RESUME = 0, 1, 2, 6
RECONNECT, INVALID, HELLO, HEARTBEAT_ACK = 7, 9, 10, 11
INTENTS = {
    "GUILD": 0,
    "MESSAGE_CREATE": 9,
    "MESSAGE_DELETE": 9,
    "DIRECT_MESSAGE_CREATE": 12,
    "DIRECT_MESSAGE_DELETE": 12,
    "GROUP_MEMBER_ADD": 24,
    "GROUP_MEMBER_REMOVE": 24,
    "INTERACTION_CREATE": 26,
    "MESSAGE_AUDIT_PASS": 27,
    "MESSAGE_AUDIT_REJECT": 27,
    "AT_MESSAGE_CREATE": 30,
    "PUBLIC_MESSAGE_DELETE": 30,
}
PEOPLE_AND_GROUPS = 25
KNOWN_BITS = frozenset({0, 1, 9, 10, 12, 18, 19, 24, 25, 26, 27, 28, 29, 30})


def shard_of(guild_id: str, shards: int) -> int:
    """Which of *shards* connections gets the events of a guild."""
    return (int(guild_id) >> 22) % shards


@dataclass(slots=True)
class _Session:
    """What one client has been sent, for it to come back to."""

    own: str
    intents: int
    sent: list[dict[str, Any]] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None

    def wants(self, kind: str) -> bool:
        return bool(self.intents >> INTENTS.get(kind, PEOPLE_AND_GROUPS) & 1)


class Gateway:
    """Keeps each session's events, and sends those after ``seq`` again when it is resumed.

    *deaf* leaves heartbeats without an answer; *beats* are the values of ``d`` that came.
    """

    def __init__(self, tokens: TokenDesk, journal: Journal) -> None:
        self._tokens = tokens
        self._journal = journal
        self._sessions: dict[str, _Session] = {}
        self.heartbeat_ms = 45000
        self.deaf = False
        self.beats: list[int | None] = []
        self.forbidden_bits: frozenset[int] = frozenset()
        self._transports: set[asyncio.Transport] = set()

    def routes(self) -> list[web.RouteDef]:
        """Where clients connect."""
        return [web.get("/websocket", self._serve)]

    @property
    def connected(self) -> int:
        """How many clients are connected and known."""
        return sum(one.socket is not None for one in self._sessions.values())

    async def send(self, event: dict[str, Any]) -> None:
        """Send *event* to each session that wants it; who is away gets it when it comes back."""
        for session in list(self._sessions.values()):
            if session.wants(str(event["t"])):
                numbered = {**event, "s": len(session.sent) + 1}
                session.sent.append(numbered)
                await _send(session.socket, numbered)

    async def ask_to_reconnect(self) -> None:
        """Op 7 to everybody, then the connection ends."""
        for session in list(self._sessions.values()):
            await _send(session.socket, {"op": RECONNECT})
            await self._close(session, 4009)

    async def close(self, code: int) -> None:
        """Close every connection with *code*; sessions stay."""
        for session in list(self._sessions.values()):
            await self._close(session, code)

    def cut(self) -> None:
        """Connections just break."""
        for transport in self._transports:
            transport.abort()
        for session in self._sessions.values():
            session.socket = None

    def forget(self) -> None:
        """No session is known any more: whoever resumes is told so (op 9)."""
        self._sessions.clear()

    async def _close(self, session: _Session, code: int) -> None:
        socket, session.socket = session.socket, None
        if socket is not None:
            await socket.close(code=code)

    # -- one client ----------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 16)
        await socket.prepare(request)
        transport = request.transport
        assert transport is not None  # noqa: S101 (the upgrade went through it)
        self._transports.add(transport)
        try:
            return await self._talk(socket)
        finally:
            self._transports.discard(transport)

    async def _talk(self, socket: web.WebSocketResponse) -> web.WebSocketResponse:
        await _send(socket, {"op": HELLO, "d": {"heartbeat_interval": self.heartbeat_ms}})
        session: _Session | None = None
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            try:
                said = json.loads(frame.data)
                op, data = said["op"], said.get("d")
            except (ValueError, KeyError, TypeError):
                await socket.close(code=4002)
                break
            if op == HEARTBEAT:
                self.beats.append(data)
                if not self.deaf:
                    await _send(socket, {"op": HEARTBEAT_ACK})
            elif op in (IDENTIFY, RESUME) and isinstance(data, dict):
                begin = self._identify if op == IDENTIFY else self._resume
                session = await begin(socket, data)
                if session is None:
                    break
            else:
                await socket.close(code=4001)
                break
        if session is not None and session.socket is socket:
            session.socket = None
        return socket

    async def _identify(
        self, socket: web.WebSocketResponse, data: dict[str, Any]
    ) -> _Session | None:
        intents = data.get("intents")
        if not self._tokens.is_good(str(data.get("token"))):
            await socket.close(code=4004)
            return None
        bits = {bit for bit in range(32) if isinstance(intents, int) and intents >> bit & 1}
        if not isinstance(intents, int) or bits - KNOWN_BITS:
            await socket.close(code=4013)
            return None
        if bits & self.forbidden_bits:
            await socket.close(code=4014)
            return None
        if data.get("shard") != [0, 1]:
            await socket.close(code=4010)
            return None
        session = _Session(secrets.token_hex(16), intents, socket=socket)
        self._sessions[session.own] = session
        self._journal.write("identify", intents=intents)
        ready = {
            "op": DISPATCH,
            "s": 1,
            "t": "READY",
            "d": {
                "version": 1,
                "session_id": session.own,
                "user": {"id": "1", "username": "灯火小铺", "bot": True},
                "shard": [0, 1],
            },
        }
        session.sent.append(ready)
        await _send(socket, ready)
        return session

    async def _resume(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> _Session | None:
        """What was missed, then RESUMED, whose ``d`` is an empty text."""
        if not self._tokens.is_good(str(data.get("token"))):
            await socket.close(code=4004)
            return None
        session, seq = self._sessions.get(str(data.get("session_id"))), data.get("seq")
        if session is None or not isinstance(seq, int) or not 0 < seq <= len(session.sent):
            await _send(socket, {"op": INVALID, "d": False})
            return None
        missed = session.sent[seq:]
        self._journal.write("resume", seq=seq, missed=len(missed))
        session.socket = socket
        for event in missed:
            await _send(socket, event)
        await _send(socket, {"op": DISPATCH, "s": len(session.sent), "t": "RESUMED", "d": ""})
        return session


async def _send(socket: web.WebSocketResponse | None, frame: dict[str, Any]) -> None:
    if socket is not None and not socket.closed:
        try:
            await socket.send_str(json.dumps(frame, ensure_ascii=False))
        except (OSError, RuntimeError):
            return
