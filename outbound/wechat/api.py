"""Calls to WeChat's API: described by wechatpy's catalogue, made by the hub's HTTP client."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from hub.channel import Account, HttpAnswer, Token, Tools
from hub.errors import Ambiguous, BadCredentials, Unreachable
from outbound._wechat_family import FamilyApi, call_url, token_in
from outbound.wechat.errors import EXPIRED, judge

__all__ = ["Api", "Call", "catalogue"]


class Call(NamedTuple):
    """A call as wechatpy describes it; *path* is below ``/cgi-bin/``."""

    method: str
    path: str
    params: Mapping[str, str]
    json: Any

    def url(self, api_base: str) -> str:
        """Where it goes, the token hidden."""
        return call_url(api_base, self.path, self.params)


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


class Api(FamilyApi):
    """The platform's API for one account."""

    expired = EXPIRED

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        super().__init__(account, tools)
        self._app_id: str = account.settings.app_id
        self._secret = account.settings.app_secret

    def judge(self, answer: HttpAnswer, *, speaks: bool) -> Mapping[str, Any]:
        """The facts in *answer*; see :func:`outbound.wechat.errors.judge`."""
        return judge(answer, self._tools.clock(), speaks=speaks)

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
        return token_in(self.judge(answer, speaks=False), "stable_token")
