"""The API of the platform, as far as a message hub calls it.

Source: https://bot.q.qq.com/wiki/develop/api-v2/
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import web

from sandbox.faults import Fault, FaultBox
from sandbox.http import cut
from sandbox.journal import Clock, Journal
from sandbox.qq.chats import Chats
from sandbox.qq.contents import check
from sandbox.qq.errors import Refused
from sandbox.qq.files import Files
from sandbox.qq.tokens import TokenDesk

__all__ = ["QqApi"]

Answer = dict[str, Any]
Act = Callable[[web.Request], Awaitable[Answer]]

_PLACES = {
    "/v2/users/{own}": "c2c",
    "/v2/groups/{own}": "group",
    "/channels/{own}": "channel",
    "/dms/{own}": "dm",
}
_CHINA = timezone(timedelta(hours=8))


class QqApi:
    """One bot's API. *audited* of the next messages are reviewed before they are shown.

    *die* is called by the fault of that name: the whole simulator is to be gone.
    """

    def __init__(
        self,
        *,
        app_id: str,
        secret: str,
        clock: Clock,
        chats: Chats,
        files: Files,
        tokens: TokenDesk,
        faults: FaultBox,
        journal: Journal,
        die: Callable[[], Awaitable[None]],
    ) -> None:
        self._app_id, self._secret = app_id, secret
        self._clock = clock
        self._chats = chats
        self._files = files
        self._tokens = tokens
        self._faults = faults
        self._journal = journal
        self._die = die
        self.base = ""
        self.audited = 0
        self.expires_as_text = True
        self.under_review: dict[str, tuple[str, Any]] = {}
        self.acknowledged: list[str] = []
        self.gateway_url: Callable[[], str] = lambda: ""
        self.sessions_left = 1000

    def routes(self) -> list[web.RouteDef]:
        """Everything that is answered."""
        routes = [
            web.post("/app/getAppAccessToken", self.call(self._token, open_to_all=True)),
            web.get("/users/@me", self.call(self._me)),
            web.get("/gateway/bot", self.call(self._gateway)),
            web.put("/interactions/{own}", self.call(self._acknowledge)),
            web.put("/_parts/{own}/{index}", self._part),
            web.get("/_files/{number}", self._file),
        ]
        for path, scene in _PLACES.items():
            routes.append(web.post(f"{path}/messages", self.call(self._say_in(scene))))
        for path, scene in list(_PLACES.items())[:2]:
            for name, act in (
                ("upload_prepare", self._prepare),
                ("upload_part_finish", self._finish_part),
                ("files", self._merge),
            ):
                routes.append(web.post(f"{path}/{name}", self.call(self._with(scene, act))))
        return routes

    def call(self, act: Act, *, open_to_all: bool = False) -> Callable[..., Any]:
        """*act* as a handler: faults, the token, and refusals as the platform words them."""

        async def handler(request: web.Request) -> web.StreamResponse:
            fault = self._faults.take(request.path)
            if fault is not None and fault.kind == "drop_request":
                cut(request)
                return web.Response()
            if fault is not None and fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            status, body = await self._answered(request, act, fault, open_to_all)
            return await self._after(request, fault, status, body)

        return handler

    async def _answered(
        self, request: web.Request, act: Act, fault: Fault | None, open_to_all: bool
    ) -> tuple[int, Answer]:
        try:
            if fault is not None and fault.kind == "errcode":
                raise Refused(fault.code, status=401 if fault.code in (11244, 11298) else 400)
            if not open_to_all:
                self._tokens.check(request.headers.get("Authorization"))
            return 200, await act(request)
        except Refused as refused:
            self._journal.write("refused", path=request.path, code=refused.code)
            return refused.status, refused.body()

    async def _after(
        self, request: web.Request, fault: Fault | None, status: int, body: Answer
    ) -> web.StreamResponse:
        kind = fault.kind if fault else ""
        if kind in ("drop_answer", "die"):
            cut(request)
            if kind == "die":
                await self._die()
            return web.Response()
        if kind == "late" and fault:
            await asyncio.sleep(fault.seconds)
        if kind == "bad_gateway":
            return web.Response(status=502, text="<html>502 Bad Gateway</html>")
        trace = {"X-Tps-trace-ID": secrets.token_hex(16)}
        return web.json_response(body, status=status, headers=trace)

    # -- who we are ----------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> Answer:
        """A refusal comes with status 200, and what is left of a token as text."""
        asked = await _asked(request)
        if (asked.get("appId"), asked.get("clientSecret")) != (self._app_id, self._secret):
            raise Refused(100016, status=200)
        value, left = self._tokens.ask()
        self._journal.write("token", left=left)
        return {
            "access_token": value,
            "expires_in": str(left) if self.expires_as_text else left,
        }

    async def _me(self, request: web.Request) -> Answer:
        return {"id": self._app_id, "username": "灯火小铺", "avatar": ""}

    async def _gateway(self, request: web.Request) -> Answer:
        limit = {
            "total": 1000,
            "remaining": self.sessions_left,
            "reset_after": 86_400_000,
            "max_concurrency": 1,
        }
        return {"url": self.gateway_url(), "shards": 1, "session_start_limit": limit}

    async def _acknowledge(self, request: web.Request) -> Answer:
        await _asked(request)
        self.acknowledged.append(request.match_info["own"])
        self._journal.write("acknowledged", tap=request.match_info["own"])
        return {}

    # -- saying --------------------------------------------------------------------------------------

    def _say_in(self, scene: str) -> Act:
        async def say(request: web.Request) -> Answer:
            place = f"{scene}:{request.match_info['own']}"
            return self._say(place, await _asked(request))

        return say

    def _say(self, place: str, asked: dict[str, Any]) -> Answer:
        facts = {name: asked.get(name) for name in ("msg_id", "event_id", "msg_seq", "msg_type")}
        reference = asked.get("message_reference")
        facts["quotes"] = reference.get("message_id") if isinstance(reference, dict) else None
        try:
            shown = check(place, asked, self._files)
            self._chats.take(place, asked)
        except Refused as refused:
            self._journal.write("send", place=place, code=refused.code, **facts)
            raise
        own = self._chats.new_id()
        reviewed = self.audited > 0
        self._journal.write(
            "send", place=place, code=0, id=own, text=shown.text, reviewed=reviewed, **facts
        )
        if reviewed:
            self.audited -= 1
            audit = secrets.token_hex(8)
            self.under_review[audit] = (place, shown)
            data = {"message_audit": {"audit_id": audit}}
            raise Refused(304023, status=202, data=data)
        self.show(place, shown)
        said_at = datetime.fromtimestamp(self._clock(), _CHINA).isoformat(timespec="seconds")
        return {"id": own, "timestamp": said_at, "ext_info": {"ref_idx": f"REFIDX_{own[9:25]}=="}}

    def show(self, place: str, shown: Any) -> None:
        """Put what was said on the phones."""
        self._chats.screens.show(place, "account", shown.kind, shown.text, **shown.more)

    # -- files ---------------------------------------------------------------------------------------

    def _with(self, scene: str, act: Callable[[str, dict[str, Any]], Answer]) -> Act:
        async def handled(request: web.Request) -> Answer:
            return act(f"{scene}:{request.match_info['own']}", await _asked(request))

        return handled

    def _prepare(self, place: str, asked: dict[str, Any]) -> Answer:
        return self._files.prepare(place, asked, self.base)

    def _finish_part(self, place: str, asked: dict[str, Any]) -> Answer:
        return self._files.finish_part(place, asked)

    def _merge(self, place: str, asked: dict[str, Any]) -> Answer:
        self._journal.write("upload", place=place, name=asked.get("file_name"))
        return self._files.merge(place, asked)

    async def _part(self, request: web.Request) -> web.Response:
        """The object store: no token, the address says it all."""
        index = request.match_info["index"]
        try:
            self._files.put(request.match_info["own"], int(index), await request.read())
        except (KeyError, ValueError):
            return web.Response(status=404)
        return web.Response()

    async def _file(self, request: web.Request) -> web.Response:
        try:
            file = self._files.get(request.match_info["number"])
        except KeyError:
            return web.Response(status=404)
        return web.Response(body=file.content, content_type=file.mime_type)


async def _asked(request: web.Request) -> dict[str, Any]:
    try:
        asked = json.loads(await request.read() or b"{}")
    except ValueError:
        raise Refused(40011000) from None
    if not isinstance(asked, dict):
        raise Refused(40011000)
    return asked
