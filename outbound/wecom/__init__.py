"""Enterprise WeChat, self-built app: how replies leave, and what the account can be asked.

``errors.py`` holds the table of the platform's codes, ``compose.py`` what a reply becomes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from hub.channel import Account, Check, Tools
from hub.errors import RecipientGone, Rejected, SendError
from hub.model import Allowance, Draft, Receipt, Reply
from outbound._wecom_api import MEDIA_LIMITS, TEXT_LIMIT, CorpApi, CorpMedia, call_url
from outbound._wecom_check import advice_on, checked_callback, checked_credentials, checked_secrets
from outbound.wecom.compose import Sending, compose
from outbound.wecom.errors import ERRORS
from outbound.wecom.pace import MemberPace

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "WeComChecker", "WeComMedia", "WeComSender"]

WeComMedia = CorpMedia


class WeComSender:
    """Says replies as messages of the app.

    Source: https://developer.work.weixin.qq.com/document/path/90236
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self._api = CorpApi(account, tools, ERRORS)
        self._sending = Sending(
            self._api.base, int(settings.agent_id or 0), settings.duplicate_check_s
        )
        self._pace = MemberPace()
        self._tools = tools

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        return compose(reply, self._sending)

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that the platform took it, it reports no delivery.

        ``errcode`` 0 beside a filled ``invaliduser`` says that this member gets nothing.
        """
        if draft.role == "prepare":
            return await self._api.upload(draft)
        member = str(draft.json.get("touser", ""))
        self._pace.take(member, self._tools.clock())
        facts = await self._api.say(draft, results)
        _check_reached(facts, member)
        message_id = facts.get("msgid")
        return Receipt(
            status="sent",
            external_id=None if message_id is None else str(message_id),
            occurred_at=self._tools.clock(),
        )


def _check_reached(facts: Mapping[str, Any], user: str) -> None:
    """Names of members are not case-sensitive; the answer has them in lower case."""
    for field in ("invaliduser", "unlicenseduser"):
        missed = {one.strip().lower() for one in str(facts.get(field) or "").split("|")}
        if user.lower() not in missed:
            continue
        if field == "invaliduser":
            raise RecipientGone(user, external_code=field)
        raise Rejected(f"{user} has no licence to get messages", external_code=field)


class WeComChecker:
    """Tries the credentials, and says what to paste into the platform's console."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._api = CorpApi(account, tools, ERRORS)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        where = "应用管理 → the app → 接收消息 → 设置API接收"
        yield checked_callback(self._account, public_url, where)
        yield checked_secrets(self._account, where)
        credentials = await checked_credentials(self._api)
        yield credentials
        if credentials.ok:
            yield await self._app()

    async def _app(self) -> Check:
        """Whether the secret, the agent id and our address fit together."""
        agent_id = str(self._account.settings.agent_id or "")
        url = call_url(self._api.base, "agent/get", agentid=agent_id)
        try:
            facts = await self._api.call("GET", url, speaks=False)
        except SendError as error:
            detail = f"{error.sentence} {error.detail}"
            return Check(False, "agent id and trusted address", detail, advice_on(error))
        name = str(facts.get("name") or agent_id)
        return Check(True, "agent id and trusted address", f"the app is {name}")
