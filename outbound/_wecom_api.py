"""Calls to enterprise WeChat's API, as the app channel and customer service both make them."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from hub.channel import Account, Check, HttpAnswer, Token, Tools
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    Rejected,
    SendError,
    Stale,
    Unreachable,
)
from hub.fetch import TooLarge
from hub.model import Attachment, Draft, Receipt, ReplyAttachment
from hub.text import single_line

__all__ = [
    "CORP_ERRORS",
    "EXPIRED",
    "MEDIA_LIMITS",
    "TEXT_LIMIT",
    "CorpApi",
    "CorpMedia",
    "advice_on",
    "call_url",
    "checked_callback",
    "checked_credentials",
    "checked_secrets",
    "filled",
    "judge",
]

HIDDEN = "***"
TEXT_LIMIT = 2048
MEDIA_LIMITS: Mapping[str, int] = {
    "image": 10 << 20,
    "voice": 2 << 20,
    "video": 10 << 20,
    "file": 20 << 20,
}

_UPLOAD_TIMEOUT = 60.0
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_HINT = re.compile(r"hint: \[([^\]]{1,80})\]")
_OUR_ADDRESS = re.compile(r"from ip: ([0-9a-fA-F.:]{3,45}?)(?:[,\s]|$)")
_FILE_GONE = "40007"
_NAMES_A_FILE = ("media_id", "thumb_media_id")

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
    query = urlencode({"access_token": HIDDEN, **params}, safe="*")
    return f"{api_base.rstrip('/')}/cgi-bin/{path}?{query}"


def judge(
    answer: HttpAnswer, errors: Mapping[int, type[SendError]], *, speaks: bool
) -> Mapping[str, Any]:
    """The facts in *answer*, which is a success; success is judged by the body.

    *speaks*: the call says something to the customer, so a doubtful answer may mean that it did.

    Raises:
        SendError: it is none.
    """
    doubt = Ambiguous if speaks else Unreachable
    if answer.status >= 500:
        raise doubt(f"HTTP {answer.status}")
    if answer.status == 429:
        raise RateLimited("HTTP 429", retry_after=_seconds(answer.headers.get("retry-after")))
    if answer.status >= 300:
        refusal = BadCredentials if answer.status in (401, 403, 407) else Rejected
        raise refusal(f"HTTP {answer.status}", external_code=answer.status)
    facts, code = _facts(answer)
    if facts is None or code is None:
        raise doubt("the answer cannot be read")
    if code != 0:
        raise _error_of(code, str(facts.get("errmsg", "")), errors)
    return facts


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


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None


def _facts(answer: HttpAnswer) -> tuple[Mapping[str, Any] | None, int | None]:
    """The body as JSON with its ``errcode``, which a success may lack."""
    try:
        facts = answer.json()
        return (facts, int(facts.get("errcode", 0))) if isinstance(facts, dict) else (None, None)
    except (ValueError, TypeError, RecursionError):
        return None, None


class CorpApi:
    """The platform's API for one account: tokens, one refresh after "expired", judgement."""

    def __init__(
        self, account: Account[Any], tools: Tools, errors: Mapping[int, type[SendError]]
    ) -> None:
        self.base: str = account.settings.api_base.rstrip("/")
        self._corp_id: str = account.settings.corp_id
        self._secret = account.settings.secret
        self._tools = tools
        self._errors = errors

    async def call(
        self,
        method: str,
        url: str,
        *,
        speaks: bool,
        json: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Mapping[str, Any]:
        """The facts that *url* (its token hidden) answers with.

        Raises:
            SendError: the narrowest class that fits; TooLarge: more than the hub reads of an answer.
        """
        answer = await self.answer(method, url, speaks=speaks, json=json, files=files)
        return self.judge(answer, speaks=speaks)

    def judge(self, answer: HttpAnswer, *, speaks: bool) -> Mapping[str, Any]:
        """The facts in *answer* by this channel's table; see :func:`judge`."""
        return judge(answer, self._errors, speaks=speaks)

    async def post(self, path: str, json: Any) -> Mapping[str, Any]:
        """The facts that the call *path*, which tells no customer anything, answers with."""
        return await self.call("POST", call_url(self.base, path), speaks=False, json=json)

    async def answer(
        self,
        method: str,
        url: str,
        *,
        speaks: bool,
        json: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> HttpAnswer:
        """What *url* answers, after at most one more try with another token."""
        token = await self._token()
        answer = await self._once(method, url, token, speaks=speaks, json=json, files=files)
        if _code(answer) in EXPIRED:
            token = await self._token(unlike=token)
            answer = await self._once(method, url, token, speaks=speaks, json=json, files=files)
        return answer

    async def _once(
        self,
        method: str,
        url: str,
        token: str,
        *,
        speaks: bool,
        json: Any,
        files: Mapping[str, tuple[str, bytes, str]] | None,
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
            if isinstance(error.__cause__, TooLarge):  # asked for again it is as large
                raise error.__cause__ from error
            raise Unreachable(error.detail) from error

    async def say(self, draft: Draft, results: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make the call of *draft*, which speaks, with the results of earlier calls in it.

        Raises:
            Stale: a file that it names is not there any more.
            SendError: the narrowest class that fits.
        """
        body = filled(draft.json, results)
        try:
            return await self.call(draft.method, draft.url, json=body, speaks=True)
        except Rejected as error:
            if error.external_code == _FILE_GONE and body != draft.json:
                raise Stale(error.detail, external_code=_FILE_GONE) from error
            raise

    async def upload(self, draft: Draft) -> Receipt:
        """Upload the file of the prepare draft *draft*; its ``media_id`` is the result."""
        attachment = msgspec.convert(draft.extra["attachment"], ReplyAttachment)
        content = await self._tools.media.read(attachment)
        media = (draft.form or {})["media"]
        files = {"media": (media["filename"], content, media["content_type"])}
        facts = await self.call(draft.method, draft.url, files=files, speaks=False)
        if not facts.get("media_id"):
            raise Unreachable("the answer to the upload has no media_id")
        return Receipt(status="sent", results={draft.result or "media_id": facts["media_id"]})

    async def _token(self, *, unlike: str | None = None) -> str:
        return await self._tools.tokens.get("access_token", self.fetch_token, unlike=unlike)

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
        return _token_in(judge(answer, CORP_ERRORS, speaks=False))


def _token_in(facts: Mapping[str, Any]) -> Token:
    try:
        good_for = float(facts["expires_in"])
        value = facts["access_token"]
    except (KeyError, TypeError, ValueError):
        raise Unreachable("the answer of gettoken cannot be read") from None
    if not isinstance(value, str) or not value:
        raise Unreachable("the answer of gettoken has no token")
    return Token(value, max(good_for, 0.0))


def _code(answer: HttpAnswer) -> int | None:
    """The ``errcode`` of an answer that may be anything, a file too."""
    if answer.body.lstrip()[:1] != b"{" or len(answer.body) > 4096:
        return None
    try:
        return int(answer.json().get("errcode", 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def filled(body: Any, results: Mapping[str, Any]) -> Any:
    """*body* with the results of earlier calls where it names a file; texts stay as they are."""
    if not isinstance(body, Mapping):
        return body
    return {
        name: _result(value, results) if name in _NAMES_A_FILE else filled(value, results)
        for name, value in body.items()
    }


def _result(value: Any, results: Mapping[str, Any]) -> Any:
    found = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[1] not in results:
        raise Rejected(f"the upload {found[1]} has not been made")
    return results[found[1]]


# --- files that customers sent ----------------------------------------------------------------------


class CorpMedia:
    """Fetches what somebody sent; the platform keeps it for 3 days.

    Source: https://developer.work.weixin.qq.com/document/path/90254
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = CorpApi(account, tools, CORP_ERRORS)
        self._tools = tools

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The file. A picture sent to an app is also at a public address.

        Raises:
            SendError: it cannot be had.
        """
        picture = attachment.source.get("pic_url")
        try:
            content = await self._by_id(str(attachment.source.get("media_id") or ""))
        except (BadCredentials, Rejected):
            if not picture:
                raise
            content = await self._by_url(str(picture))
        yield content

    async def _by_id(self, media_id: str) -> bytes:
        if not media_id:
            raise Rejected("the message names no file")
        url = call_url(self._api.base, "media/get", media_id=media_id)
        answer = await self._api.answer("GET", url, speaks=False)
        if answer.status == 200 and not _is_error(answer):
            return answer.body
        self._api.judge(answer, speaks=False)
        raise Unreachable("the answer is no file")

    async def _by_url(self, url: str) -> bytes:
        answer = await self._tools.http("GET", url, timeout=_UPLOAD_TIMEOUT)
        if answer.status != 200:
            kind = Unreachable if answer.status >= 500 else Rejected
            raise kind(f"HTTP {answer.status}", external_code=answer.status)
        return answer.body


def _is_error(answer: HttpAnswer) -> bool:
    """True for an error inside HTTP 200; a file that a person sent may be JSON too."""
    named = "filename" in answer.headers.get("content-disposition", "").lower()
    return not named and answer.body.lstrip()[:1] == b"{"


# --- hub check --------------------------------------------------------------------------------------


def checked_callback(
    account: Account[Any], public_url: str | None, where: str, more: str = ""
) -> Check:
    """What to paste under *where* in the console, and what *more* to do there."""
    if not public_url:
        advice = "set public_url under [hub] to the address that the platform can reach"
        return Check(False, "callback URL", "unknown", advice)
    secret = "/<intake_secret>" if account.settings.intake_secret else ""
    url = f"{public_url.rstrip('/')}/in/{account.channel}/{account.name}{secret}"
    advice = f"paste it under {where} → URL{more}"
    return Check(url.startswith(("https://", "http://")), "callback URL", url, advice)


def checked_secrets(account: Account[Any], where: str) -> Check:
    """Their lengths only: what is wrong in form is a mistake of the settings, told at the start."""
    token, key = account.settings.token.reveal(), account.settings.aes_key.reveal()
    detail = f"Token of {len(token)} characters, EncodingAESKey of {len(key)}"
    return Check(True, "token and key", detail, f"paste the same two under {where}")


async def checked_credentials(api: CorpApi) -> Check:
    """Whether the platform gives a token for the corp id and secret."""
    try:
        await api.fetch_token()
    except SendError as error:
        detail = f"{error.sentence} {error.detail}"
        return Check(False, "corp id and secret", detail, advice_on(error))
    return Check(True, "corp id and secret", "the platform gives a token for them")


def advice_on(error: SendError) -> str:
    """What an admin does about *error*."""
    return error.advice or "see the channel's page under docs/channels"
