"""One connection to a OneBot implementation, whichever side opened it.

Events and answers to actions come through the same connection. Events are stored in the order in which
they came; what was said while there was no connection is asked for first, where the implementation
can tell.

Source: https://github.com/botuniverse/onebot-11 (communication/ws.md, ws-reverse.md)
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import uuid4

import msgspec

from adapters._onebot_missed import Missed
from hub.channel import Account, Connection, Emit, Question, Tools
from hub.errors import Ambiguous, BadCredentials, SendError, Unreachable
from hub.model import Checkpoint, InboundEvent, ReplyAttachment
from normalizers._json_fields import cleaned
from normalizers._onebot_event import identity, text_of, thread_of
from normalizers.onebot import GAP, HUB, OFFLINE, ONLINE
from outbound.onebot.calls import CALL_S, judge, with_file

__all__ = ["MAX_FRAME_BYTES", "Link", "Role", "event_of"]

MAX_FRAME_BYTES = 50 << 20
MISSED_BEATS = 3
SEEN = "seen"
"""The checkpoint: when the last frame came, as Unix time."""

SAVE_SEEN_S = 20.0
ALONE_S = (0.5, 1.0, 2.0, 4.0)
"""For how long a connection for events waits for the one for actions beside it."""

_MOST_WAITING = 10_000
_MOST_AT_ONCE = 100
_REFUSED = ("1401", "1403")


class Role(Enum):
    """What a connection carries."""

    UNIVERSAL = "Universal"
    API = "API"
    EVENT = "Event"


def event_of(
    body: bytes, fields: Mapping[str, Any] | None, received_at: datetime, proof: str
) -> InboundEvent:
    """The event in *body*, in order with others of its conversation."""
    return InboundEvent(
        dedupe_key=identity(fields, body),
        order_key=(thread_of(fields) if fields else "") or "account",
        body=body,
        received_at=received_at,
        proof=proof,
    )


class Link:
    """Reads events, stores them, calls actions, and answers what senders ask of the account."""

    def __init__(
        self,
        connection: Connection,
        emit: Emit,
        account: Account[Any],
        tools: Tools,
        role: Role = Role.UNIVERSAL,
    ) -> None:
        self._connection = connection
        self._emit = emit
        self._self_id = str(account.settings.self_id)
        self._tools = tools
        self._role = role
        self._calls: dict[str, asyncio.Future[Question]] = {}
        self._waiting: asyncio.Queue[InboundEvent | datetime | None] = asyncio.Queue(_MOST_WAITING)
        self._superseded = asyncio.Event()
        self._ended = False
        self._beat_s: float | None = None
        self._online = True
        self._caught_up = False
        self._saved_at = 0.0

    def supersede(self) -> None:
        """Another connection has taken this one's place: end."""
        self._superseded.set()

    async def run(self) -> None:
        """Until another connection takes over, or this one ends.

        Raises:
            ConnectionError: the peer is gone, or silent for three heartbeats.
            BadCredentials: it refuses our token.
        """
        filing = asyncio.create_task(self._file(), name="onebot-file")
        ends = [asyncio.create_task(self._read()), asyncio.create_task(self._superseded.wait())]
        if self._role is not Role.EVENT:
            ends.append(asyncio.create_task(self._tools.relay.serve(self._answer)))
        try:
            done, _ = await asyncio.wait({*ends, filing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._fail_calls()
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            await self._store_the_rest(filing)
        for task in done:
            task.result()

    async def _store_the_rest(self, filing: asyncio.Task[None]) -> None:
        """What was read is stored, unless the process itself ends."""
        try:
            if not filing.done():
                await self._waiting.put(None)
                await filing
        except asyncio.CancelledError:
            filing.cancel()
            raise
        finally:
            await asyncio.gather(filing, return_exceptions=True)

    # -- reading -------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            frame = await self._next()
            now = self._tools.clock()
            body = frame if isinstance(frame, bytes) else frame.encode("utf-8", "surrogatepass")
            try:
                decoded = msgspec.json.decode(body)
            except (ValueError, RecursionError):
                decoded = None
            if isinstance(decoded, dict) and _is_answer(decoded):
                self._take_answer(decoded)
                continue
            fields = cleaned(decoded) if isinstance(decoded, dict) else None
            if fields is not None and text_of(fields, "post_type") == "meta_event":
                await self._take_beat(fields, now)
                continue
            await self._waiting.put(event_of(body, fields, now, "websocket"))

    async def _next(self) -> str | bytes:
        limit = None if self._beat_s is None else self._beat_s * MISSED_BEATS
        try:
            async with asyncio.timeout(limit):
                return await self._connection.receive()
        except TimeoutError as error:
            raise ConnectionError(f"no frame for {limit:g} s: the connection is dead") from error

    def _take_answer(self, answer: dict[str, Any]) -> None:
        """The answer to one of our calls; one that comes too late is dropped."""
        echo = answer.get("echo")
        if echo is None and str(answer.get("retcode")) in _REFUSED:
            raise BadCredentials(
                "the implementation refuses access_token", external_code=str(answer["retcode"])
            )
        future = self._calls.pop(echo, None) if isinstance(echo, str) else None
        if future is not None and not future.done():
            future.set_result(answer)

    async def _take_beat(self, fields: Mapping[str, Any], now: datetime) -> None:
        """Heartbeats are watched, not stored; that the account went offline is."""
        if text_of(fields, "meta_event_type") != "heartbeat":
            return
        interval = text_of(fields, "interval")
        if interval.isdigit() and 0 < int(interval) < 3_600_000:
            self._beat_s = max(int(interval) / 1000, 0.1)
        status = fields.get("status")
        online = not (isinstance(status, dict) and status.get("online") is False)
        if online is not self._online:
            self._online = online
            await self._waiting.put(_made_here(ONLINE if online else OFFLINE, now, {}))
        elif now.timestamp() - self._saved_at > SAVE_SEEN_S:
            await self._waiting.put(now)

    # -- storing -------------------------------------------------------------------------------------

    async def _file(self) -> None:
        """Store what was read, in order; what was missed goes first."""
        if self._role is Role.API:
            while await self._waiting.get() is not None:
                pass
            return
        await self._catch_up()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < _MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            events = [one for one in batch if isinstance(one, InboundEvent)]
            times = [one.received_at if isinstance(one, InboundEvent) else one for one in batch]
            seen = [one for one in times if one is not None]
            if seen:
                await self._store(events, seen[-1])
            if None in batch:
                return

    async def _store(self, events: list[InboundEvent], seen_at: datetime) -> None:
        """The checkpoint moves only when nothing before it is still to be asked for."""
        seen = Checkpoint(SEEN, {"at": seen_at.timestamp()}) if self._caught_up else None
        await self._emit(events, seen)
        self._saved_at = seen_at.timestamp()

    async def _catch_up(self) -> None:
        """Ask for what was said while there was no connection; what cannot be known is told."""
        now = self._tools.clock()
        seen = await self._emit.checkpoint(SEEN)
        since = seen.get("at") if seen else None
        if not isinstance(since, int | float):
            self._caught_up = True
            await self._store([], now)
            return
        found = await Missed(self._ask, self._self_id, since).find()
        if self._ended:
            return  # the next connection asks again, from the same moment on
        self._caught_up = True
        events = [
            event_of(msgspec.json.encode(one), cleaned(one), now, "history")
            for one in found.messages
        ]
        if found.reason:
            between = {"since": _shown(since), "until": _shown(now.timestamp())}
            events.append(_made_here(GAP, now, {**between, "reason": found.reason}))
        await self._store(events, now)
        self._tools.log.info("onebot_connected", missed=len(events), unknown=found.reason)

    # -- calling -------------------------------------------------------------------------------------

    async def _ask(self, action: str, params: Mapping[str, Any]) -> Any:
        """The data of an action, through whichever connection carries actions."""
        if self._role is not Role.EVENT:
            return judge(await self.call(action, params, CALL_S))
        question = {"action": action, "params": dict(params), "timeout": CALL_S}
        for pause in ALONE_S:
            try:
                return judge(await self._tools.relay.ask(question, timeout=CALL_S + 2.0))
            except Unreachable:  # the one for actions is only coming back, too
                await asyncio.sleep(pause)
        raise Unreachable("there is no connection for actions")

    async def _answer(self, question: Question) -> Question:
        """Make the call that a sender asks for, in this process or another."""
        file = question.get("file")
        attachment = msgspec.convert(file, ReplyAttachment) if file else None
        params = await with_file(question["params"], attachment, self._tools.media)
        return await self.call(question["action"], params, float(question["timeout"]))

    async def call(self, action: str, params: Mapping[str, Any], timeout: float) -> Question:
        """The answer to *action*, as the implementation gave it.

        Raises:
            Unreachable: the connection had ended; nothing was sent.
            Ambiguous: it was written, and no answer came.
        """
        if self._ended:
            raise Unreachable("the connection has ended")
        echo = uuid4().hex
        future: asyncio.Future[Question] = asyncio.get_running_loop().create_future()
        self._calls[echo] = future
        frame = msgspec.json.encode({"action": action, "params": params, "echo": echo}).decode()
        try:
            async with asyncio.timeout(timeout):
                await self._connection.send(frame)
                return await future
        except TimeoutError as error:
            raise Ambiguous(f"no answer in {timeout:g} s") from error
        except SendError:
            raise
        except (ConnectionError, RuntimeError) as error:
            raise Ambiguous(f"the connection broke: {error}") from error
        finally:
            self._calls.pop(echo, None)

    def _fail_calls(self) -> None:
        """Whoever waits for an answer gets none any more."""
        self._ended = True
        for future in self._calls.values():
            if not future.done():
                future.set_exception(Ambiguous("the connection ended before the answer"))


def _is_answer(frame: Mapping[str, Any]) -> bool:
    return "post_type" not in frame and ("echo" in frame or "retcode" in frame)


def _made_here(kind: str, at: datetime, facts: Mapping[str, Any]) -> InboundEvent:
    """Something that the hub found out about the connection itself."""
    return InboundEvent(
        dedupe_key=f"{kind}:{at.timestamp():.3f}",
        order_key="account",
        body=msgspec.json.encode(facts),
        received_at=at,
        headers={HUB: kind},
        proof="hub",
    )


def _shown(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
