"""What providers in mainland China have in common: Beijing time, lines, opt-out words."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hub.channel import Account
from hub.model import InboundEvent, Message, Result
from normalizers._sms import OPT_IN, Sms, consent_of, consent_word, said_by

__all__ = ["BEIJING", "beijing_time", "reply_of", "who"]

BEIJING = timezone(timedelta(hours=8))
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y/%m/%d %H:%M:%S")


def beijing_time(text: str) -> datetime | None:
    """*text*, a time in Beijing in one of the providers' forms, in UTC; None when it is none."""
    for form in _FORMATS:
        try:
            found = datetime.strptime(text.strip()[:19], form).replace(tzinfo=BEIJING)
        except ValueError:
            continue
        return found.astimezone(UTC) if 2000 <= found.year < 2100 else None
    return None


def who(account: Account[Any], event: InboundEvent, number: str, extend: str) -> Sms:
    """Who wrote, and on which line: an extension code that is a conversation of its own."""
    settings = account.settings
    line = extend if extend in settings.lines else ""
    return said_by(account, event, number, region=settings.country, line=line)


def reply_of(
    sms: Sms, text: str, at: datetime | None, external_id: str | None, extend: str, **extra: Any
) -> Iterator[Result]:
    """The message that *sms* brings, and what it says about being written to."""
    event = sms.event
    yield Message(
        channel=sms.account.channel,
        account=sms.account.name,
        kind="text",
        text=text or "[empty message]",
        sender=sms.sender,
        conversation=sms.conversation,
        dedupe_key=event.dedupe_key,
        external_id=external_id,
        sent_at=at or event.received_at,
        received_at=event.received_at,
        reply_context={"extend": extend} if extend else {},
        extra={name: value for name, value in extra.items() if value not in (None, "")},
    )
    words = sms.account.settings.opt_out_words
    out = {unicodedata.normalize("NFKC", one).casefold() for one in words}
    wish = consent_word(text, out, OPT_IN - {"yes"})
    if wish in ("stop", "start"):
        yield consent_of(sms, wish, at or event.received_at, event.dedupe_key)
