"""What senders with providers in mainland China have in common: lines, quotas, callbacks to paste."""

from datetime import timedelta, timezone
from typing import Any

from hub.channel import Account, Check
from hub.model import Reply
from outbound._sms import callback_check

__all__ = ["BEIJING", "DAY", "HOUR", "MINUTE", "callback_checks", "extend_of", "national"]

BEIJING = timezone(timedelta(hours=8))
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def extend_of(reply: Reply, account: Account[Any]) -> str | None:
    """The extension code under which the customer sees one conversation go on."""
    _, slash, line = (reply.thread_key or "").partition("/")
    asked = str(reply.reply_context.get("extend") or "")
    if slash and line in account.settings.lines:
        return line
    if asked in account.settings.lines or asked == account.settings.extend_code:
        return asked or account.settings.extend_code
    extend: str | None = account.settings.extend_code
    return extend


def national(number: str) -> str:
    """A number as these providers write it: eleven digits at home, country and digits abroad."""
    return number.removeprefix("+86") if number.startswith("+86") else number.removeprefix("+")


def callback_checks(account: Account[Any], public_url: str | None, *where: str) -> list[Check]:
    """The one URL that is pasted in several places."""
    return [callback_check(account, public_url, one) for one in where]
