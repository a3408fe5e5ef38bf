"""WeChat Official Account: how replies leave, and what the account can be asked.

``errors.py`` holds the table of the platform's codes, ``compose.py`` what a reply becomes,
``api.py`` how a call is made.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hub.channel import Account, Check, HttpAnswer, Tools
from hub.errors import BadCredentials, Rejected, SendError, Unreachable, WindowClosed
from hub.model import Allowance, Attachment, Draft, Receipt, Reply, ReplyAttachment
from outbound.wechat.answer import compose_answer
from outbound.wechat.api import Api, Call, catalogue
from outbound.wechat.compose import MEDIA_LIMITS, TEXT_LIMIT, Ways, budget, compose
from outbound.wechat.errors import judge
from outbound.wechat.results import filled

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "WeChatChecker", "WeChatMedia", "WeChatSender"]

_ADDRESS_IN_ERROR = re.compile(r"\b(\d{1,3}(?:\.\d{1,3}){3})\b")
_FILE_TYPES = ("image/", "audio/", "video/")


class WeChatSender:
    """Says replies by customer-service message.

    Source: https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Messages.html
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account.settings
        self._api = Api(account, tools)
        self._tools = tools
        catalogue()  # its import is slow: now rather than with the first reply

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        say = compose_answer if self._account.passive else compose
        return say(reply, budget(reply, allowances, self._tools.clock()), self._ways(allowances))

    def _ways(self, allowances: Sequence[Allowance]) -> Ways:
        """A grant of the customer is for one template, and for one message."""
        grants = {
            one.key.partition(":")[0]: one.id
            for one in allowances
            if one.trigger == "subscription" and one.remaining and one.id
        }
        settings = self._account
        return Ways(self._api.base, settings.app_id, settings.subscribe_templates, grants)

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that the platform took it, it reports no delivery."""
        if draft.only_in_answer:
            raise WindowClosed("it goes out in the answer to the customer's next message")
        if draft.role == "prepare":
            return await self._upload(draft)
        body = filled(draft.json, results)
        facts = await self._api.call(draft.method, draft.url, json=body, speaks=True)
        message_id = facts.get("msgid")
        return Receipt(
            status="sent",
            external_id=None if message_id is None else str(message_id),
            occurred_at=self._tools.clock(),
        )

    async def _upload(self, draft: Draft) -> Receipt:
        attachment = msgspec.convert(draft.extra["attachment"], ReplyAttachment)
        content = await self._tools.media.read(attachment)
        media = (draft.form or {})["media"]
        files = {"media": (media["filename"], content, media["content_type"])}
        facts = await self._api.call(draft.method, draft.url, files=files, speaks=False)
        if not facts.get("media_id"):
            raise Unreachable("the answer to the upload has no media_id")
        return Receipt(status="sent", results={draft.result or "media_id": facts["media_id"]})


class WeChatMedia:
    """Fetches what a customer sent; the platform keeps it for 3 days."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = Api(account, tools)
        self._tools = tools

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The file. A picture is also at a public address, for accounts that may not use the API.

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
        call: Call = catalogue().media.download(media_id)
        answer = await self._api.answer(call.method, call.url(self._api.base), speaks=False)
        if _is_file(answer):
            return answer.body
        facts = judge(answer, self._tools.clock(), speaks=False)
        if not facts.get("video_url"):
            raise Unreachable("the answer is neither a file nor its address")
        return await self._by_url(str(facts["video_url"]))

    async def _by_url(self, url: str) -> bytes:
        answer = await self._tools.http("GET", url, timeout=60.0)
        if answer.status != 200:
            kind = Unreachable if answer.status >= 500 else Rejected
            raise kind(f"HTTP {answer.status}", external_code=answer.status)
        return answer.body


def _is_file(answer: HttpAnswer) -> bool:
    """False for an answer in JSON: a video's address, or an error inside HTTP 200."""
    if answer.status != 200:
        return False
    kind = answer.headers.get("content-type", "").lower()
    return kind.startswith(_FILE_TYPES) or not answer.body.lstrip().startswith(b"{")


class WeChatChecker:
    """Tries the credentials, and says what to paste into the platform's console."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._api = Api(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        yield self._callback(public_url)
        yield self._mode()
        yield await self._credentials()

    def _callback(self, public_url: str | None) -> Check:
        if not public_url:
            advice = "set public_url under [hub] to the address that the platform can reach"
            return Check(False, "callback URL", "unknown", advice)
        secret = "/<intake_secret>" if self._account.settings.intake_secret else ""
        url = f"{public_url.rstrip('/')}/in/{self._account.channel}/{self._account.name}{secret}"
        where = "设置与开发 → 基本配置 → 服务器配置 (URL)"
        usual = _port_is_usual(url) or _is_on_this_machine(self._account.settings.api_base)
        return Check(usual, "callback URL", url, f"paste it under {where}; port 80 or 443")

    def _mode(self) -> Check:
        mode = self._account.settings.mode
        advice = None if mode == "safe" else "choose 安全模式 in the console and mode = 'safe' here"
        return Check(mode != "plain", "encryption", f"mode {mode}", advice)

    async def _credentials(self) -> Check:
        try:
            await self._api.fetch_token()
        except SendError as error:
            return Check(
                False, "app id and secret", f"{error.sentence} {error.detail}", _advice(error)
            )
        settings = self._account.settings
        known = f"{settings.app_id} {settings.original_id or ''}".strip()
        return Check(True, "app id and secret", f"the platform gives a token for {known}")


def _port_is_usual(url: str) -> bool:
    return bool(re.fullmatch(r"(?:http://[^/:]+(?::80)?|https://[^/:]+(?::443)?)/.*", url))


def _is_on_this_machine(api_base: str) -> bool:
    """A simulator, which calls any port."""
    return urlsplit(api_base).hostname in ("127.0.0.1", "localhost", "::1")


def _advice(error: SendError) -> str:
    if error.external_code == "40164":
        address = _ADDRESS_IN_ERROR.search(error.detail)
        return f"add {address[1] if address else 'our address'} under 基本配置 → IP白名单; it takes minutes"
    if error.external_code in ("40001", "40125"):
        return "app_secret is not that of app_id: copy it again from 基本配置 → AppSecret"
    if error.external_code == "40013":
        return "copy app_id again from 基本配置 → AppID"
    return "see docs/channels/wechat.md"
