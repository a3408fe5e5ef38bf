"""WeChat Official Account: how replies leave, and what the account can be asked.

``errors.py`` holds the table of the platform's codes, ``compose.py`` what a reply becomes (in passive
mode ``answer.py``), ``api.py`` how a call is made, ``check.py`` what ``hub check`` finds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hub.channel import Account, HttpAnswer, Tools
from hub.errors import Rejected, Unreachable, WindowClosed
from hub.model import Address, Allowance, Draft, Receipt, Reply
from outbound._wechat_family import FamilyMedia
from outbound.wechat.answer import compose_answer
from outbound.wechat.api import Api, Call, catalogue
from outbound.wechat.check import WeChatChecker
from outbound.wechat.compose import MEDIA_LIMITS, TEXT_LIMIT, Ways, budget, compose
from outbound.wechat.errors import NOT_TYPING

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "WeChatChecker", "WeChatMedia", "WeChatSender"]

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
            return await self._api.upload(draft)
        facts = await self._api.say(draft, results)
        message_id = facts.get("msgid")
        return Receipt(
            status="sent",
            external_id=None if message_id is None else str(message_id),
            occurred_at=self._tools.clock(),
        )

    async def typing(self, to: Address, *, on: bool) -> bool:
        """Shown for 15 s or until a message; only within 30 s after the customer did something."""
        if self._account.passive:
            return False
        body = {"touser": to.value, "command": "Typing" if on else "CancelTyping"}
        call = Call("POST", "message/custom/typing", {}, body)
        try:
            await self._api.call(call.method, call.url(self._api.base), json=body, speaks=False)
        except Rejected as error:
            if error.external_code not in NOT_TYPING:
                raise
            return False
        return True


class WeChatMedia(FamilyMedia):
    """Fetches what a customer sent; the platform keeps it for 3 days."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = Api(account, tools)
        self._tools = tools

    async def _by_id(self, media_id: str) -> bytes:
        call: Call = catalogue().media.download(media_id)
        answer = await self._api.answer(call.method, call.url(self._api.base), speaks=False)
        if _is_file(answer):
            return answer.body
        facts = self._api.judge(answer, speaks=False)
        if not facts.get("video_url"):
            raise Unreachable("the answer is neither a file nor its address")
        return await self._by_url(str(facts["video_url"]))


def _is_file(answer: HttpAnswer) -> bool:
    """False for an answer in JSON: a video's address, or an error inside HTTP 200."""
    if answer.status != 200:
        return False
    kind = answer.headers.get("content-type", "").lower()
    return kind.startswith(_FILE_TYPES) or not answer.body.lstrip().startswith(b"{")
