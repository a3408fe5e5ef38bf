"""What WeChat's error codes mean; nearly all of them come inside HTTP 200.

Sources: [D] https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html,
[W] the enumeration WxMpErrorMsgEnum of binarywang/WxJava, [O] reports in the developers' forum.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from hub.channel import HttpAnswer
from hub.errors import BadCredentials, RateLimited, RecipientGone, Rejected, SendError, WindowClosed
from hub.text import single_line
from outbound._wechat_family import facts_in

__all__ = ["ERRORS", "EXPIRED", "NOT_TYPING", "error_of", "judge"]

# The token that we used is no longer good: fetch another, once.
EXPIRED = frozenset(
    {
        40001,  # [D] invalid credential: the token is wrong or not the latest (or the secret is)
        40014,  # [D] invalid access_token
        41001,  # [D] access_token missing
        42001,  # [D] access_token expired
    }
)

# Typing cannot be shown now: a bad command, nothing from the customer in 30 s, shown already.
NOT_TYPING = frozenset({"45072", "45080", "45081"})

ERRORS: Mapping[int, type[SendError]] = {
    -1: RateLimited,  # [D] system busy, try again; answered, so nothing went out
    45011: RateLimited,  # [D] too frequent, per minute
    45009: RateLimited,  # [D] daily quota of the interface, until midnight in China
    40001: BadCredentials,  # [D] still refused with a fresh token
    40014: BadCredentials,  # [D] the same
    41001: BadCredentials,  # [D] the same
    42001: BadCredentials,  # [D] the same
    40013: BadCredentials,  # [D] invalid app id
    40125: BadCredentials,  # [D] invalid app secret
    40164: BadCredentials,  # [D] our address is not in the account's list; errmsg names it
    48001: BadCredentials,  # [D] the account has no right to this interface
    48004: BadCredentials,  # [D] the interface is banned
    50002: BadCredentials,  # [D] the account is limited
    61450: BadCredentials,  # [W] system error of the customer-service interface
    45015: WindowClosed,  # [D] 48 h over, or the person does not follow
    45047: WindowClosed,  # [D] all replies to the last message used up
    40003: RecipientGone,  # [D] the openid is not one of this account
    43004: RecipientGone,  # [D] does not follow the account
    43019: RecipientGone,  # [D] put on the account's blacklist
    43101: RecipientGone,  # [D] refused the subscription message, or the grant is used up
    48002: RecipientGone,  # [D] refuses messages from the account
    50005: RecipientGone,  # [D] does not follow the account
    40007: Rejected,  # [D] media_id unknown or expired
    40008: Rejected,  # [D] message type
    40033: Rejected,  # [D] \uXXXX escapes
    40037: Rejected,  # [D] template id
    40200: Rejected,  # [O] message type not open to this kind of account
    43117: Rejected,  # [O] template too frequent to this person
    44002: Rejected,  # [D] empty body
    44004: Rejected,  # [D] empty text
    45001: Rejected,  # [D] file too large
    45002: Rejected,  # [D] text too long
    45003: Rejected,  # [D] title too long
    45008: Rejected,  # [D] too many articles
    45162: Rejected,  # [W] message type
    47001: Rejected,  # [D] malformed JSON
    47003: Rejected,  # [D] a field of a template breaks its type
    48008: Rejected,  # [D] message type not permitted
}

# What the owner of the account has to do, by the platform's code.
_FIXES: Mapping[int, str] = {
    40001: "app_secret is not that of app_id: copy it again from 基本配置 → AppSecret",
    40125: "app_secret is not that of app_id: copy it again from 基本配置 → AppSecret",
    40013: "copy app_id again from 基本配置 → AppID",
    40164: "add {address} under 基本配置 → IP白名单 (it takes minutes), or set proxy to a listed address",
    48001: "the account has no right to this interface: get it verified (微信认证), or set passive = true",
    48004: "the platform has banned this interface for the account: see its notices in the console",
    50002: "the platform has limited the account: see its notices in the console",
}

_CHINA = timezone(timedelta(hours=8))
_ADDRESS = re.compile(r"\b(\d{1,3}(?:\.\d{1,3}){3})\b")
_TRACE = re.compile(r"\brid:\s*([0-9A-Za-z-]+)")


def error_of(code: int, message: str, now: datetime) -> SendError:
    """The error behind *code*; one that we do not know is a refusal that names it."""
    trace = _TRACE.search(message)
    return ERRORS.get(code, Rejected)(
        single_line(message, 300),
        external_code=code,
        trace_id=trace[1] if trace else None,
        retry_after=_retry_after(code, now),
        advice=_fix(code, message),
    )


def _fix(code: int, message: str) -> str | None:
    fix, found = _FIXES.get(code), _ADDRESS.search(message)
    return fix.format(address=found[1] if found else "our address") if fix else None


def _retry_after(code: int, now: datetime) -> float | None:
    if code == -1:
        return 1.0
    if code == 45011:
        return 60.0
    if code != 45009:
        return None
    here = now.astimezone(_CHINA)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - here).total_seconds()


def judge(answer: HttpAnswer, now: datetime, *, speaks: bool) -> Mapping[str, Any]:
    """The facts in *answer*, which is a success; see :func:`outbound._wechat_family.facts_in`."""
    return facts_in(answer, lambda code, text: error_of(code, text, now), speaks=speaks)
