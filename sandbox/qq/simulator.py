"""The QQ bot platform on this machine: people, groups, events by webhook or gateway, the API."""

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.faults import Fault, FaultBox, FaultKind
from sandbox.files import File
from sandbox.http import only_loopback, serve
from sandbox.journal import Clock, Journal
from sandbox.phones import Bubble, samples, switch_routes
from sandbox.qq import events
from sandbox.qq.api import QqApi
from sandbox.qq.chats import Chats
from sandbox.qq.events import Event
from sandbox.qq.files import Files
from sandbox.qq.gateway import Gateway
from sandbox.qq.push import Pusher, PushResult
from sandbox.qq.signing import Signer
from sandbox.qq.switches import qq_board
from sandbox.qq.tokens import TokenDesk

__all__ = ["QqCredentials", "QqSimulator"]

MAX_REQUEST_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class QqCredentials:
    """What the owner of a bot reads off the console; made up."""

    app_id: str = field(default_factory=lambda: str(102_000_000 + secrets.randbelow(10**6)))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


class QqSimulator:
    """The platform, as a bot and the people around it meet it.

    Every act of a person is an event: it is pushed to *callback_url*, where there is one, and sent by
    the gateway to whoever is connected. Faults are those of ``sandbox.faults``.
    """

    def __init__(
        self,
        credentials: QqCredentials | None = None,
        *,
        callback_url: str | None = None,
        clock: Clock = time.time,
        time_scale: float = 1.0,
        journal_path: Path | None = None,
    ) -> None:
        self.credentials = made = credentials or QqCredentials()
        self.callback_url = callback_url
        self.clock = clock
        self.journal = Journal(journal_path, clock=clock)
        self.chats = Chats(clock)
        self.screens = self.chats.screens
        self.files = Files()
        self.tokens = TokenDesk(clock)
        self.faults = FaultBox()
        self.gateway = Gateway(self.tokens, self.journal)
        signer = Signer(made.secret)
        self.pusher = Pusher(made.app_id, signer, self.journal, clock, time_scale=time_scale)
        self.api = QqApi(
            app_id=made.app_id,
            secret=made.secret,
            clock=clock,
            chats=self.chats,
            files=self.files,
            tokens=self.tokens,
            faults=self.faults,
            journal=self.journal,
            die=self._die,
        )
        self.api.gateway_url = lambda: f"ws://127.0.0.1:{self.port}/websocket"
        self._runner: web.AppRunner | None = None
        self._numbers = 0
        self.port = 0

    @property
    def api_base(self) -> str:
        """What the hub's ``api_base`` setting must say."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(middlewares=[only_loopback], client_max_size=MAX_REQUEST_BYTES)
        switches = switch_routes(qq_board(self))
        app.add_routes([*self.api.routes(), *self.gateway.routes(), *switches])
        self._runner, self.port = await serve(app, host, port)
        self.api.base = self.api_base

    async def stop(self) -> None:
        """Stop listening and close the log."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self.gateway.cut()
            await runner.cleanup()
        await self.pusher.close()
        self.journal.close()

    async def _die(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            asyncio.get_running_loop().create_task(runner.cleanup())

    # -- who there is --------------------------------------------------------------------------------

    def openid(self, name: str, group: str = "") -> str:
        """How this bot knows *name*: by another id in each group, and always the same one."""
        known = f"{self.credentials.app_id}:{group}:{name}"
        return hashlib.md5(known.encode(), usedforsecurity=False).hexdigest().upper()

    # -- what people do ------------------------------------------------------------------------------

    async def write(self, name: str, content: str, **more: Any) -> PushResult | None:
        """*name* writes to the bot alone."""
        openid, own = self.openid(name), self.chats.new_id()
        self._seen(f"c2c:{openid}", "msg_id", own, content)
        data = events.private_message(openid, own, content, self.clock(), **more)
        return await self.happen("C2C_MESSAGE_CREATE", data)

    async def write_in_group(
        self, group: str, name: str, content: str, *, mention: bool = True, **more: Any
    ) -> PushResult | None:
        """*name* writes in *group*, to the bot (*mention*) or to everybody."""
        openid, member = self.openid(group), self.openid(name, group)
        own = self.chats.new_id()
        self._seen(f"group:{openid}", "msg_id", own, content, sender=name)
        said = f" {content} " if mention else content
        data = events.group_message(openid, member, name, own, said, self.clock(), **more)
        if mention:
            return await self.happen("GROUP_AT_MESSAGE_CREATE", data)
        return await self.happen("GROUP_MESSAGE_CREATE", {**data, "mentions": []})

    async def send_file(
        self, name: str, file: File = samples.PICTURE, *, group: str = ""
    ) -> PushResult | None:
        """*name* sends a file, alone or (with a mention) in *group*."""
        number = self.files.receive(file)
        url = f"{self.api_base}/_files/{number}"
        kind = file.mime_type if file.mime_type.startswith(("image/", "video/")) else "file"
        one = events.attachment(url, kind, file.filename, len(file.content))
        if group:
            return await self.write_in_group(group, name, "", attachments=[one])
        return await self.write(name, "", attachments=[one])

    async def tap(self, name: str, button: str, *, group: str = "") -> PushResult | None:
        """*name* taps the button that carries *button*."""
        openid = self.openid(name, group)
        if group:
            own = self.openid(group)
            place = {"chat_type": 1, "scene": "group", "group_openid": own}
            place |= {"group_member_openid": openid}
            key = f"group:{own}"
        else:
            place = {"chat_type": 2, "scene": "c2c", "user_openid": openid}
            key = f"c2c:{openid}"
        return await self.happen(
            "INTERACTION_CREATE", events.tap(button, openid, self.clock(), **place), answers=key
        )

    async def befriend(self, name: str, kind: str = "FRIEND_ADD") -> PushResult | None:
        """``FRIEND_ADD``, ``FRIEND_DEL``, ``C2C_MSG_REJECT`` or ``C2C_MSG_RECEIVE``."""
        openid = self.openid(name)
        place = f"c2c:{openid}"
        self._consent(kind, place)
        data = {"openid": openid, "timestamp": int(self.clock())}
        return await self.happen(kind, data, answers=place)

    async def change_group(
        self, group: str, name: str, kind: str = "GROUP_ADD_ROBOT"
    ) -> PushResult | None:
        """``GROUP_ADD_ROBOT``, ``GROUP_DEL_ROBOT``, ``GROUP_MSG_REJECT`` or ``GROUP_MSG_RECEIVE``."""
        openid = self.openid(group)
        place = f"group:{openid}"
        self._consent(kind, place)
        data = {"group_openid": openid, "op_member_openid": self.openid(name, group)}
        return await self.happen(kind, {**data, "timestamp": int(self.clock())}, answers=place)

    async def decide(self, audit: str, *, passed: bool = True) -> PushResult | None:
        """The platform's review of a message ends."""
        place, shown = self.api.under_review.pop(audit)
        data = {"audit_id": audit, "audit_time": events.time_text(self.clock())}
        if passed:
            self.api.show(place, shown)
            data["message_id"] = self.chats.new_id()
        return await self.happen("MESSAGE_AUDIT_PASS" if passed else "MESSAGE_AUDIT_REJECT", data)

    async def happen(
        self, kind: str, data: Event, *, answers: str | None = None
    ) -> PushResult | None:
        """Any event; *answers* is the chat in which its ``event_id`` can be answered."""
        self._numbers += 1
        event = events.frame(kind, data, self._numbers)
        if answers is not None:
            self.chats.open("event_id", event["id"], answers)
        await self.gateway.send(event)
        return await self.push(event) if self.callback_url else None

    async def push(self, event: Event) -> PushResult:
        """Push *event* (again)."""
        if self.callback_url is None:
            raise ValueError("no callback URL")
        return await self.pusher.push(event, self.callback_url)

    async def check_address(self) -> bool:
        """What the console does when the callback URL is saved."""
        return await self.pusher.check_address(self.callback_url or "")

    def _seen(self, place: str, kind: str, own: str, content: str, **more: Any) -> None:
        self.chats.open(kind, own, place)
        self.screens.show(place, "user", "text", content or "[file]", **more)

    def _consent(self, kind: str, place: str) -> None:
        if kind.endswith(("_REJECT", "_DEL", "DEL_ROBOT")):
            self.chats.refusing.add(place)
        elif kind.endswith("_RECEIVE"):
            self.chats.refusing.discard(place)

    # -- what can be seen, and what can go wrong -----------------------------------------------------

    def phone(self, name: str, *, group: str = "") -> list[Bubble]:
        """The chat of *name* with the bot, or that of *group*, oldest first."""
        key = f"group:{self.openid(group)}" if group else f"c2c:{self.openid(name)}"
        return list(self.screens.bubbles(key))

    def fail(self, kind: FaultKind, **rest: Any) -> None:
        """Make the next API calls go wrong; see ``sandbox.faults.Fault``."""
        self.faults.add(Fault(kind, **rest))

    def log(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The simulator's own record: ``push``, ``send``, ``token``, ``upload``, ``resume`` …"""
        return self.journal.entries(kind, after=after)
