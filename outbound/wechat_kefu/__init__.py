"""WeChat customer service: how replies leave, and what the account can be asked.

``errors.py`` holds the table of the platform's codes, ``compose.py`` what a reply becomes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from hub.channel import Account, Check, Tools
from hub.errors import Rejected, SendError, Unreachable, WindowClosed
from hub.model import Allowance, Draft, Receipt, Reply
from outbound._wechat_parts import budget
from outbound._wecom_api import MEDIA_LIMITS, TEXT_LIMIT, CorpApi, CorpMedia
from outbound._wecom_check import advice_on, checked_callback, checked_credentials, checked_secrets
from outbound.wechat_kefu.compose import STATE_GET, STATE_MOVE, Desk, compose, desk_of
from outbound.wechat_kefu.errors import ERRORS, REPEATED, explained

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "KefuChecker", "KefuMedia", "KefuSender", "desks_of"]

KefuMedia = CorpMedia

_NOBODYS, _HUBS, _QUEUED, _SERVED, _ENDED = range(5)
_PAGE = 100
_MOST_DESKS = 5000


class KefuSender:
    """Says replies as a customer-service account.

    Source: https://developer.work.weixin.qq.com/document/path/94670
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = CorpApi(account, tools, ERRORS)
        self._known: Sequence[str] = account.settings.open_kfids
        self._tools = tools

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        desk = Desk(self._api.base, desk_of(reply, self._known), reply.to.value)
        return compose(reply, budget(reply, allowances, self._tools.clock()), desk)

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that the platform took it: a failure may be reported later."""
        try:
            if draft.role == "say":
                return await self._say(draft, results)
            if f"/{STATE_GET}?" in draft.url:
                return await self._read_session(draft)
            if f"/{STATE_MOVE}?" in draft.url:
                return await self._take_session(draft, results)
            return await self._api.upload(draft)
        except SendError as error:
            raise explained(error) from error

    async def _say(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """A repeat of our own ``msgid`` is a success: the first one arrived."""
        own = draft.json.get("msgid")
        try:
            facts = await self._api.say(draft, results)
        except Rejected as error:
            if error.external_code != REPEATED or not own:
                raise
            facts = {}
        given = facts.get("msgid") or own
        return Receipt(
            status="sent",
            external_id=str(given) if given else None,
            occurred_at=self._tools.clock(),
        )

    async def _read_session(self, draft: Draft) -> Receipt:
        """Who has the session: 0 nobody, 1 the hub, 2 the queue, 3 a person, 4 it has ended.

        Source: https://developer.work.weixin.qq.com/document/path/94698
        """
        facts = await self._api.call(draft.method, draft.url, json=draft.json, speaks=False)
        state, servicer = facts.get("service_state"), facts.get("servicer_userid")
        if state == _ENDED:
            raise WindowClosed("the session has ended; the customer has to write again")
        if state == _QUEUED:
            raise Rejected(
                "the customer waits in WeCom's own queue, where the hub may say nothing",
                external_code="service_state 2",
            )
        if state == _SERVED:
            raise Rejected(
                f"{servicer or 'somebody'} serves the customer in WeCom, where the hub may say "
                "nothing; the session has to be ended there first",
                external_code="service_state 3",
            )
        if state not in (_NOBODYS, _HUBS):
            raise Unreachable(f"the answer has no state that is known: {state!r}")
        return Receipt(status="sent", results={"service_state": state})

    async def _take_session(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Nobody's session becomes the hub's, so that it is not given to a person meanwhile."""
        if results.get("service_state") != _HUBS:
            await self._api.call(draft.method, draft.url, json=draft.json, speaks=False)
        return Receipt(status="sent", results={"service_state": _HUBS})


async def desks_of(api: CorpApi) -> Mapping[str, str]:
    """The customer-service accounts that the app may manage, with their names.

    Source: https://developer.work.weixin.qq.com/document/path/94661
    """
    found: dict[str, str] = {}
    for offset in range(0, _MOST_DESKS, _PAGE):
        facts = await api.post("kf/account/list", {"offset": offset, "limit": _PAGE})
        page = facts.get("account_list") or ()
        found |= {
            str(one["open_kfid"]): str(one.get("name", ""))
            for one in page
            if isinstance(one, dict) and one.get("open_kfid")
        }
        if len(page) < _PAGE:
            break
    return found


class KefuChecker:
    """Tries the credentials, and says what to paste into the platform's console."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._api = CorpApi(account, tools, ERRORS)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        where = "应用管理 → the app → 接收消息 → 设置API接收"
        more = ", and name the app under 微信客服 → 可调用接口的应用"
        yield checked_callback(self._account, public_url, where, more)
        yield checked_secrets(self._account, where)
        credentials = await checked_credentials(self._api)
        yield credentials
        if credentials.ok:
            yield await self._desks()

    async def _desks(self) -> Check:
        """Whether the app may manage the customer-service accounts of the settings."""
        name = "customer-service accounts"
        try:
            found = await desks_of(self._api)
        except SendError as error:
            detail = f"{error.sentence} {error.detail}"
            return Check(False, name, detail, advice_on(error))
        wanted = self._account.settings.open_kfids
        shown = ", ".join(f"{own} ({found[own]})" for own in wanted or found if own in found)
        missing = [own for own in wanted if own not in found]
        if missing or not found:
            told = ", ".join(missing) or "any customer-service account"
            advice = "under 微信客服 → the account → 可调用接口的应用 choose the app"
            return Check(False, name, f"the app may not manage {told}; it may: {shown}", advice)
        return Check(True, name, shown)
