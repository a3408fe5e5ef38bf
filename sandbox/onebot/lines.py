"""The ways between an implementation and an application: HTTP both ways, WebSocket both ways.

Source: https://github.com/botuniverse/onebot-11 (communication/*.md); waits and headers as NapCat
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import aiohttp
from aiohttp import WSMsgType, web

from sandbox.faults import Fault, FaultBox
from sandbox.http import cut
from sandbox.journal import Journal
from sandbox.onebot.actions import Actions
from sandbox.onebot.events import Events
from sandbox.onebot.people import Refused
from sandbox.onebot.wire import signature

__all__ = ["Line", "Office", "ReverseLine", "forward_routes", "http_routes", "post_event"]

Event = Mapping[str, Any]
Role = Literal["Universal", "API", "Event"]
Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse
MAX_FRAME_BYTES = 50 << 20


class Gone(Exception):
    """A fault cuts the connection now."""


class Office:
    """Answers calls, whichever way they come, with the faults that are switched on."""

    def __init__(self, actions: Actions, faults: FaultBox, journal: Journal) -> None:
        self._actions = actions
        self._faults = faults
        self._journal = journal

    def knows(self, action: str) -> bool:
        return action.removesuffix("_async").removesuffix("_rate_limited") in self._actions.names()

    async def answer(self, action: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Raises:
            Gone: the answer is lost, and the connection with it.
        """
        fault = self._faults.take(action)
        if fault is not None:
            self._journal.write("fault", fault=fault.kind, action=action)
        return await self._with(fault, action, params)

    async def _with(
        self, fault: Fault | None, action: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        kind = fault.kind if fault else None
        if fault is not None and kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault is not None and kind == "errcode":
            return _failed(fault.code, "sandbox: fault")
        if kind == "drop_request":
            raise Gone
        answer = self._done(action, params)
        if fault is not None and kind == "late":
            await asyncio.sleep(fault.seconds)
        if kind in ("drop_answer", "bad_gateway", "die"):
            raise Gone
        return answer

    def _done(self, action: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            data = self._actions.call(action, params)
        except Refused as error:
            self._journal.write("refused", action=action, retcode=error.retcode, message=str(error))
            return _failed(error.retcode, str(error))
        return {"status": "ok", "retcode": 0, "data": data, "message": "", "wording": ""}


def _failed(retcode: int, message: str) -> dict[str, Any]:
    facts = {"status": "failed", "retcode": retcode, "data": None}
    return {**facts, "message": message, "wording": message}


# --- WebSocket --------------------------------------------------------------------------------------


class Line:
    """One open WebSocket: events go out, calls come in. *is_deaf*: half open, nothing moves."""

    def __init__(self, socket: Socket, role: Role, office: Office) -> None:
        self.socket = socket
        self.role = role
        self.is_deaf = False
        self._office = office
        self._calls: set[asyncio.Task[None]] = set()

    async def tell(self, event: Event) -> bool:
        """Push *event*; False when it is lost."""
        if self.role == "API" or self.is_deaf or self.socket.closed:
            return False
        with contextlib.suppress(ConnectionError):
            await self.socket.send_str(json.dumps(event, ensure_ascii=False))
            return True
        return False

    async def run(self) -> None:
        """Answer calls until the connection ends; several at a time."""
        try:
            async for frame in self.socket:
                if frame.type is WSMsgType.TEXT and not self.is_deaf and self.role != "Event":
                    task = asyncio.create_task(self._take(str(frame.data)))
                    self._calls.add(task)
                    task.add_done_callback(self._calls.discard)
        finally:
            for task in self._calls:
                task.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def _take(self, frame: str) -> None:
        echo = None
        try:
            asked = json.loads(frame)
            echo = asked.get("echo")
            params = asked.get("params") or {}
            answer = await self._office.answer(str(asked["action"]), params)
        except (ValueError, KeyError, AttributeError, TypeError):
            answer = _failed(1400, "json解析失败,请检查数据格式")
        except Gone:
            await self.socket.close(code=1001)
            return
        with contextlib.suppress(ConnectionError):
            await self.socket.send_str(json.dumps({**answer, "echo": echo}, ensure_ascii=False))


class ReverseLine:
    """Connects to the application, and again after *again_s* whenever it is cut."""

    def __init__(
        self,
        url: str,
        role: Role,
        *,
        self_id: int,
        token: str,
        office: Office,
        events: Events,
        journal: Journal,
        again_s: float,
    ) -> None:
        self._url = url
        self._role: Role = role
        self._token = token
        self._self_id = self_id
        self._office = office
        self._events = events
        self._journal = journal
        self._again_s = again_s
        self.line: Line | None = None
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        headers = {
            "x-self-id": str(self._self_id),
            "x-client-role": self._role,
            "authorization": f"Bearer {self._token}",  # NapCat sends it without a token too
            "user-agent": "OneBot/11",
        }
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                await self._once(session)
                await asyncio.sleep(self._again_s)

    async def _once(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.ws_connect(self._url, max_msg_size=MAX_FRAME_BYTES) as socket:
                self.line = Line(socket, self._role, self._office)
                self._journal.write("connected", role=self._role)
                await self.line.tell(self._events.lifecycle("connect"))
                self.connected.set()
                await self.line.run()
                self._journal.write("cut", role=self._role, code=socket.close_code)
        except (aiohttp.ClientError, OSError) as error:
            status = getattr(error, "status", None)
            self._journal.write("not_connected", role=self._role, status=status)
        finally:
            self.line = None
            self.connected.clear()


def forward_routes(
    office: Office, events: Events, token: str, lines: set[Line], opened: asyncio.Event
) -> list[web.RouteDef]:
    """``/``, ``/api`` and ``/event``, for applications that connect; *lines* are the open ones."""

    def path(role: Role) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse(max_msg_size=MAX_FRAME_BYTES)
            await socket.prepare(request)
            if not _is_allowed(request, token):
                await socket.send_str(json.dumps(_failed(1403, "token验证失败") | {"echo": None}))
                await socket.close()
                return socket
            line = Line(socket, role, office)
            lines.add(line)
            try:
                await line.tell(events.lifecycle("connect"))
                opened.set()
                await line.run()
            finally:
                lines.discard(line)
                opened.clear()
            return socket

        return serve

    roles: tuple[tuple[str, Role], ...] = (("/", "Universal"), ("/api", "API"), ("/event", "Event"))
    return [web.get(where, path(role)) for where, role in roles]


def _is_allowed(request: web.Request, token: str) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return not token or token in (given, request.query.get("access_token"))


# --- HTTP -------------------------------------------------------------------------------------------


def http_routes(office: Office, token: str) -> list[web.RouteDef]:
    """``/<action>``, as the standard has it: 401, 403, 404, 400, 406, and errors inside 200."""

    async def serve(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization") or request.query.get("access_token")
        if token and not _is_allowed(request, token):
            return web.Response(status=403 if given else 401)
        action = request.match_info["action"]
        if not office.knows(action):
            return web.Response(status=404)
        params: Any = dict(request.query)
        if request.method == "POST":
            if request.content_type != "application/json":
                return web.Response(status=406)
            try:
                params = json.loads(await request.read() or b"{}")
            except ValueError:
                return web.Response(status=400)
        try:
            return web.json_response(await office.answer(action, params))
        except Gone:
            cut(request)
            return web.Response(status=502)

    return [web.route("*", "/{action}", serve)]


async def post_event(
    session: aiohttp.ClientSession, url: str, secret: str, self_id: int, event: Event
) -> tuple[int | None, Mapping[str, Any]]:
    """POST *event* once, as NapCat does: the status (None: not delivered), and the quick operation."""
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = {"content-type": "application/json", "x-self-id": str(self_id)}
    if secret:
        headers["x-signature"] = signature(secret, body)
    try:
        async with session.post(url, data=body, headers=headers) as answer:
            with contextlib.suppress(ValueError):
                operation = json.loads(await answer.read())
                if isinstance(operation, dict):
                    return answer.status, operation
            return answer.status, {}
    except (aiohttp.ClientError, OSError):
        return None, {}
