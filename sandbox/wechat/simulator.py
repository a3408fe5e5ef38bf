"""A WeChat official account on this machine: its users, its pushes, its API."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.faults import Fault, FaultBox, FaultKind
from sandbox.http import only_loopback, serve
from sandbox.journal import Clock, Journal
from sandbox.wechat import messages
from sandbox.wechat.api import MAX_REQUEST_BYTES, PlatformApi
from sandbox.wechat.control import ControlApi
from sandbox.wechat.crypto import Envelope, new_aes_key, new_token
from sandbox.wechat.customers import Bubble, Customers
from sandbox.wechat.media import MediaStore
from sandbox.wechat.messages import StampedAction, UserAction
from sandbox.wechat.push import (
    SERVICE_FAULT,
    Mode,
    PushBuilder,
    Pusher,
    PushResult,
    SignedPush,
    UrlCheck,
)
from sandbox.wechat.sending import answer_shown
from sandbox.wechat.switches import (
    calm,
    family_board,
    pending_pushes,
    push_switches,
    window_switch,
)
from sandbox.wechat.templates import Kind, Said, Templates
from sandbox.wechat.tokens import LIFETIME_SECONDS, TokenOffice
from sandbox.wechat.wire import DataFormat

SMALL_JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"


@dataclass(frozen=True, slots=True)
class WeChatCredentials:
    """What the owner of an account reads off the platform's console; all made up."""

    app_id: str = field(default_factory=lambda: f"wx{secrets.token_hex(8)}")
    app_secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    token: str = field(default_factory=new_token, repr=False)
    aes_key: str = field(default_factory=new_aes_key, repr=False)
    original_id: str = field(default_factory=lambda: f"gh_{secrets.token_hex(6)}")


class WeChatSimulator:
    """The platform, as one official account and its users meet it.

    Every credential that is not given is made up. ``time_scale`` shortens the
    five seconds that a push may take; ``clock`` dates everything else. Without *customer_service*
    the account is one of those that may say nothing by the API (48001).

    Example::

        simulator = WeChatSimulator(callback_url="http://127.0.0.1:8080/in/wechat/shop")
        await simulator.start()
        result = await simulator.push_text("oAlice", "在吗？")
        answer = await simulator.wait_for_answer("oAlice")
        await simulator.stop()
    """

    def __init__(
        self,
        *,
        app_id: str | None = None,
        app_secret: str | None = None,
        token: str | None = None,
        aes_key: str | None = None,
        original_id: str | None = None,
        mode: Mode = "safe",
        data_format: DataFormat = "xml",
        callback_url: str | None = None,
        clock: Clock = time.time,
        time_scale: float = 1.0,
        token_lifetime: float = LIFETIME_SECONDS,
        journal_path: Path | None = None,
        customer_service: bool = True,
    ) -> None:
        made = WeChatCredentials()
        self.credentials = WeChatCredentials(
            app_id or made.app_id,
            app_secret or made.app_secret,
            token or made.token,
            aes_key or made.aes_key,
            original_id or made.original_id,
        )
        self.callback_url = callback_url
        self.clock = clock
        self.journal = Journal(journal_path, clock=clock)
        self.customers = Customers(clock)
        self.media = MediaStore(clock)
        self._templates = Templates(self.customers, clock)
        self._reports: set[asyncio.Task[object]] = set()
        self.tokens = TokenOffice(clock, token_lifetime)
        self.faults = FaultBox()
        envelope = Envelope(
            self.credentials.token, self.credentials.aes_key, self.credentials.app_id
        )
        self.builder = PushBuilder(envelope, self.credentials.original_id, mode, data_format, clock)
        self.pusher = Pusher(self.builder, self.journal, time_scale=time_scale)
        self._api = PlatformApi(
            self.credentials.app_id,
            self.credentials.app_secret,
            customers=self.customers,
            media=self.media,
            tokens=self.tokens,
            faults=self.faults,
            journal=self.journal,
            clock=clock,
            die=self.die,
            customer_service=customer_service,
            templates=self._templates,
            report=self._report,
        )
        self.board = family_board(
            self.faults,
            self.tokens,
            own=(window_switch(self.customers.close_window),),
            delivery=push_switches(self.pusher),
            well_again=lambda: calm(self.pusher),
            pending=lambda: pending_pushes(self.pusher),
        )
        self._control = ControlApi(self)
        self._runner: web.AppRunner | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.port = 0

    # Running -------------------------------------------------------------

    @property
    def api_base(self) -> str:
        """What the hub's ``api_base`` setting must say."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 picks a free one. After ``die`` it may be started again."""
        app = web.Application(middlewares=[only_loopback], client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(self._api.routes())
        app.add_routes(self._control.routes())
        self._runner, self.port = await serve(app, host, port)

    async def stop(self) -> None:
        """Stop listening and close the log."""
        await self._stop_listening()
        for task in self._reports:
            task.cancel()
        await asyncio.gather(*self._reports, return_exceptions=True)
        await self.pusher.close()
        self.journal.close()

    async def die(self) -> None:
        """Vanish as a crashed platform does: every connection is cut, nobody listens.

        What it knows survives; ``start(port=simulator.port)`` brings it back.
        """
        self.journal.write("died")
        if self._runner is not None and self._runner.server is not None:
            for connection in list(self._runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        runner, self._runner = self._runner, None
        if runner is not None:
            for site in list(runner.sites):
                await site.stop()
            # In the background: the call that brought the fault is itself being served.
            self._leaving = asyncio.get_running_loop().create_task(runner.cleanup())

    async def _stop_listening(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._leaving is not None:
            await self._leaving

    # What users do -------------------------------------------------------

    async def push(self, action: UserAction, *, to: str | None = None) -> PushResult:
        """Let a user act, and push it to *to* (the callback URL, unless given)."""
        stamped = self.stamp(action)
        result = await self.pusher.push(stamped, self._target(to))
        self._show_outcome(result)
        return result

    def stamp(self, action: UserAction) -> StampedAction:
        """Record that a user acted, and give it its id and time."""
        now = self.clock()
        customer = self.customers.meet(action.openid)
        customer.is_following = action.fields.get("Event") != "unsubscribe"
        customer.last_action_at = now
        if action.fields.get("Event") == "subscribe":
            customer.followed_at = now
        if action.trigger is not None:
            customer.open_allowance(action.trigger, now)
        self._show_action(action)
        return self.builder.stamp(action)

    async def push_stamped(self, stamped: StampedAction, *, to: str | None = None) -> PushResult:
        """Push the same action (again): same id, same plaintext."""
        return await self.pusher.push(stamped, self._target(to))

    def build_push(self, stamped: StampedAction) -> SignedPush:
        """A signed request for *stamped*: ``(query, headers, body)``, for load tests."""
        return self.builder.build(stamped)

    async def verify_url(self, to: str | None = None) -> UrlCheck:
        """Ask the callback URL to prove itself, as the console does when it is saved."""
        return await self.pusher.check_url(self._target(to))

    async def push_text(
        self, openid: str, content: str, *, menu_choice: str | None = None, to: str | None = None
    ) -> PushResult:
        return await self.push(messages.text(openid, content, menu_choice=menu_choice), to=to)

    async def push_image(
        self,
        openid: str,
        content: bytes = SMALL_JPEG,
        filename: str = "photo.jpg",
        *,
        to: str | None = None,
    ) -> PushResult:
        media = self.media.put("image", filename, content)
        return await self.push(
            messages.image(
                openid, media.media_id, self.api_base + self._api.media_url(media.media_id)
            ),
            to=to,
        )

    async def push_voice(
        self,
        openid: str,
        content: bytes = b"#!AMR\n",
        *,
        voice_format: str = "amr",
        recognition: str | None = None,
        to: str | None = None,
    ) -> PushResult:
        media = self.media.put("voice", f"voice.{voice_format}", content)
        return await self.push(
            messages.voice(
                openid, media.media_id, voice_format=voice_format, recognition=recognition
            ),
            to=to,
        )

    async def push_video(
        self,
        openid: str,
        content: bytes = b"\0\0\0\x18ftypmp42",
        *,
        kind: str = "video",
        to: str | None = None,
    ) -> PushResult:
        media, thumb = (
            self.media.put("video", "video.mp4", content),
            self.media.put("thumb", "thumb.jpg", SMALL_JPEG),
        )
        return await self.push(
            messages.video(openid, media.media_id, thumb.media_id, kind=kind), to=to
        )

    async def push_mini_program(
        self, openid: str, title: str, *, to: str | None = None
    ) -> PushResult:
        thumb = self.media.put("thumb", "thumb.jpg", SMALL_JPEG)
        url = self.api_base + self._api.media_url(thumb.media_id)
        return await self.push(
            messages.mini_program_page(openid, title, url, thumb.media_id), to=to
        )

    async def push_location(
        self, openid: str, latitude: float, longitude: float, label: str, *, to: str | None = None
    ) -> PushResult:
        return await self.push(messages.location(openid, latitude, longitude, label), to=to)

    async def push_link(
        self, openid: str, title: str, description: str, url: str, *, to: str | None = None
    ) -> PushResult:
        return await self.push(messages.link(openid, title, description, url), to=to)

    async def push_subscribe(
        self, openid: str, *, scene: str | None = None, to: str | None = None
    ) -> PushResult:
        return await self.push(
            messages.subscribe(openid, scene=scene, ticket=secrets.token_urlsafe(32)), to=to
        )

    async def push_unsubscribe(self, openid: str, *, to: str | None = None) -> PushResult:
        return await self.push(messages.unsubscribe(openid), to=to)

    async def push_click(self, openid: str, key: str, *, to: str | None = None) -> PushResult:
        return await self.push(messages.click(openid, key), to=to)

    async def push_scan(self, openid: str, scene: str, *, to: str | None = None) -> PushResult:
        return await self.push(messages.scan(openid, scene, secrets.token_urlsafe(32)), to=to)

    async def push_view(self, openid: str, url: str, *, to: str | None = None) -> PushResult:
        return await self.push(messages.view(openid, url), to=to)

    async def push_subscription(
        self, openid: str, template_id: str, *, accepted: bool = True, to: str | None = None
    ) -> PushResult:
        """The user lets the account send one message of a template, or does not."""
        if accepted:
            self._templates.grant(openid, template_id)
        return await self.push(
            messages.answered_subscription(openid, template_id, accepted=accepted), to=to
        )

    @property
    def templates(self) -> dict[str, Kind]:
        """The account's templates: id → ``template`` or ``subscribe``; another id is 40037."""
        return self._templates.known

    def _report(self, said: Said, kind: str) -> None:
        """Tell the account what became of a template message, as the platform does, in a push."""
        if self.callback_url is None:
            return
        made = (
            messages.template_finished(said.openid, said.message_id, "success")
            if kind == "template"
            else messages.subscription_sent(said.openid, said.template_id, said.message_id)
        )
        pushing = self.pusher.push(self.builder.stamp(made), self.callback_url)
        task = asyncio.get_running_loop().create_task(pushing)
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    def change_aes_key(self, aes_key: str) -> None:
        """Encrypt with another EncodingAESKey from now on, as after a change in the console."""
        self.credentials = replace(self.credentials, aes_key=aes_key)
        token, app_id = self.credentials.token, self.credentials.app_id
        self.builder.envelope = Envelope(token, aes_key, app_id)

    # What users see ------------------------------------------------------

    def phone(self, openid: str) -> list[Bubble]:
        """The chat as the user sees it, oldest first."""
        return list(self.customers.meet(openid).bubbles)

    async def wait_for_answer(
        self, openid: str, *, after: int = 0, timeout: float = 10.0
    ) -> Bubble:
        """The first answer of the account with a number above *after*.

        Raises:
            TimeoutError: none came.
        """
        return await self.customers.wait_for_answer(openid, after=after, timeout=timeout)

    # Faults --------------------------------------------------------------

    def fail(
        self,
        kind: FaultKind,
        *,
        count: int = 1,
        path: str = "",
        code: int = -1,
        seconds: float = 60.0,
    ) -> None:
        """Make the next *count* API calls under *path* go wrong; see ``faults.FaultKind``."""
        self.faults.add(Fault(kind, count, path, code, seconds))

    def refuse_ip(self, count: int = 1) -> None:
        """Answer 40164: the caller's IP is not on the account's list."""
        self.fail("errcode", count=count, code=40164)

    def limit_rate(self, count: int = 1, path: str = "/cgi-bin/message") -> None:
        """Answer 45009: the day's quota is used up."""
        self.fail("errcode", count=count, path=path, code=45009)

    def log(self, kind: str | None = None, *, after: int = 0) -> list[dict[str, Any]]:
        """The simulator's own record: ``push``, ``send``, ``token``, ``upload``, ``fault`` …"""
        return self.journal.entries(kind, after=after)

    # ---------------------------------------------------------------------

    def _target(self, to: str | None) -> str:
        target = to or self.callback_url
        if target is None:
            raise ValueError("no callback URL: give to=, or set callback_url")
        return target

    def _show_action(self, action: UserAction) -> None:
        fields = action.fields
        if action.is_event:
            self.customers.show(action.openid, "system", str(fields["Event"]), action.summary)
            return
        url = self._api.media_url(action.media_id) if action.media_id else None
        self.customers.show(
            action.openid,
            "user",
            str(fields["MsgType"]),
            action.summary,
            media_url=url,
            details=dict(fields),
        )

    def _show_outcome(self, result: PushResult) -> None:
        if not result.acked:
            self.customers.show(result.openid, "system", "fault", SERVICE_FAULT)
        elif result.outcome == "replied":
            shown = answer_shown(result.reply, self.media)
            self.customers.show(
                result.openid,
                "account",
                shown.kind,
                shown.text,
                media_url=self._api.media_url(shown.media_id) if shown.media_id else None,
                choices=shown.choices,
                details=shown.details,
            )
