"""What was said while there was no connection, as far as the implementation still offers it.

The standard has no such action. NapCat has ``get_recent_contact``, ``get_friend_msg_history`` and
``get_group_msg_history``; others have some of them or none.

Source: https://napneko.github.io/onebot/api
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from hub.errors import SendError
from normalizers._onebot_event import text_of

__all__ = ["Found", "Missed"]

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""(action, parameters) → the answer's data; raises SendError."""

CONTACTS = 100
MESSAGES = 100
LEEWAY_S = 300
"""QQ's clock and ours may differ by minutes, and what is known already is dropped."""

_PRIVATE, _GROUP, _STRANGER = "1", "2", "100"
_HISTORIES = {
    _PRIVATE: ("get_friend_msg_history", "user_id"),
    _STRANGER: ("get_friend_msg_history", "user_id"),
    _GROUP: ("get_group_msg_history", "group_id"),
}
"""By ``chatType``; service accounts, one's own devices and such are pushed by no event either."""


class Found(NamedTuple):
    """Messages, oldest first; *reason* says why others may be missing, None when none are."""

    messages: list[dict[str, Any]]
    reason: str | None


class Missed:
    """Looks for what was said after *since* (Unix time)."""

    def __init__(self, ask: Ask, self_id: str, since: float) -> None:
        self._ask = ask
        self._self_id = self_id
        self._since = int(since) - LEEWAY_S

    async def find(self) -> Found:
        """What there is; never raises for what the implementation cannot do."""
        try:
            contacts = await self._ask("get_recent_contact", {"count": CONTACTS})
        except SendError as error:
            return Found([], f"the implementation does not tell what was missed ({error.detail})")
        recent = [one for one in _objects(contacts) if _time(one, "msgTime") >= self._since]
        messages: list[dict[str, Any]] = []
        reasons = ["too many conversations to ask for"] if len(recent) >= CONTACTS else []
        for one in recent:
            kind, peer = text_of(one, "chatType"), text_of(one, "peerUin")
            if kind not in _HISTORIES or not (peer.isascii() and peer.isdigit()):
                continue
            found = await self._history(kind, peer)
            messages += found.messages
            reasons += [found.reason] if found.reason else []
        messages.sort(key=lambda one: _time(one, "time"))
        return Found(messages, "; ".join(dict.fromkeys(reasons)) or None)

    async def _history(self, kind: str, peer: str) -> Found:
        action, name = _HISTORIES[kind]
        try:
            data = await self._ask(action, {name: int(peer), "count": MESSAGES})
        except SendError as error:
            return Found([], f"{action} of {peer}: {error.detail}")
        messages = _objects(data.get("messages") if isinstance(data, dict) else None)
        missed = [one for one in messages if _time(one, "time") >= self._since]
        full = len(messages) >= MESSAGES and len(missed) == len(messages)
        reason = f"more than {MESSAGES} messages in one conversation" if full else None
        return Found([self._as_event(one) for one in missed], reason)

    def _as_event(self, message: dict[str, Any]) -> dict[str, Any]:
        """As it would have been pushed: a history also has what the account itself said."""
        own = text_of(message, "user_id") == self._self_id
        return {
            "self_id": self._self_id,
            **message,
            "post_type": "message_sent" if own else "message",
        }


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _time(fields: Mapping[str, Any], name: str) -> int:
    seconds = text_of(fields, name)
    return int(seconds) if seconds.isascii() and seconds.isdigit() else 0
