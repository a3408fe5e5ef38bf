"""An app of an enterprise on this machine: its members, its pushes, its API."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.faults import Fault, FaultBox, FaultKind
from sandbox.http import only_loopback, serve
from sandbox.journal import Clock, Journal
from sandbox.wechat import messages
from sandbox.wechat.control import CommonControl
from sandbox.wechat.customers import Bubble
from sandbox.wechat.messages import StampedAction, UserAction
from sandbox.wechat.push import Pusher, PushResult, UrlCheck
from sandbox.wechat.switches import calm, family_board, pending_pushes, push_switches, range_switch
from sandbox.wechat.wire import Field
from sandbox.wecom.api import WeComApi
from sandbox.wecom.calls import CorpTokens
from sandbox.wecom.media import CorpMediaStore
from sandbox.wecom.members import Members
from sandbox.wecom.push import URL_CHECK_S, CorpCredentials, CorpPushBuilder

__all__ = ["WeComSimulator"]

MAX_REQUEST_BYTES = 24 * 1024 * 1024
SMALL_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"


class WeComSimulator:
    """The platform, as one self-built app and its members meet it.

    Every credential that is not given is made up. ``time_scale`` shortens the five seconds that a
    push may take; ``clock`` dates everything else. Faults are those of ``sandbox.faults``.
    """

    def __init__(
        self,
        credentials: CorpCredentials | None = None,
        *,
        callback_url: str | None = None,
        clock: Clock = time.time,
        time_scale: float = 1.0,
        journal_path: Path | None = None,
    ) -> None:
        self.credentials = credentials or CorpCredentials()
        self.callback_url = callback_url
        self.clock = clock
        self.journal = Journal(journal_path, clock=clock)
        self.members = Members(clock)
        self.media = CorpMediaStore(clock)
        self.tokens = CorpTokens(clock)
        self.faults = FaultBox()
        self.builder = CorpPushBuilder(self.credentials, clock)
        self.pusher = Pusher(self.builder, self.journal, time_scale=time_scale)
        self.pusher.url_check_s = URL_CHECK_S
        self._api = WeComApi(
            self.credentials.agent_id,
            members=self.members,
            clock=clock,
            corp_id=self.credentials.corp_id,
            secret=self.credentials.secret,
            tokens=self.tokens,
            media=self.media,
            faults=self.faults,
            journal=self.journal,
        )
        self.board = family_board(
            self.faults,
            self.tokens,
            own=(range_switch(self.members.take_out),),
            delivery=push_switches(self.pusher),
            well_again=lambda: calm(self.pusher),
            pending=lambda: pending_pushes(self.pusher),
        )
        self._control = CommonControl(self)
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def api_base(self) -> str:
        """What the hub's ``api_base`` setting must say."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(middlewares=[only_loopback], client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self._api.routes())
        app.add_routes(self._control.routes())
        self._runner, self.port = await serve(app, host, port)

    async def stop(self) -> None:
        """Stop listening and close the log."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        await self.pusher.close()
        self.journal.close()

    # -- what members do -----------------------------------------------------------------------------

    async def push(self, action: UserAction, *, to: str | None = None) -> PushResult:
        """Let a member act, and push it to *to* (the callback URL, unless given)."""
        return await self.push_stamped(self.stamp(action), to=to)

    def stamp(self, action: UserAction) -> StampedAction:
        """Record that a member acted, and give it its id and time."""
        author: Any = "system" if action.is_event else "user"
        kind = str(action.fields.get("Event") or action.fields["MsgType"])
        if action.openid:
            self.members.take_in(action.openid)
            self.members.show(
                action.openid,
                author,
                kind,
                action.summary,
                media_url=action.media_id,
                details=dict(action.fields),
            )
        return self.builder.stamp(action)

    async def push_stamped(self, stamped: StampedAction, *, to: str | None = None) -> PushResult:
        """Push the same action (again): same id, same plaintext."""
        target = to or self.callback_url
        if target is None:
            raise ValueError("no callback URL: give to=, or set callback_url")
        return await self.pusher.push(stamped, target)

    async def push_text(self, userid: str, content: str) -> PushResult:
        return await self.push(messages.text(userid, content))

    async def push_image(self, userid: str, content: bytes = SMALL_JPEG) -> PushResult:
        media = self.media.put("image", "photo.jpg", content)
        picture = f"{self.api_base}/_media/{media.media_id}"
        return await self.push(messages.image(userid, media.media_id, picture))

    async def push_voice(self, userid: str, content: bytes = b"#!AMR\nsandbox") -> PushResult:
        media = self.media.put("voice", "voice.amr", content)
        return await self.push(messages.voice(userid, media.media_id))

    async def push_video(self, userid: str, content: bytes = b"\0\0\0\x18ftypmp42") -> PushResult:
        media = self.media.put("video", "video.mp4", content)
        thumb = self.media.put("image", "thumb.jpg", SMALL_JPEG)
        return await self.push(messages.video(userid, media.media_id, thumb.media_id))

    async def push_link(self, userid: str, title: str, url: str) -> PushResult:
        return await self.push(messages.link(userid, title, "", url))

    async def push_location(
        self, userid: str, latitude: float, longitude: float, label: str = "here"
    ) -> PushResult:
        return await self.push(messages.location(userid, latitude, longitude, label))

    async def push_event(self, userid: str, name: str, **fields: Field) -> PushResult:
        """An event: ``push_event("lin", "click", EventKey="help")``."""
        named: dict[str, Field] = {"MsgType": "event", "Event": name, **fields}
        return await self.push(UserAction(userid, named, None, name))

    async def tap(self, userid: str, key: str, task_id: str) -> PushResult:
        """A button of a card is tapped."""
        return await self.push_event(
            userid,
            "template_card_event",
            EventKey=key,
            TaskId=task_id,
            CardType="button_interaction",
            ResponseCode="RESPONSE-CODE",
        )

    async def verify_url(self, to: str | None = None) -> UrlCheck:
        """Ask the callback URL to prove itself, as the console does when it is saved."""
        target = to or self.callback_url
        if target is None:
            raise ValueError("no callback URL: give to=, or set callback_url")
        return await self.pusher.check_url(target)

    def change_aes_key(self, aes_key: str) -> None:
        """Encrypt with another EncodingAESKey from now on, as after a change in the console."""
        self.credentials = replace(self.credentials, aes_key=aes_key)
        self.builder.envelope = self.credentials.envelope

    # -- what can be seen, and what can go wrong -----------------------------------------------------

    def phone(self, userid: str) -> list[Bubble]:
        """The chat as the member sees it, oldest first."""
        return list(self.members.meet(userid).bubbles)

    def fail(self, kind: FaultKind, **rest: Any) -> None:
        """Make the next API calls go wrong; see ``sandbox.faults.Fault``."""
        self.faults.add(Fault(kind, **rest))

    def log(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The simulator's own record: ``push``, ``send``, ``token``, ``upload``, ``fault``."""
        return self.journal.entries(kind, after=after)
