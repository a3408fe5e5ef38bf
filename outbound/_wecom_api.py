"""Calls to enterprise WeChat's API, as the app channel and customer service both make them."""

import re
from collections.abc import Mapping
from typing import Any

from hub.channel import Account, HttpAnswer, Token, Tools
from hub.errors import Ambiguous, BadCredentials, RateLimited, Rejected, SendError, Unreachable
from hub.text import single_line
from outbound import _wechat_family as family
from outbound._wechat_family import FamilyApi, FamilyMedia, facts_in, token_in

__all__ = [
    "CORP_ERRORS",
    "EXPIRED",
    "MEDIA_LIMITS",
    "TEXT_LIMIT",
    "CorpApi",
    "CorpMedia",
    "call_url",
    "judge",
]

TEXT_LIMIT = 2048
MEDIA_LIMITS: Mapping[str, int] = {
    "image": 10 << 20,
    "voice": 2 << 20,
    "video": 10 << 20,
    "file": 20 << 20,
}

_HINT = re.compile(r"hint: \[([^\]]{1,80})\]")
_OUR_ADDRESS = re.compile(r"from ip: ([0-9a-fA-F.:]{3,45}?)(?:[,\s]|$)")

# The token that we used is no longer good: fetch another, once.
EXPIRED = frozenset(
    {
        40001,  # [G] invalid credential; also a wrong secret, which the second try tells
        40014,  # [D] invalid access_token
        42001,  # [D] access_token expired
    }
)

# What every interface may answer. Sources: [D] https://developer.work.weixin.qq.com/document/path/90313,
# [G] errcodes/mod.go of xen0n/go-workwx, [O] reports in the developers' forum.
CORP_ERRORS: Mapping[int, type[SendError]] = {
    -1: RateLimited,  # [D] system busy, at most 3 tries; answered, so nothing went out
    6000: RateLimited,  # [D] two calls changed the same thing at once
    45009: RateLimited,  # [D] too many calls; the block lasts as long as the minute or hour
    45033: RateLimited,  # [D] too many calls at the same time
    40001: BadCredentials,  # [D] wrong secret
    40013: BadCredentials,  # [D] wrong corp id
    40014: BadCredentials,  # [D] still refused with a fresh token
    40091: BadCredentials,  # [G] secret of another kind
    41001: BadCredentials,  # [D] access_token missing
    42001: BadCredentials,  # [D] still expired with a fresh token
    48002: BadCredentials,  # [D] the app has no right to this interface
    50001: BadCredentials,  # [G] the app is not authorised
    50003: BadCredentials,  # [G] the app is disabled
    60011: BadCredentials,  # [D] the app may not touch this
    60020: BadCredentials,  # [D] our address is not among the trusted ones; errmsg names it
    40003: Rejected,  # [D] userid unknown
    40004: Rejected,  # [D] kind of file
    40005: Rejected,  # [D] type of file
    40006: Rejected,  # [D] size of file
    40007: Rejected,  # [D] media_id unknown or expired
    40008: Rejected,  # [D] message type
    40058: Rejected,  # [D] a parameter; errmsg names it
    40201: Rejected,  # [G] words that are not allowed
    44001: Rejected,  # [D] empty file
    44004: Rejected,  # [D] empty text
    45002: Rejected,  # [D] text too long
    45007: Rejected,  # [D] voice too long
    45008: Rejected,  # [D] too many articles
    90207: Rejected,  # [G] mini program that is not linked to the enterprise
}

_OTHERS = "secret is not that of an app of corp_id: copy it again from 应用管理 → the app"
_FIXES: Mapping[int, str] = {
    40001: _OTHERS,
    40091: _OTHERS,
    40013: "copy corp_id again from 我的企业 → 企业信息",
    48002: "let the app use this interface: 应用管理 → the app → 权限, or 可调用接口的应用",
    50003: "switch the app on again: 应用管理 → the app",
}

_PAUSES: Mapping[int, float] = {-1: 1.0, 6000: 1.0, 45033: 2.0, 45009: 60.0}


def call_url(api_base: str, path: str, **params: str) -> str:
    """Where the call *path* (below ``/cgi-bin/``) goes, the token hidden."""
    return family.call_url(api_base, path, params)


def judge(
    answer: HttpAnswer, errors: Mapping[int, type[SendError]], *, speaks: bool
) -> Mapping[str, Any]:
    """The facts in *answer* by the table *errors*; see :func:`outbound._wechat_family.facts_in`."""
    return facts_in(answer, lambda code, text: _error_of(code, text, errors), speaks=speaks)


def _error_of(code: int, message: str, errors: Mapping[int, type[SendError]]) -> SendError:
    """The error behind *code*; one that we do not know is a refusal that names it."""
    hint = _HINT.search(message)
    return errors.get(code, Rejected)(
        single_line(message, 300),
        external_code=code,
        trace_id=hint[1] if hint else None,
        retry_after=_PAUSES.get(code),
        advice=_fix(code, message),
    )


def _fix(code: int, message: str) -> str | None:
    """What the enterprise's admin does about *code*."""
    if code == 60020:
        address = _OUR_ADDRESS.search(message)
        named = address[1] if address else "our address"
        return (
            f"add {named} under 应用管理 → the app → 企业可信IP (it takes about a minute), "
            "or set proxy to a listed address"
        )
    return _FIXES.get(code)


class CorpApi(FamilyApi):
    """The platform's API for one account."""

    expired = EXPIRED

    def __init__(
        self, account: Account[Any], tools: Tools, errors: Mapping[int, type[SendError]]
    ) -> None:
        super().__init__(account, tools)
        self._corp_id: str = account.settings.corp_id
        self._secret = account.settings.secret
        self._errors = errors

    def judge(self, answer: HttpAnswer, *, speaks: bool) -> Mapping[str, Any]:
        """The facts in *answer* by this channel's table; see :func:`judge`."""
        return judge(answer, self._errors, speaks=speaks)

    async def post(self, path: str, json: Any) -> Mapping[str, Any]:
        """The facts that the call *path*, which tells no customer anything, answers with."""
        return await self.call("POST", call_url(self.base, path), speaks=False, json=json)

    async def fetch_token(self) -> Token:
        """A token of this corp id and secret; every caller gets the same one while it is good.

        Source: https://developer.work.weixin.qq.com/document/path/91039
        """
        if not self._secret:
            raise BadCredentials("secret is not set")
        params = {"corpid": self._corp_id, "corpsecret": self._secret.reveal()}
        try:
            answer = await self._tools.http("GET", f"{self.base}/cgi-bin/gettoken", params=params)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error
        return token_in(judge(answer, CORP_ERRORS, speaks=False), "gettoken")


class CorpMedia(FamilyMedia):
    """Fetches what somebody sent; the platform keeps it for 3 days.

    Source: https://developer.work.weixin.qq.com/document/path/90254
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = CorpApi(account, tools, CORP_ERRORS)
        self._tools = tools

    async def _by_id(self, media_id: str) -> bytes:
        url = call_url(self._api.base, "media/get", media_id=media_id)
        answer = await self._api.answer("GET", url, speaks=False)
        if answer.status == 200 and not _is_error(answer):
            return answer.body
        self._api.judge(answer, speaks=False)
        raise Unreachable("the answer is no file")


def _is_error(answer: HttpAnswer) -> bool:
    """True for an error inside HTTP 200; a file that a person sent may be JSON too."""
    named = "filename" in answer.headers.get("content-disposition", "").lower()
    return not named and answer.body.lstrip()[:1] == b"{"
