"""The platform's API, as far as a message hub calls it.

Errors come in HTTP 200 as ``{"errcode", "errmsg"}``, with the platform's own
codes; every third JSON answer is labelled text/plain, as happens there.
"""

import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from sandbox.faults import Fault, FaultBox, answered
from sandbox.http import Handler
from sandbox.journal import Clock, Journal
from sandbox.wechat.customers import Customer, Customers
from sandbox.wechat.errors import PlatformError
from sandbox.wechat.media import Media, MediaStore
from sandbox.wechat.sending import deliver, read_request
from sandbox.wechat.templates import Said, Templates
from sandbox.wechat.tokens import TokenOffice

MAX_REQUEST_BYTES = 12 * 1024 * 1024
MAX_PEOPLE = 100
TYPING_SECONDS = 15
TYPING_NEEDS_ACTION_WITHIN = 30
_SHOWN_BODY = 4000

Answer = dict[str, Any]


class PlatformApi:
    """``/cgi-bin/*`` for one account."""

    def __init__(
        self,
        app_id: str,
        app_secret: str,
        *,
        customers: Customers,
        media: MediaStore,
        tokens: TokenOffice,
        faults: FaultBox,
        journal: Journal,
        clock: Clock,
        die: Callable[[], Awaitable[None]],
        customer_service: bool = True,
        templates: Templates,
        report: Callable[[Said, str], None],
    ) -> None:
        self._app_id = app_id
        self._app_secret = app_secret
        self._customers = customers
        self._media = media
        self._tokens = tokens
        self._faults = faults
        self._journal = journal
        self._clock = clock
        self._die = die
        self._customer_service = customer_service
        self._templates = templates
        self._report = report
        self._answers = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", "/cgi-bin/token", self._call(self._token, with_token=False)),
            web.route(
                "*", "/cgi-bin/stable_token", self._call(self._stable_token, with_token=False)
            ),
            web.route("*", "/cgi-bin/message/custom/send", self._call(self._send)),
            web.route("*", "/cgi-bin/message/custom/typing", self._call(self._typing)),
            web.route("*", "/cgi-bin/message/template/send", self._call(self._template)),
            web.route("*", "/cgi-bin/message/subscribe/bizsend", self._call(self._subscribed)),
            web.route("*", "/cgi-bin/customservice/getkflist", self._call(self._agents)),
            web.route("*", "/cgi-bin/media/upload", self._call(self._upload)),
            web.route("*", "/cgi-bin/media/get", self._call(self._download)),
            web.route("*", "/cgi-bin/callback/check", self._call(self._callback_check)),
            web.route("*", "/cgi-bin/getcallbackip", self._call(self._callback_ips)),
            web.route("*", "/cgi-bin/clear_quota", self._call(self._clear_quota)),
            web.route("*", "/cgi-bin/user/info", self._call(self._user_info)),
            web.route("*", "/cgi-bin/user/info/batchget", self._call(self._user_infos)),
            web.get("/_media/{media_id}", self._public_media),
        ]

    def media_url(self, media_id: str) -> str:
        """Where the file can be seen, as ``PicUrl`` or ``video_url`` would say."""
        return f"/_media/{media_id}"

    # How a call runs -----------------------------------------------------

    def _call(
        self,
        act: Callable[[web.Request], Awaitable[Answer | web.Response]],
        *,
        with_token: bool = True,
    ) -> Handler:
        async def say(request: web.Request) -> web.Response:
            return await self._act(request, act, with_token)

        async def handler(request: web.Request) -> web.StreamResponse:
            return await answered(
                request,
                say,
                faults=self._faults,
                journal=self._journal,
                refuse=self._refuse,
                die=self._die,
            )

        return handler

    def _refuse(self, fault: Fault) -> web.Response:
        return self._json(PlatformError(fault.code).answer(self._clock()))

    async def _act(
        self,
        request: web.Request,
        act: Callable[[web.Request], Awaitable[Answer | web.Response]],
        with_token: bool,
    ) -> web.Response:
        try:
            if with_token:
                self._tokens.check(request.query.get("access_token"))
            answer = await act(request)
        except PlatformError as error:
            return self._json(error.answer(self._clock()))
        return answer if isinstance(answer, web.Response) else self._json(answer)

    def _json(self, answer: Answer | Mapping[str, object]) -> web.Response:
        label = "text/plain" if next(self._answers) % 3 == 0 else "application/json"
        return web.Response(
            body=json.dumps(answer, ensure_ascii=False).encode(),
            headers={"Content-Type": f"{label}; encoding=utf-8"},
        )

    # Tokens --------------------------------------------------------------

    async def _token(self, request: web.Request) -> Answer:
        self._check_app(request.query)
        value, seconds = self._tokens.classic()
        self._journal.write("token", call="token")
        return {"access_token": value, "expires_in": seconds}

    async def _stable_token(self, request: web.Request) -> Answer:
        _require_post(request)
        asked = read_request(await request.read())
        self._check_app(asked)
        forced = asked.get("force_refresh") is True
        value, seconds = self._tokens.stable(force_refresh=forced)
        self._journal.write("token", call="stable_token", forced=forced)
        return {"access_token": value, "expires_in": seconds}

    def _check_app(self, asked: Mapping[str, Any]) -> None:
        if asked.get("grant_type") != "client_credential":
            raise PlatformError(40002)
        if asked.get("appid") != self._app_id:
            raise PlatformError(40013)
        if asked.get("secret") != self._app_secret:
            raise PlatformError(40125)

    # Messages ------------------------------------------------------------

    def _require_customer_service(self) -> None:
        if not self._customer_service:
            raise PlatformError(48001)

    async def _send(self, request: web.Request) -> Answer:
        _require_post(request)
        self._require_customer_service()
        body = await request.read()
        try:
            asked = read_request(body)
            bubble = deliver(asked, self._customers, self._media, self._clock(), self.media_url)
        except PlatformError as error:
            self._journal.write(
                "send", openid=_openid_in(body), errcode=error.code, body=_shown(body)
            )
            raise
        self._journal.write(
            "send",
            openid=asked["touser"],
            errcode=0,
            msgtype=asked["msgtype"],
            text=bubble.text,
            body=_shown(body),
            bubble=bubble.number,
        )
        return {"errcode": 0, "errmsg": "ok"}

    async def _template(self, request: web.Request) -> Answer:
        return await self._by_template(request, "template")

    async def _subscribed(self, request: web.Request) -> Answer:
        return await self._by_template(request, "subscribe")

    async def _by_template(self, request: web.Request, kind: str) -> Answer:
        _require_post(request)
        body = await request.read()
        send = self._templates.send if kind == "template" else self._templates.send_subscribed
        try:
            said = send(read_request(body))
        except PlatformError as error:
            self._journal.write(
                kind, openid=_openid_in(body), errcode=error.code, body=_shown(body)
            )
            raise
        self._journal.write(
            kind, openid=said.openid, errcode=0, msgid=said.message_id, body=_shown(body)
        )
        if said.bubble is not None:
            self._report(said, kind)
        return {"errcode": 0, "errmsg": "ok", "msgid": said.message_id}

    async def _agents(self, request: web.Request) -> Answer:
        """The agents of the platform's own tool; a call that shows whether the account has the right."""
        self._require_customer_service()
        return {"kf_list": []}

    async def _typing(self, request: web.Request) -> Answer:
        _require_post(request)
        self._require_customer_service()
        asked = read_request(await request.read())
        customer = self._customers.get(asked.get("touser"))
        now = self._clock()
        if asked.get("command") not in ("Typing", "CancelTyping"):
            raise PlatformError(45072)
        if customer.last_action_at < now - TYPING_NEEDS_ACTION_WITHIN:
            raise PlatformError(45080)
        if asked["command"] == "Typing" and customer.typing_until > now:
            raise PlatformError(45081)
        customer.typing_until = now + TYPING_SECONDS if asked["command"] == "Typing" else 0.0
        self._journal.write("typing", openid=customer.openid, command=asked["command"])
        return {"errcode": 0, "errmsg": "ok"}

    # Media ---------------------------------------------------------------

    async def _upload(self, request: web.Request) -> Answer:
        _require_post(request)
        filename, content = await _uploaded_file(request)
        media = self._media.upload(request.query.get("type", ""), filename, content)
        self._journal.write(
            "upload",
            media_id=media.media_id,
            type=media.kind,
            filename=filename,
            bytes=len(content),
        )
        return {"type": media.kind, "media_id": media.media_id, "created_at": int(media.made_at)}

    async def _download(self, request: web.Request) -> Answer | web.Response:
        media = self._media.get(request.query.get("media_id"))
        self._journal.write("download", media_id=media.media_id)
        if media.kind == "video":
            return {"video_url": f"http://{request.host}{self.media_url(media.media_id)}"}
        return _file_response(media)

    async def _public_media(self, request: web.Request) -> web.Response:
        try:
            return _file_response(self._media.get(request.match_info["media_id"]))
        except PlatformError:
            return web.Response(status=404)

    # The rest ------------------------------------------------------------

    async def _callback_check(self, request: web.Request) -> Answer:
        _require_post(request)
        asked = read_request(await request.read())
        if asked.get("action") not in ("all", "dns", "ping"):
            raise PlatformError(47001, "action")
        probe = {
            "ip": "127.0.0.1",
            "from_operator": "DEFAULT",
            "package_loss": "0%",
            "time": "0.05ms",
        }
        return {"dns": [{"ip": "127.0.0.1", "real_operator": "DEFAULT"}], "ping": [probe]}

    async def _callback_ips(self, request: web.Request) -> Answer:
        return {"ip_list": ["127.0.0.1", "127.0.0.0/8"]}

    async def _clear_quota(self, request: web.Request) -> Answer:
        _require_post(request)
        if read_request(await request.read()).get("appid") != self._app_id:
            raise PlatformError(40013)
        return {"errcode": 0, "errmsg": "ok"}

    async def _user_info(self, request: web.Request) -> Answer:
        customer = self._customers.get(request.query.get("openid"))
        return self._profile(customer, request.query.get("lang", "zh_CN"))

    async def _user_infos(self, request: web.Request) -> Answer:
        """Up to 100 at once; one unknown id refuses them all."""
        _require_post(request)
        asked = read_request(await request.read()).get("user_list")
        if not isinstance(asked, list) or not 0 < len(asked) <= MAX_PEOPLE:
            raise PlatformError(40032)
        found = [self._customers.get(one.get("openid")) for one in asked if isinstance(one, dict)]
        self._journal.write("people", openids=[customer.openid for customer in found])
        return {"user_info_list": [self._profile(customer, "zh_CN") for customer in found]}

    def _profile(self, customer: Customer, language: str) -> Answer:
        """Nickname and picture are empty for everyone since 2021-12-27; ``unionid`` stands there only
        where the account is bound to an Open Platform account."""
        if not customer.is_following:
            return {"subscribe": 0, "openid": customer.openid, "tagid_list": []}
        return {
            "subscribe": 1,
            "openid": customer.openid,
            "nickname": "",
            "sex": 0,
            "language": language,
            "city": "",
            "province": "",
            "country": "",
            "headimgurl": "",
            "subscribe_time": int(customer.followed_at),
            "remark": "",
            "groupid": 0,
            "tagid_list": [],
            "subscribe_scene": "ADD_SCENE_SEARCH",
            "qr_scene": 0,
            "qr_scene_str": "",
            **({"unionid": customer.unionid} if customer.unionid else {}),
        }


def _require_post(request: web.Request) -> None:
    if request.method != "POST":
        raise PlatformError(43002)


async def _uploaded_file(request: web.Request) -> tuple[str, bytes]:
    """
    Raises:
        PlatformError: 41005, there is no file in the form field ``media``.
    """
    if not request.content_type.startswith("multipart/"):
        raise PlatformError(41005)
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == "media" and part.filename:
                return part.filename, bytes(await part.read())
    except ValueError as error:
        raise PlatformError(41005, "not a readable form") from error
    raise PlatformError(41005)


def _file_response(media: Media) -> web.Response:
    disposition = (
        f'attachment; filename="{media.media_id[:24]}.{media.filename.rpartition(".")[2]}"'
    )
    return web.Response(
        body=media.content,
        headers={
            "Content-Type": media.mime_type,
            "Content-disposition": disposition,
            "X-Content-Type-Options": "nosniff",
        },
    )


def _openid_in(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document.get("touser") if isinstance(document, dict) else None


def _shown(body: bytes) -> str:
    return body[:_SHOWN_BODY].decode("utf-8", "replace")
