"""How a call to enterprise WeChat runs: faults, the token, and errors inside HTTP 200."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from sandbox.faults import Fault, FaultBox, answered
from sandbox.http import Handler
from sandbox.journal import Clock, Journal
from sandbox.wechat.media import Media, MediaStore
from sandbox.wechat.sending import read_request
from sandbox.wechat.tokens import LIFETIME_SECONDS, TokenOffice
from sandbox.wecom.errors import PlatformError, answer_of

__all__ = ["Answer", "Calls", "CorpTokens", "asked_of", "required"]

Answer = dict[str, Any]
Act = Callable[[web.Request], Awaitable[Answer | web.Response]]


class CorpTokens(TokenOffice):
    """gettoken: every caller gets the same token while it is good; an unknown one is 40014."""

    def __init__(self, clock: Clock, lifetime: float = LIFETIME_SECONDS) -> None:
        super().__init__(clock, lifetime)

    def check(self, value: str | None) -> None:
        """
        Raises:
            PlatformError: 41001 none given, 40014 unknown or revoked, 42001 expired.
        """
        try:
            super().check(value)
        except PlatformError as error:
            raise PlatformError(40014 if error.code == 40001 else error.code) from error


class Calls:
    """What the APIs of the app and of customer service have in common."""

    def __init__(
        self,
        corp_id: str,
        secret: str,
        *,
        tokens: TokenOffice,
        media: MediaStore,
        faults: FaultBox,
        journal: Journal,
    ) -> None:
        self._corp_id = corp_id
        self._secret = secret
        self._tokens = tokens
        self._media = media
        self._faults = faults
        self._journal = journal

    def common_routes(self) -> list[web.RouteDef]:
        """Tokens, files, addresses."""
        return [
            web.route("*", "/cgi-bin/gettoken", self.call(self._gettoken, with_token=False)),
            web.route("*", "/cgi-bin/media/upload", self.call(self._upload)),
            web.route("*", "/cgi-bin/media/get", self.call(self._download)),
            web.route("*", "/cgi-bin/getcallbackip", self.call(self._callback_ips)),
        ]

    def call(self, act: Act, *, with_token: bool = True) -> Handler:
        """*act* as a handler: with the faults that are switched on, and only for good tokens."""

        async def say(request: web.Request) -> web.Response:
            return await self._act(request, act, with_token)

        async def handler(request: web.Request) -> web.StreamResponse:
            return await answered(
                request, say, faults=self._faults, journal=self._journal, refuse=_refuse
            )

        return handler

    async def _act(self, request: web.Request, act: Act, with_token: bool) -> web.Response:
        try:
            if with_token:
                self._tokens.check(request.query.get("access_token"))
            answer = await act(request)
        except PlatformError as error:
            return _json(answer_of(error))
        if isinstance(answer, web.Response):
            return answer
        return _json({"errcode": 0, "errmsg": "ok", **answer})

    # -- what both have ------------------------------------------------------------------------------

    async def _gettoken(self, request: web.Request) -> Answer:
        if request.query.get("corpid") != self._corp_id:
            raise PlatformError(40013)
        if request.query.get("corpsecret") != self._secret:
            raise PlatformError(40001)
        value, seconds = self._tokens.stable()
        self._journal.write("token")
        return {"access_token": value, "expires_in": seconds}

    async def _upload(self, request: web.Request) -> Answer:
        filename, content = await _uploaded_file(request)
        media = self._media.upload(request.query.get("type", ""), filename, content)
        self._journal.write("upload", media_id=media.media_id, type=media.kind, filename=filename)
        made_at = str(int(media.made_at))  # a text here, a number on official accounts
        return {"type": media.kind, "media_id": media.media_id, "created_at": made_at}

    async def _download(self, request: web.Request) -> Answer | web.Response:
        media = self._media.get(request.query.get("media_id"))
        self._journal.write("download", media_id=media.media_id)
        return _file(media)

    async def _callback_ips(self, request: web.Request) -> Answer:
        return {"ip_list": ["127.0.0.1"]}


async def asked_of(request: web.Request) -> dict[str, Any]:
    """The JSON object of a POST.

    Raises:
        PlatformError: 43002 not a POST, 44002 empty, 47001 not a JSON object.
    """
    if request.method != "POST":
        raise PlatformError(43002)
    return read_request(await request.read())


def required(content: Mapping[str, Any], name: str, most_bytes: int | None = None) -> str:
    """The text field *name*.

    Raises:
        PlatformError: 40058, it is missing, empty, no text, or too long.
    """
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise PlatformError(40058, f"miss {name}")
    if most_bytes is not None and len(value.encode()) > most_bytes:
        raise PlatformError(40058, f"{name} exceed max length {most_bytes}")
    return value


def _refuse(fault: Fault) -> web.Response:
    return _json(answer_of(PlatformError(fault.code)))


def _json(answer: Mapping[str, object]) -> web.Response:
    body = json.dumps(answer, ensure_ascii=False).encode()
    return web.Response(body=body, headers={"Content-Type": "application/json; charset=UTF-8"})


def _file(media: Media) -> web.Response:
    disposition = f'attachment; filename="{media.filename}"'
    headers = {"Content-Type": media.mime_type, "Content-disposition": disposition}
    return web.Response(body=media.content, headers=headers)


async def _uploaded_file(request: web.Request) -> tuple[str, bytes]:
    """
    Raises:
        PlatformError: 44001, there is no file in the form field ``media``.
    """
    if request.method == "POST" and request.content_type.startswith("multipart/"):
        try:
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader) and part.name == "media" and part.filename:
                    return part.filename, bytes(await part.read())
        except ValueError as error:
            raise PlatformError(44001, "not a readable form") from error
    raise PlatformError(44001)
