"""``/in/{channel}/{account}``: where platforms call, and where sockets connect."""

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

import structlog
from aiohttp import web
from multidict import CIMultiDict

from hub.channel import AwaitReply as AwaitReplyWish
from hub.channel import Emit, Intake, IntakeRequest, NotAuthentic, NotRecognised, Response
from hub.core import Core
from hub.intake import Overloaded
from hub.model import InboundEvent
from hub.web.body import BodyReader, BodyRefused
from hub.web.callbacks import MAX_CALLBACK_BYTES, answer_callback, find_desk
from hub.web.sockets import OpenSockets, serve_socket

if TYPE_CHECKING:
    from hub.accounts import RunningAccount

__all__ = ["AwaitReply", "Committer", "IntakeEndpoint"]

_log = structlog.get_logger("hub.web.intake")

_HEADERS = {
    "Server": "hub",
    "X-Content-Type-Options": "nosniff",
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
}
_NO_SECRET = b"\0" * 32

AwaitReply = Callable[[Core, str, AwaitReplyWish], Awaitable[Response | None]]
"""Holds an answer for a passive reply: (core, account, wish) → the answer, or None in time."""


class Committer(Protocol):
    """Stores events; what it has returned from is on disk."""

    async def store(self, account: str, channel: str, events: Sequence[InboundEvent]) -> None:
        """Returns when *events* are committed.

        Raises:
            Overloaded: there was no room, or the database was away, for too long.
        """
        ...


class IntakeEndpoint:
    """Proves, stores and answers callbacks; *counts* are (account, outcome) → requests."""

    def __init__(
        self,
        core: Core,
        committer: Committer,
        *,
        bodies: BodyReader,
        await_reply: AwaitReply | None = None,
        emit_for: Callable[[str, str], Emit] | None = None,
    ) -> None:
        self._core = core
        self._committer = committer
        self._bodies = bodies
        self._await_reply = await_reply
        self._emit_for = emit_for
        self.sockets = OpenSockets()
        self.counts: Counter[tuple[str, str]] = Counter()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; hostile bytes never make it a 5xx."""
        path, _, query = request.raw_path.partition("?")
        running = self._find(path)
        if running is None:
            return await self._call_back(request, path)
        name = running.plan.account.name
        if running.adapter is None or (running.socket is not None and _is_upgrade(request)):
            return await self._serve_socket(request, running)
        hub = self._core.settings.hub
        try:
            limit = running.plan.channel.max_body_bytes or hub.max_body_bytes
            body = await self._bodies.read(request, limit, hub.body_timeout_s)
        except BodyRefused as refused:
            if refused.status == 503:
                return self._put_off(request, running)
            return self._end(name, "body_refused", refused.status, refused.reason.encode(), True)
        try:
            return await self._accept(request, running, path, query, body)
        finally:
            self._bodies.release(body)

    async def _call_back(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """A connected helpdesk calls, or nobody that we know."""
        desk = find_desk(self._core, path)
        if desk is None:
            return self._end("-", "not_found", 404, b"not found")
        within = self._core.settings.hub.body_timeout_s
        try:
            body = await self._bodies.read(request, MAX_CALLBACK_BYTES, within)
        except BodyRefused as refused:
            reason = refused.reason.encode()
            return self._end(desk.name, "body_refused", refused.status, reason, True)
        try:
            outcome, made = await answer_callback(
                self._core, desk, request, _headers(request), body
            )
        finally:
            self._bodies.release(body)
        answer = self._end(desk.name, outcome, made.status, made.body)
        answer.headers.update(made.headers)
        return answer

    async def _accept(
        self,
        request: web.BaseRequest,
        running: "RunningAccount",
        path: str,
        query: str,
        body: bytes,
    ) -> web.StreamResponse:
        name = running.plan.account.name
        asked = IntakeRequest(
            request.method,
            path,
            query,
            _headers(request),
            body,
            self._core.clock(),
            request.remote,
        )
        assert running.adapter is not None  # noqa: S101 (the caller looked)
        try:
            intake = await running.adapter.accept(asked)
        except NotAuthentic:
            return self._end(name, "not_authentic", 403, b"forbidden")
        except NotRecognised:
            return self._end(name, "not_recognised", 400, b"bad request")
        except Exception as error:
            return self._broken(name, error)
        return await self._take(request, running, intake)

    def _find(self, path: str) -> "RunningAccount | None":
        """The account behind *path*; None alike for one that is unknown, disabled or wrongly asked for."""
        parts = path.split("/")
        if not 4 <= len(parts) <= 5:
            return None
        running = self._core.accounts.get(parts[3])
        secret = running.plan.intake_secret if running is not None else None
        wanted = secret.reveal().encode() if secret else b""
        given = unquote(parts[4]).encode("utf-8", "replace") if len(parts) == 5 else b""
        same = hmac.compare_digest(given, wanted if running is not None else _NO_SECRET)
        if running is None or not same or not running.plan.enabled:
            return None
        if running.plan.channel.key != parts[2]:
            return None
        return running if running.adapter or running.socket else None

    async def _take(
        self, request: web.BaseRequest, running: "RunningAccount", intake: Intake
    ) -> web.StreamResponse:
        plan = running.plan
        name = plan.account.name
        if intake.events:
            try:
                await self._committer.store(name, plan.channel.key, intake.events)
            except Overloaded:
                return self._put_off(request, running)
        for bell in intake.bells:
            self._core.bells.ring(f"listen:{name}", {"key": bell.key, "facts": bell.facts})
        response = intake.response
        if intake.await_reply is not None and self._await_reply is not None:
            response = await self._await_reply(self._core, name, intake.await_reply) or response
        self.counts[name, "taken"] += 1
        headers = CIMultiDict(_HEADERS)
        headers.update(response.headers)
        return web.Response(status=response.status, body=response.body, headers=headers)

    def _put_off(self, request: web.BaseRequest, running: "RunningAccount") -> web.StreamResponse:
        """Do what makes this platform try again."""
        answer = self._end(running.plan.account.name, "overloaded", 503, b"busy", True)
        answer.headers["Retry-After"] = "2"
        if running.plan.channel.retries_on == "close" and request.transport is not None:
            request.transport.close()
        return answer

    def _broken(self, name: str, error: Exception) -> web.StreamResponse:
        """A bug of the channel: seen by its owner, and no 5xx for whoever found the bytes."""
        _log.error("adapter_broken", account=name, error=type(error).__name__, where=_where(error))
        return self._end(name, "adapter_broken", 400, b"bad request")

    def _end(
        self, name: str, outcome: str, status: int, body: bytes, close: bool = False
    ) -> web.Response:
        self.counts[name, outcome] += 1
        response = web.Response(status=status, body=body, headers=_HEADERS)
        if close:
            response.force_close()
        return response

    async def _serve_socket(
        self, request: web.BaseRequest, running: "RunningAccount"
    ) -> web.StreamResponse:
        plan = running.plan
        name = plan.account.name
        if running.socket is None or self._emit_for is None or not _is_upgrade(request):
            return self._end(name, "not_recognised", 400, b"bad request")
        self.counts[name, "socket"] += 1
        emit = self._emit_for(name, plan.channel.key)
        try:
            return await serve_socket(
                request, running.socket, emit, _headers(request), self.sockets
            )
        except NotAuthentic:
            return self._end(name, "not_authentic", 403, b"forbidden")


def _is_upgrade(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """The headers with names in lower case; a repeated one is joined, so that none can hide."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _where(error: BaseException) -> str:
    """File and line of the innermost frame; never the values, which may hold secrets."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
