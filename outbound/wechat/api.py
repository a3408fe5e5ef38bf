"""Calls to WeChat's API: described by wechatpy's catalogue, made by the hub's HTTP client."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from hub.channel import Account, HttpAnswer, Token, Tools
from hub.errors import Ambiguous, BadCredentials, Unreachable
from outbound.wechat.errors import EXPIRED, judge

__all__ = ["HIDDEN", "Api", "Call", "catalogue"]

HIDDEN = "***"
_UPLOAD_TIMEOUT = 60.0

Files = Mapping[str, tuple[str, bytes, str]]


class Call(NamedTuple):
    """A call as wechatpy describes it; *path* is below ``/cgi-bin/``."""

    method: str
    path: str
    params: Mapping[str, str]
    json: Any

    def url(self, api_base: str) -> str:
        """Where it goes, the token hidden."""
        query = urlencode({"access_token": HIDDEN, **self.params}, safe="*")
        return f"{api_base.rstrip('/')}/cgi-bin/{self.path}?{query}"


class _Describe:
    """Stands where wechatpy has its blocking client: describes the call instead of making it."""

    def get(self, url: str, params: Mapping[str, str] | None = None, **_rest: Any) -> Call:
        return Call("GET", url, params or {}, None)

    def post(
        self, url: str, params: Mapping[str, str] | None = None, data: Any = None, **_rest: Any
    ) -> Call:
        return Call("POST", url, params or {}, dict(data) if data else None)


class Catalogue(NamedTuple):
    """The parts of wechatpy's catalogue that we use; their methods return a :class:`Call`."""

    message: Any
    media: Any


@cache
def catalogue() -> Catalogue:
    """wechatpy's descriptions; imported late, since that takes a third of a second."""
    from wechatpy.client.api.media import WeChatMedia
    from wechatpy.client.api.message import WeChatMessage

    return Catalogue(WeChatMessage(_Describe()), WeChatMedia(_Describe()))


class Api:
    """The platform's API for one account: tokens, one refresh after "expired", judgement."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self.base: str = account.settings.api_base.rstrip("/")
        self._app_id: str = account.settings.app_id
        self._secret = account.settings.app_secret
        self._tools = tools

    async def call(
        self, method: str, url: str, *, speaks: bool, json: Any = None, files: Files | None = None
    ) -> Mapping[str, Any]:
        """The facts that *url* (its token hidden) answers with.

        Raises:
            SendError: the narrowest class that fits.
        """
        answer = await self.answer(method, url, speaks=speaks, json=json, files=files)
        return judge(answer, self._tools.clock(), speaks=speaks)

    async def answer(
        self, method: str, url: str, *, speaks: bool, json: Any = None, files: Files | None = None
    ) -> HttpAnswer:
        """What *url* answers, after at most one more try with another token."""
        token = await self.token()
        answer = await self._once(method, url, token, speaks=speaks, json=json, files=files)
        if _code(answer) in EXPIRED:
            token = await self.token(unlike=token)
            answer = await self._once(method, url, token, speaks=speaks, json=json, files=files)
        return answer

    async def _once(
        self, method: str, url: str, token: str, *, speaks: bool, json: Any, files: Files | None
    ) -> HttpAnswer:
        parts = urlsplit(url)
        params = {**dict(parse_qsl(parts.query)), "access_token": token}
        where = parts._replace(query="").geturl()
        timeout = _UPLOAD_TIMEOUT if files else 15.0
        try:
            return await self._tools.http(
                method, where, params=params, json=json, files=files, timeout=timeout
            )
        except Ambiguous as error:
            if speaks:
                raise
            raise Unreachable(error.detail) from error

    async def token(self, *, unlike: str | None = None) -> str:
        """An access token that is good now and not *unlike*."""
        return await self._tools.tokens.get("access_token", self.fetch_token, unlike=unlike)

    async def fetch_token(self) -> Token:
        """A token from ``stable_token``, which gives every caller the same one while it is good.

        Source: https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken
        """
        if not self._secret:
            raise BadCredentials("app_secret is not set")
        body = {
            "grant_type": "client_credential",
            "appid": self._app_id,
            "secret": self._secret.reveal(),
            "force_refresh": False,
        }
        try:
            answer = await self._tools.http("POST", f"{self.base}/cgi-bin/stable_token", json=body)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error
        facts = judge(answer, self._tools.clock(), speaks=False)
        return _token_in(facts)


def _token_in(facts: Mapping[str, Any]) -> Token:
    try:
        good_for = float(facts["expires_in"])
        value = facts["access_token"]
    except (KeyError, TypeError, ValueError):
        raise Unreachable("the answer of stable_token cannot be read") from None
    if not isinstance(value, str) or not value:
        raise Unreachable("the answer of stable_token has no token")
    return Token(value, max(good_for, 0.0))


def _code(answer: HttpAnswer) -> int | None:
    """The ``errcode`` of an answer that may be anything, a file too."""
    if answer.body.lstrip()[:1] != b"{" or len(answer.body) > 4096:
        return None
    try:
        return int(answer.json().get("errcode", 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
