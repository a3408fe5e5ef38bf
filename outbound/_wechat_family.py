"""The API that WeChat and enterprise WeChat have in common.

A token in the query, an ``errcode`` in the body of HTTP 200, files by ``media_id``.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Set
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from hub.channel import Account, HttpAnswer, Token, Tools
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
from outbound._calls import filled, retry_after

__all__ = ["FamilyApi", "FamilyMedia", "call_url", "facts_in", "filled_in", "token_in"]

HIDDEN = "***"
UPLOAD_TIMEOUT = 60.0

_FILE_GONE = "40007"  # the file that a message names is too old, or another account's
_NAMES_A_FILE = frozenset({"media_id", "thumb_media_id", "MediaId"})

Files = Mapping[str, tuple[str, bytes, str]]


def call_url(api_base: str, path: str, params: Mapping[str, str]) -> str:
    """Where the call *path* (below ``/cgi-bin/``) goes, the token hidden."""
    return _call_url(api_base, path, tuple(params.items()))


@lru_cache(maxsize=256)
def _call_url(api_base: str, path: str, params: tuple[tuple[str, str], ...]) -> str:
    query = urlencode({"access_token": HIDDEN, **dict(params)}, safe="*")
    return f"{api_base.rstrip('/')}/cgi-bin/{path}?{query}"


def filled_in(body: Any, results: Mapping[str, Any]) -> Any:
    """*body* with the results of earlier calls where it names a file; texts stay as they are.

    Raises:
        Rejected: it names a file that was not uploaded.
    """
    return filled(body, results, _NAMES_A_FILE)


def facts_in(
    answer: HttpAnswer, error_of: Callable[[int, str], SendError], *, speaks: bool
) -> Mapping[str, Any]:
    """The facts in *answer*, which is a success; success is judged by the body.

    *error_of* makes the error of a code and its message. *speaks*: the call says something to the
    customer, so a doubtful answer may mean that it did.

    Raises:
        SendError: it is none.
    """
    doubt = Ambiguous if speaks else Unreachable
    if answer.status >= 500:
        raise doubt(f"HTTP {answer.status}")
    if answer.status == 429:
        raise RateLimited("HTTP 429", retry_after=retry_after(answer))
    if answer.status >= 300:
        refusal = BadCredentials if answer.status in (401, 403, 407) else Rejected
        raise refusal(f"HTTP {answer.status}", external_code=answer.status)
    facts, code = _facts(answer)
    if facts is None or code is None:
        raise doubt("the answer cannot be read")
    if code != 0:
        raise error_of(code, str(facts.get("errmsg", "")))
    return facts


def _facts(answer: HttpAnswer) -> tuple[Mapping[str, Any] | None, int | None]:
    """The body as JSON with its ``errcode``, which a success may lack."""
    try:
        facts = answer.json()
        return (facts, int(facts.get("errcode", 0))) if isinstance(facts, dict) else (None, None)
    except (ValueError, TypeError, RecursionError):
        return None, None


def token_in(facts: Mapping[str, Any], call: str) -> Token:
    """The token that *call* has answered with."""
    try:
        good_for = float(facts["expires_in"])
        value = facts["access_token"]
    except (KeyError, TypeError, ValueError):
        raise Unreachable(f"the answer of {call} cannot be read") from None
    if not isinstance(value, str) or not value:
        raise Unreachable(f"the answer of {call} has no token")
    return Token(value, max(good_for, 0.0))


def _code(answer: HttpAnswer) -> int | None:
    """The ``errcode`` of an answer that may be anything, a file too."""
    if answer.body.lstrip()[:1] != b"{" or len(answer.body) > 4096:
        return None
    try:
        return int(answer.json().get("errcode", 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


class FamilyApi(ABC):
    """The API for one account: tokens, one refresh after "expired", judgement, uploads."""

    expired: ClassVar[Set[int]]
    """The codes that say that the token is no longer good: another is fetched, once."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self.base: str = account.settings.api_base.rstrip("/")
        self._tools = tools

    @abstractmethod
    def judge(self, answer: HttpAnswer, *, speaks: bool) -> Mapping[str, Any]:
        """The facts in *answer* by this channel's table; see :func:`facts_in`."""

    @abstractmethod
    async def fetch_token(self) -> Token:
        """A token; every caller gets the same one while it is good."""

    async def call(
        self, method: str, url: str, *, speaks: bool, json: Any = None, files: Files | None = None
    ) -> Mapping[str, Any]:
        """The facts that *url* (its token hidden) answers with.

        Raises:
            SendError: the narrowest class that fits; TooLarge: more than the hub reads of an answer.
        """
        answer = await self.answer(method, url, speaks=speaks, json=json, files=files)
        return self.judge(answer, speaks=speaks)

    async def answer(
        self, method: str, url: str, *, speaks: bool, json: Any = None, files: Files | None = None
    ) -> HttpAnswer:
        """What *url* answers, after at most one more try with another token."""
        token = await self.token()
        answer = await self._once(method, url, token, speaks=speaks, json=json, files=files)
        if _code(answer) in self.expired:
            token = await self.token(unlike=token)
            answer = await self._once(method, url, token, speaks=speaks, json=json, files=files)
        return answer

    async def _once(
        self, method: str, url: str, token: str, *, speaks: bool, json: Any, files: Files | None
    ) -> HttpAnswer:
        parts = urlsplit(url)
        params = {**dict(parse_qsl(parts.query)), "access_token": token}
        where = parts._replace(query="").geturl()
        timeout = UPLOAD_TIMEOUT if files else 15.0
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

    async def token(self, *, unlike: str | None = None) -> str:
        """An access token that is good now and not *unlike*."""
        return await self._tools.tokens.get("access_token", self.fetch_token, unlike=unlike)

    async def say(self, draft: Draft, results: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make the call of *draft*, which speaks, with the results of earlier calls in it.

        Raises:
            Stale: a file that it names is not there any more.
            SendError: the narrowest class that fits.
        """
        body = filled_in(draft.json, results)
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


class FamilyMedia(ABC):
    """Fetches what somebody sent; the platform keeps it for 3 days."""

    _tools: Tools

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The file. A picture is also at a public address, for accounts that may not use the API.

        Raises:
            SendError: it cannot be had.
        """
        picture = attachment.source.get("pic_url")
        media_id = str(attachment.source.get("media_id") or "")
        try:
            if not media_id:
                raise Rejected("the message names no file")
            content = await self._by_id(media_id)
        except (BadCredentials, Rejected):
            if not picture:
                raise
            content = await self._by_url(str(picture))
        yield content

    @abstractmethod
    async def _by_id(self, media_id: str) -> bytes: ...

    async def _by_url(self, url: str) -> bytes:
        answer = await self._tools.http("GET", url, timeout=UPLOAD_TIMEOUT)
        if answer.status != 200:
            kind = Unreachable if answer.status >= 500 else Rejected
            raise kind(f"HTTP {answer.status}", external_code=answer.status)
        return answer.body
