"""A OneBot v11 implementation on this machine, with one QQ account and the people that write to it."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.faults import Fault, FaultBox, FaultKind
from sandbox.files import File
from sandbox.http import only_loopback, serve
from sandbox.journal import Clock, Journal
from sandbox.onebot.actions import Actions
from sandbox.onebot.events import Events
from sandbox.onebot.lines import (
    Line,
    Office,
    ReverseLine,
    Role,
    forward_routes,
    http_routes,
    post_event,
)
from sandbox.onebot.people import Group, Said, World
from sandbox.phones import Bubble

__all__ = ["OneBotCredentials", "OneBotSimulator"]

AGAIN_S = 3.0
HEARTBEAT_S = 30.0
MAX_REQUEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class OneBotCredentials:
    """What hub and implementation are both told."""

    self_id: int = 10001000
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    access_token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


class OneBotSimulator:
    """One account; *websocket_url* and *post_url* are where its events go.

    ``time_scale`` shortens the waits between heartbeats and before connecting again. Faults are those
    of ``sandbox.faults``, their path is the beginning of an action's name.
    """

    def __init__(
        self,
        credentials: OneBotCredentials | None = None,
        *,
        websocket_url: str | None = None,
        post_url: str | None = None,
        roles: Sequence[Role] = ("Universal",),
        clock: Clock = time.time,
        time_scale: float = 1.0,
        journal_path: Path | None = None,
    ) -> None:
        self.credentials = credentials or OneBotCredentials()
        self.websocket_url = websocket_url
        self.post_url = post_url
        self.journal = Journal(journal_path, clock=clock)
        self.world = World(self.credentials.self_id, clock)
        self.events = Events(self.world)
        self.faults = FaultBox()
        self.actions = Actions(self.world, self.events, self.journal, lambda: self.api_base)
        self.is_online = True
        self.beats = True
        self.repeats = 0
        self._office = Office(self.actions, self.faults, self.journal)
        self._roles = roles
        self._time_scale = time_scale
        self._forward: set[Line] = set()
        self._opened = asyncio.Event()
        self._reverse: list[ReverseLine] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def api_base(self) -> str:
        """What the hub's ``api_base`` may say."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def forward_url(self) -> str:
        """What the hub's ``websocket_url`` may say."""
        return f"ws://127.0.0.1:{self.port}/"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 picks a free one. Connects where ``websocket_url`` says."""
        app = web.Application(middlewares=[only_loopback], client_max_size=MAX_REQUEST_BYTES)
        token = self.credentials.access_token
        app.router.add_get("/files/{id}", self._file)
        app.add_routes(
            forward_routes(self._office, self.events, token, self._forward, self._opened)
        )
        app.add_routes(http_routes(self._office, token))
        self._runner, self.port = await serve(app, host, port)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))
        self._tasks = [asyncio.create_task(self._beat(), name="onebot-beat")]
        self.connect()

    async def stop(self) -> None:
        """Stop listening, close the connections and the log."""
        await self.disconnect()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in list(self._forward):
            await line.socket.close()
        if self._session is not None:
            await self._session.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        self.journal.close()

    async def _file(self, request: web.Request) -> web.Response:
        file = self.world.files.get(request.match_info["id"])
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.content, content_type=file.mime_type)

    # -- connections ---------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect to ``websocket_url``, and keep connecting."""
        for role in self._roles if self.websocket_url else ():
            line = ReverseLine(
                self.websocket_url or "",
                role,
                self_id=self.credentials.self_id,
                token=self.credentials.access_token,
                office=self._office,
                events=self.events,
                journal=self.journal,
                again_s=AGAIN_S * self._time_scale,
            )
            self._reverse.append(line)
            self._tasks.append(asyncio.create_task(line.run(), name=f"onebot-{role}"))

    async def disconnect(self) -> None:
        """Close what was opened, and stay away until :meth:`connect`."""
        self._reverse.clear()
        keep, gone = self._tasks[:1], self._tasks[1:]
        self._tasks = keep
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)

    async def connected(self, timeout: float = 20.0) -> None:
        """Wait until somebody hears events."""
        async with asyncio.timeout(timeout):
            for line in self._reverse:
                await line.connected.wait()
            if not self._reverse:
                await self._opened.wait()

    async def cut(self) -> None:
        """Cut every connection, as a restart of a proxy does; they come back by themselves."""
        for line in self._lines():
            await line.socket.close(code=1001)

    def go_deaf(self) -> None:
        """Every connection is half open from now on: nothing is sent, nothing is heard."""
        for line in self._lines():
            line.is_deaf = True

    def _lines(self) -> list[Line]:
        opened = [one.line for one in self._reverse if one.line is not None]
        return [*opened, *self._forward]

    async def _beat(self) -> None:
        interval = HEARTBEAT_S * self._time_scale
        while True:
            await asyncio.sleep(interval)
            if self.beats:
                beat = self.events.heartbeat(interval, online=self.is_online)
                for line in self._lines():
                    await line.tell(beat)

    # -- what happens in QQ --------------------------------------------------------------------------

    async def push(self, event: Mapping[str, Any]) -> bool:
        """Tell *event* every way that is set up; False when nobody heard it. It is never repeated."""
        heard = 0
        for _ in range(2 if self.repeats else 1):
            heard += sum([await line.tell(event) for line in self._lines()])
            heard += await self._post(event)
        self.repeats = max(0, self.repeats - 1)
        kind = str(event.get("post_type"))
        self.journal.write("event", post_type=kind, heard=heard, id=event.get("message_id"))
        return heard > 0

    async def _post(self, event: Mapping[str, Any]) -> bool:
        if self.post_url is None or self._session is None:
            return False
        status, operation = await post_event(
            self._session, self.post_url, self.credentials.secret, self.credentials.self_id, event
        )
        self.journal.write("post", status=status)
        if operation:
            self.actions.operate(event, operation)
        return status is not None and status < 300

    async def say(
        self,
        user_id: int,
        content: str | Sequence[Mapping[str, Any]],
        *,
        group: Group | None = None,
        mention: bool = False,
    ) -> Said:
        """*user_id* writes to the account, or in *group*; *mention* puts the account's name first."""
        segments = (
            [{"type": "text", "data": {"text": content}}] if isinstance(content, str) else content
        )
        if mention:
            at = {"type": "at", "data": {"qq": str(self.credentials.self_id)}}
            segments = [at, {"type": "text", "data": {"text": " "}}, *segments]
        peer = group.number if group else user_id
        said = self.world.say(user_id, peer, segments, is_group=group is not None)
        await self.push(self.events.message(said))
        return said

    async def send_file(
        self, user_id: int, kind: str, file: File, *, group: Group | None = None
    ) -> Said:
        """*user_id* sends a file; *kind* is that of the segment."""
        own = self.world.keep(file)
        data = {"file": own, "file_id": own, "file_size": str(len(file.content))}
        if kind != "file":
            data["url"] = f"{self.api_base}/files/{own}"
        else:
            data |= {"name": file.filename}
        return await self.say(user_id, [{"type": kind, "data": data}], group=group)

    async def recall(self, said: Said) -> bool:
        """The one who said it takes it back."""
        who = {"user_id": said.user_id, "message_id": said.number}
        if said.is_group:
            more = {"group_id": said.peer, "operator_id": said.user_id}
            return await self.push(self.events.notice("group_recall", **who, **more))
        return await self.push(self.events.notice("friend_recall", **who))

    async def add_friend(self, number: int, name: str) -> bool:
        """Somebody becomes a friend."""
        self.world.befriend(number, name)
        return await self.push(self.events.notice("friend_add", user_id=number))

    # -- what can be seen, and what can go wrong -----------------------------------------------------

    def phone(self, user_id: int) -> list[Bubble]:
        """The chat of a friend with the account, oldest first."""
        return list(self.world.screens.bubbles(str(user_id)))

    def group_screen(self, group: Group) -> list[Bubble]:
        """The group as its members see it, oldest first."""
        return list(self.world.screens.bubbles(f"group:{group.number}"))

    def fail(self, kind: FaultKind, **rest: Any) -> None:
        """Make the next actions go wrong; see ``sandbox.faults.Fault``."""
        self.faults.add(Fault(kind, **rest))

    def log(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """Its own record: ``event``, ``post``, ``send``, ``refused``, ``connected``, ``cut``, …"""
        return self.journal.entries(kind, after=after)
