"""Calls to the QQ bot API: tokens, one refresh after "expired", judgement, uploads in parts.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/api-use.html (tokens),
…/server-inter/message/send-receive/rich-media.html (files)
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hub.channel import Account, HttpAnswer, Token, Tools
from hub.errors import Ambiguous, Rejected, SendError, Unreachable
from outbound.qq.errors import ERRORS, EXPIRED, TOKEN_ERRORS, codes_of, facts_of, judge

__all__ = ["HIDDEN", "QqApi"]

HIDDEN = "QQBot ***"

_MARGIN_S = 45.0  # a new token is given only in the last 60 s of the old one, which stays good
_UPLOAD_TIMEOUT = 60.0
_FIRST_BYTES = 10_002_432  # what md5_10m is made of
_OTHER_401 = frozenset(ERRORS) - {EXPIRED}


class _Part(NamedTuple):
    number: int
    url: str
    size: int


class QqApi:
    """The platform's API for one bot."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self.base: str = settings.api_base.rstrip("/")
        self._token_base: str = (settings.token_api_base or settings.api_base).rstrip("/")
        self._app_id: str = settings.app_id
        self._secret = settings.secret
        self._tools = tools

    async def call(
        self, method: str, url: str, *, speaks: bool, json: Any = None
    ) -> Mapping[str, Any]:
        """The facts that *url* answers with.

        Raises:
            SendError: the narrowest class that fits.
        """
        return judge(await self.answer(method, url, speaks=speaks, json=json), speaks=speaks)

    async def answer(self, method: str, url: str, *, speaks: bool, json: Any = None) -> HttpAnswer:
        """What *url* answers, after at most one more try with another token."""
        token = await self.token()
        answer = await self._once(method, url, token, speaks=speaks, json=json)
        if _is_expired(answer):
            token = await self.token(unlike=token)
            answer = await self._once(method, url, token, speaks=speaks, json=json)
        return answer

    async def _once(
        self, method: str, url: str, token: str, *, speaks: bool, json: Any
    ) -> HttpAnswer:
        headers = {"Authorization": f"QQBot {token}", "X-Union-Appid": self._app_id}
        try:
            return await self._tools.http(method, url, headers=headers, json=json)
        except Ambiguous as error:
            if speaks:
                raise
            raise Unreachable(error.detail) from error

    async def token(self, *, unlike: str | None = None) -> str:
        """An access token that is good now and not *unlike*."""
        return await self._tools.tokens.get("access_token", self.fetch_token, unlike=unlike)

    async def fetch_token(self) -> Token:
        """A token; asked again the platform gives the same one, until its last minute.

        ``expires_in`` is a number or a text, and what is left of it. A refusal comes inside 200.
        """
        body = {"appId": self._app_id, "clientSecret": self._secret.reveal()}
        url = f"{self._token_base}/app/getAppAccessToken"
        try:
            answer = await self._tools.http("POST", url, json=body)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error
        facts = judge(answer, speaks=False, errors=TOKEN_ERRORS)
        value = facts.get("access_token")
        if not isinstance(value, str) or not value:
            raise Unreachable("the answer has no access_token")
        return Token(value, _seconds(facts.get("expires_in")), _MARGIN_S)

    # -- files ---------------------------------------------------------------------------------------

    async def upload(self, url: str, asked: Mapping[str, Any], content: bytes) -> Mapping[str, Any]:
        """Upload *content* in the parts that the platform asks for; *url* is that of ``…/files``.

        All of it may be repeated: nothing is said before a message names the file.
        """
        base = url.removesuffix("/files")
        described = {
            **{name: asked[name] for name in ("file_type", "file_name")},
            "file_size": str(len(content)),
            "md5": _md5(content),
            "sha1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            "md5_10m": _md5(content[:_FIRST_BYTES]),
        }
        plan = await self.call("POST", f"{base}/upload_prepare", speaks=False, json=described)
        upload_id = plan.get("upload_id")
        if not isinstance(upload_id, str) or not upload_id:
            raise Unreachable("the answer of upload_prepare has no upload_id")
        begin = 0
        for part in _parts(plan, len(content)):
            piece = content[begin : begin + part.size]
            begin += len(piece)
            await self._put(part.url, piece)
            finished = {
                "upload_id": upload_id,
                "part_index": part.number,
                "block_size": str(len(piece)),
                "md5": _md5(piece),
            }
            await self.call("POST", f"{base}/upload_part_finish", speaks=False, json=finished)
        merged = {**asked, "upload_id": upload_id}
        facts = await self.call("POST", url, speaks=False, json=merged)
        if not facts.get("file_info"):
            raise Unreachable("the answer of files has no file_info")
        return facts

    async def _put(self, url: str, piece: bytes) -> None:
        try:
            answer = await self._tools.http("PUT", url, data=piece, timeout=_UPLOAD_TIMEOUT)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error
        if answer.status >= 300:
            kind: type[SendError] = Unreachable if answer.status >= 500 else Rejected
            raise kind(f"HTTP {answer.status} for a part of the file", external_code=answer.status)


def _is_expired(answer: HttpAnswer) -> bool:
    codes = set(codes_of(facts_of(answer) or {})) if len(answer.body) <= 4096 else set()
    return EXPIRED in codes or (answer.status == 401 and not codes & _OTHER_401)


def _seconds(value: Any) -> float:
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        raise Unreachable("the answer does not say how long the token is good for") from None


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _parts(plan: Mapping[str, Any], size: int) -> Sequence[_Part]:
    """The parts in the order in which they lie in the file; their sizes are numbers or texts.

    Raises:
        Unreachable: they are not the whole file.
    """
    found = plan.get("parts")
    try:
        parts = [
            _Part(
                int(one.get("index", one.get("part_index"))),
                str(one["presigned_url"]),
                int(one.get("block_size") or plan["block_size"]),
            )
            for one in (found if isinstance(found, list) else ())
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Unreachable("the answer of upload_prepare cannot be read") from None
    parts.sort(key=lambda part: part.number)
    if sum(part.size for part in parts) < size or any(part.size <= 0 for part in parts):
        raise Unreachable("the parts of upload_prepare are not the whole file")
    return parts
