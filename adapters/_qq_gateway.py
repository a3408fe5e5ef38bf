"""The WebSocket gateway of the QQ bot platform, and the acknowledgement of taps.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html (frames),
…/websocket.html (close codes)
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from hub.channel import Account, Closed, Connection, Emit, Tools, Wake
from hub.errors import BadCredentials, RateLimited, SendError, Unreachable
from hub.model import Checkpoint, InboundEvent
from normalizers._qq_event import event_of
from outbound.qq import QqApi

__all__ = ["GATEWAY", "QqListener"]

GATEWAY = "gateway"
"""The checkpoint: ``session_id`` and ``seq``, the last event that is stored."""

PAUSES_S: Sequence[float] = (1, 2, 5, 10, 30, 60)
SOUND_AFTER_S = 30.0
FORGET_S = 3.0
HELLO_S = 15.0
_MOST_WAITING, _BATCH = 1000, 200
_MAX_FRAME = 4 << 20
_LONG_S = 3600.0

_DISPATCH, _HEARTBEAT, _IDENTIFY, _RESUME = 0, 1, 2, 6
_RECONNECT, _INVALID, _HELLO, _HEARTBEAT_ACK = 7, 9, 10, 11

# Why the gateway closed, where it is no use to come again.
_FATAL: Mapping[int, str] = {
    4001: "opcode",
    4002: "payload",
    4010: "shard",
    4011: "too many guilds for one shard",
    4012: "version",
    4013: "an intent that does not exist",
    4014: "an intent that the bot has no right to; leave it out of intents",
    4914: "the bot is delisted: it may use the sandbox only",
    4915: "the bot is banned",
}
_TOKEN_REFUSED, _TOO_FAST = 4004, 4008
_SESSION_OVER = frozenset({4006, 4007, *range(4900, 4914)})


class _Frame(Struct):
    """As much of a frame as the connection itself needs."""

    op: int = -1
    s: int | None = None
    t: str | None = None
    d: msgspec.Raw = msgspec.Raw(b"null")


class _Hello(Struct):
    heartbeat_interval: float = 45000.0


class _Ready(Struct):
    session_id: str = ""


class _Tapped(Struct):
    id: str = ""


class _Reconnect(Exception):
    """The gateway wants us to come again, with the same session."""


class _Forget(Exception):
    """The gateway knows our session no more."""


class QqListener:
    """Takes the events of an account by the gateway; acknowledges taps whichever way they came."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._tools = tools
        self._api = QqApi(account, tools)
        self._failures = 0
        self._acknowledging: set[asyncio.Task[None]] = set()

    async def listen(self, emit: Emit, wake: Wake) -> None:
        """Stay connected, or wait for taps; see :class:`hub.channel.Listener`."""
        try:
            if self._account.settings.intake != "gateway":
                await self._wait_for_taps(wake)
            while True:
                await self._connected(emit)
        finally:
            for task in self._acknowledging:
                task.cancel()

    # -- taps ----------------------------------------------------------------------------------------

    async def _wait_for_taps(self, wake: Wake) -> None:
        while True:
            bell = await wake.wait(_LONG_S)
            if bell is not None and bell.key == "interaction":
                self.acknowledge(str(bell.facts.get("id") or ""))

    def acknowledge(self, tap: str) -> None:
        """Tell the platform in the background that *tap* has arrived, within the 5 s that it waits."""
        task = asyncio.create_task(self._acknowledge(tap), name="qq-tap")
        self._acknowledging.add(task)
        task.add_done_callback(self._acknowledging.discard)

    async def _acknowledge(self, tap: str) -> None:
        """Not tried again: the person has seen by then that it took too long, and the tap is stored."""
        if not tap:
            return
        try:
            url = f"{self._api.base}/interactions/{quote(tap, safe='')}"
            await self._api.call("PUT", url, speaks=False, json={"code": 0})
        except SendError as error:
            self._tools.log.warning("tap_not_acknowledged", error=error.detail, code=error.code)

    # -- the gateway ---------------------------------------------------------------------------------

    async def _connected(self, emit: Emit) -> None:
        """One connection, from its beginning to its end.

        Returns when it is right to come again at once.

        Raises:
            SendError: it is not; ``retry_after`` says when.
        """
        kept = dict(await emit.checkpoint(GATEWAY) or {})
        began = time.monotonic()
        talk: _Talk | None = None
        try:
            token = await self._api.token()
            connection = await self._dial(resuming="session_id" in kept)
            try:
                talk = _Talk(self, connection, emit, kept, token)
                await talk.run(self._account, self._tools)
            finally:
                await connection.close()
        except _Reconnect:
            pass
        except _Forget:
            await emit((), Checkpoint(GATEWAY, {}))
            await asyncio.sleep(FORGET_S)
        except Closed as closed:
            await self._closed(closed.code, talk, emit, kept, token)
        except Unreachable as error:
            raise Unreachable(error.detail, retry_after=self._pause()) from error
        if time.monotonic() - began > SOUND_AFTER_S:
            self._failures = 0
        elif self._failures or talk is None or not talk.stands:
            raise Unreachable("the gateway ended the connection", retry_after=self._pause())
        else:
            self._failures = 1

    def _pause(self) -> float:
        pause = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        return pause * random.uniform(0.9, 1.1)  # noqa: S311

    async def _dial(self, *, resuming: bool) -> Connection:
        facts = await self._api.call("GET", f"{self._api.base}/gateway/bot", speaks=False)
        limit = facts.get("session_start_limit")
        limit = limit if isinstance(limit, dict) else {}
        if limit.get("remaining") == 0 and not resuming:
            raise RateLimited(
                "the bot has begun as many sessions as it may today",
                retry_after=max(float(limit.get("reset_after") or 0) / 1000, 60.0),
            )
        url = facts.get("url")
        if not isinstance(url, str) or not url:
            raise Unreachable("the answer of /gateway/bot has no url")
        return await self._tools.connect(url, max_frame_bytes=_MAX_FRAME, heartbeat=None)

    async def _closed(
        self,
        code: int | None,
        talk: "_Talk | None",
        emit: Emit,
        kept: Mapping[str, Any],
        token: str,
    ) -> None:
        """What follows from the gateway's close code; a session that cannot be resumed is forgotten."""
        self._tools.log.info("gateway_closed", code=code)
        if fatal := _FATAL.get(code or 0):
            raise BadCredentials(f"the gateway refuses: {fatal}", external_code=code)
        resumed_in_vain = "session_id" in kept and (talk is None or not talk.stands)
        if code in _SESSION_OVER or code == _TOKEN_REFUSED or resumed_in_vain:
            await emit((), Checkpoint(GATEWAY, {}))
        if code == _TOKEN_REFUSED:
            await self._api.token(unlike=token)
        if code == _TOO_FAST:
            raise RateLimited("the gateway was asked too often", retry_after=60.0)


class _Talk:
    """What is said on one connection: heartbeats, and events that are stored as they come."""

    def __init__(
        self,
        listener: QqListener,
        connection: Connection,
        emit: Emit,
        kept: Mapping[str, Any],
        token: str,
    ) -> None:
        self._listener = listener
        self._connection = connection
        self._emit = emit
        self._session: str | None = kept.get("session_id")
        self._seq: int | None = kept.get("seq")
        self._token = token
        self._waiting: asyncio.Queue[tuple[_Frame, bytes] | None] = asyncio.Queue(_MOST_WAITING)
        self._answered = True
        self.stands = False

    async def run(self, account: Account[Any], tools: Tools) -> None:
        """Until the connection ends, and what has come by it is stored.

        Raises:
            Closed: the gateway closed it. _Reconnect, _Forget: it asked for it.
        """
        interval_s = await self._begin(account.settings.intents)
        storing = asyncio.create_task(self._store(account, tools), name="qq-gateway-store")
        talking = [
            asyncio.create_task(self._read(), name="qq-gateway-read"),
            asyncio.create_task(self._beat(interval_s), name="qq-gateway-beat"),
        ]
        tasks = [storing, *talking]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in talking:
                task.cancel()
            if storing not in done:
                await self._waiting.put(None)
            await storing
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, intents: Sequence[int]) -> float:
        """Say who we are; returns the interval of heartbeats in seconds."""
        try:
            async with asyncio.timeout(HELLO_S):
                hello = _frame(await self._connection.receive())
        except TimeoutError:
            raise Unreachable("the gateway says nothing") from None
        if hello is None or hello.op != _HELLO:
            raise Unreachable("the gateway does not begin with hello")
        token = f"QQBot {self._token}"
        if self._session and self._seq is not None:
            asked = {"token": token, "session_id": self._session, "seq": self._seq}
            await self._send(_RESUME, asked)
        else:
            wanted = sum(1 << bit for bit in set(intents))
            asked = {"token": token, "intents": wanted, "shard": [0, 1], "properties": {}}
            await self._send(_IDENTIFY, asked)
        interval_ms: float = _decoded(hello.d, _Hello).heartbeat_interval
        return max(interval_ms / 1000, 0.05)

    async def _send(self, op: int, data: Any) -> None:
        try:
            await self._connection.send(msgspec.json.encode({"op": op, "d": data}).decode())
        except OSError as error:
            raise Closed(None) from error

    async def _read(self) -> None:
        while True:
            raw = await self._connection.receive()
            frame = _frame(raw)
            if frame is None:
                continue
            if frame.op == _DISPATCH:
                body = raw.encode() if isinstance(raw, str) else raw
                await self._waiting.put((frame, body))
            elif frame.op == _HEARTBEAT:
                await self._send(_HEARTBEAT, self._seq)
            elif frame.op == _HEARTBEAT_ACK:
                self._answered = True
            elif frame.op == _RECONNECT:
                raise _Reconnect
            elif frame.op == _INVALID:
                raise _Forget

    async def _beat(self, interval_s: float) -> None:
        """A heartbeat names the last event that is stored; one without an answer ends the connection.

        While we are behind, nothing is read, and silence is our own.
        """
        await asyncio.sleep(interval_s * random.random())  # noqa: S311
        while True:
            if not self._answered and not self._waiting.full():
                raise Closed(None)
            self._answered = False
            await self._send(_HEARTBEAT, self._seq)
            await asyncio.sleep(interval_s)

    async def _store(self, account: Account[Any], tools: Tools) -> None:
        """Store events with the place to resume from, in one transaction: as many as have come."""
        while frames := await self._next():
            events: list[InboundEvent] = []
            seq = self._seq
            for frame, body in frames:
                seq = frame.s if frame.s is not None else seq
                if frame.t == "READY":
                    self._session = _decoded(frame.d, _Ready).session_id or None
                if frame.t in ("READY", "RESUMED"):
                    self.stands = True
                    tools.log.info("gateway_stands", resumed=frame.t == "RESUMED")
                else:
                    events.append(event_of(body, account.name, tools.clock(), "gateway"))
            await self._emit(events, self._checkpoint(seq))
            self._seq = seq
            for frame, _ in frames:
                if frame.t == "INTERACTION_CREATE":
                    self._listener.acknowledge(_decoded(frame.d, _Tapped).id)

    async def _next(self) -> list[tuple[_Frame, bytes]]:
        """The frames that wait, at least one; none at the end."""
        frames = []
        one = await self._waiting.get()
        while one is not None:
            frames.append(one)
            if len(frames) == _BATCH or self._waiting.empty():
                return frames
            one = self._waiting.get_nowait()
        if frames:
            self._waiting.put_nowait(None)
        return frames

    def _checkpoint(self, seq: int | None) -> Checkpoint:
        known = self._session and seq is not None
        return Checkpoint(GATEWAY, {"session_id": self._session, "seq": seq} if known else {})


def _frame(raw: str | bytes) -> _Frame | None:
    """The frame in *raw*; None when it is none."""
    try:
        return msgspec.json.decode(raw, type=_Frame)
    except (ValueError, RecursionError):
        return None


def _decoded(raw: msgspec.Raw, kind: type[Any]) -> Any:
    """*raw* as *kind*, or an empty one: the gateway says ``""`` where nothing is."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError):
        return kind()
