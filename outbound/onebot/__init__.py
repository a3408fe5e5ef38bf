"""OneBot v11: how replies leave, and what an implementation can be asked.

``errors.py`` holds the table of refusals, ``compose.py`` what a reply becomes, ``calls.py`` the call of
one action, ``media.py`` how files are fetched.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from hub.channel import Account, Check, Tools
from hub.errors import BadCredentials, SendError, Unreachable
from hub.model import Allowance, Draft, Receipt, Reply, ReplyAttachment
from outbound.onebot.calls import CALL_S, UPLOAD_S, Actions
from outbound.onebot.compose import FILE_LIMITS, TEXT_LIMIT, compose
from outbound.onebot.media import OneBotMedia

__all__ = ["FILE_LIMITS", "TEXT_LIMIT", "OneBotChecker", "OneBotMedia", "OneBotSender"]


class OneBotSender:
    """Says replies as actions.

    Nothing removes a repeat: a call without an answer is ``Ambiguous`` and is not made again.
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api_base: str | None = account.settings.api_base or None
        self._actions = Actions(account, tools)
        self._clock = tools.clock

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        return compose(reply, self._api_base)

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that QQ took it, it reports no delivery."""
        action = str(draft.extra["action"])
        params = draft.json if draft.method == "POST" else draft.json["params"]
        attachment = draft.extra.get("attachment")
        file = msgspec.convert(attachment, ReplyAttachment) if attachment else None
        timeout = UPLOAD_S if file else CALL_S
        data = await self._actions.call(action, params, file=file, timeout=timeout)
        number = data.get("message_id") if isinstance(data, Mapping) else None
        return Receipt(
            status="sent",
            external_id=None if number is None else str(number),
            occurred_at=self._clock(),
        )


class OneBotChecker:
    """Says what to enter in the implementation, and asks it who it is."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._settings = account.settings
        self._actions = Actions(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        for one in self._ways_in(public_url):
            yield one
        yield await self._who()

    def _ways_in(self, public_url: str | None) -> Iterator[Check]:
        settings = self._settings
        if settings.websocket_url:
            yield Check(True, "forward WebSocket", f"the hub connects to {settings.websocket_url}")
            return
        if not public_url:
            advice = "set public_url under [hub] to the address that the implementation can reach"
            yield Check(False, "address", "unknown", advice)
            return
        secret = "/<intake_secret>" if settings.intake_secret else ""
        path = f"/in/{self._account.channel}/{self._account.name}{secret}"
        url = f"{public_url.rstrip('/')}{path}"
        if settings.access_token or settings.intake_secret:
            advice = (
                "enter it as a WebSocket client (反向 WebSocket), with access_token as its token"
            )
            yield Check(True, "reverse WebSocket", url.replace("http", "ws", 1), advice)
        if settings.secret or settings.intake_secret:
            advice = "enter it as an HTTP client (HTTP 上报), with secret as its token"
            yield Check(True, "HTTP POST", url, advice)

    async def _who(self) -> Check:
        """Whether the implementation answers, and for the right account."""
        try:
            facts = await self._actions.call("get_login_info", {})
        except SendError as error:
            detail = f"{error.sentence} {error.detail}"
            return Check(False, "connection", detail, _advice_on(error))
        number = str(facts.get("user_id")) if isinstance(facts, Mapping) else "?"
        if number != str(self._settings.self_id):
            advice = "self_id is the number of the QQ account that is signed in there"
            return Check(False, "connection", f"it is signed in as {number}", advice)
        return Check(True, "connection", f"it answers as {number}")


def _advice_on(error: SendError) -> str:
    """What an admin does about *error*."""
    if isinstance(error, BadCredentials):
        return "access_token here and the token of the implementation are not the same"
    if isinstance(error, Unreachable):
        return "is the implementation running, and does it know the address above?"
    return "see the channel's page under docs/channels"
