"""What the SMS channels have in common when they read what came in."""

import json
import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from hub.channel import Account
from hub.model import Address, ConversationRef, InboundEvent, Message, Notice, Participant
from hub.phones import e164
from hub.text import clean, single_line

__all__ = [
    "HELP",
    "OPT_IN",
    "OPT_OUT",
    "Wish",
    "consent_of",
    "consent_word",
    "objects_in",
    "opens",
    "read_json",
    "said_by",
    "text_in",
    "unreadable",
]

_LONGEST = 200

Wish = Literal["stop", "start", "help"]

# Each alone in a message. Sources: the usual words of networks, as in
# https://help.twilio.com/articles/223134027.
OPT_OUT = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
OPT_IN = frozenset({"start", "yes", "unstop"})
HELP = frozenset({"help", "info"})

_AROUND = re.compile(r"^[\s.。!！,，'\"]+|[\s.。!！,，'\"]+$")


def consent_word(
    text: str, out: Collection[str] = OPT_OUT, back: Collection[str] = OPT_IN
) -> Wish | None:
    """What a message of one word says about being written to, in whatever case and width; or None.

    *out* and *back* hold the words in lower case, as :func:`unicodedata.normalize` of NFKC leaves them.
    """
    word = _AROUND.sub("", unicodedata.normalize("NFKC", text[:40])).casefold()
    if word in out:
        return "stop"
    if word in back:
        return "start"
    return "help" if word in HELP else None


class Sms(NamedTuple):
    """One message or wish: who, with which of our numbers' lines (*line* is empty for the usual one)."""

    account: Account[Any]
    event: InboundEvent
    person: Address
    line: str = ""

    @property
    def conversation(self) -> ConversationRef:
        """One for each person and line."""
        key = self.person.value if self.person.scheme == "tel" else ":".join(self.person_key)
        return ConversationRef(thread_key=f"{key}/{self.line}" if self.line else key)

    @property
    def person_key(self) -> tuple[str, str]:
        return self.person.scheme, self.person.value

    @property
    def sender(self) -> Participant:
        return Participant("contact", self.person)


def said_by(
    account: Account[Any], event: InboundEvent, number: str, *, region: str | None, line: str = ""
) -> Sms:
    """*number*, as the provider writes it, as who said something."""
    value = e164(clean(number), region)[:_LONGEST] or "unknown"
    return Sms(account, event, Address("tel", "", value), line[:_LONGEST])


def opens(to: Address, account: Account[Any], /) -> tuple[Address, ConversationRef]:
    """Writing first: the number in one form, so that ``138…`` and ``+86 138…`` are one conversation.

    Where the account knows no country, a number without a plus stays as it is.
    """
    if to.scheme != "tel":
        return to, ConversationRef(thread_key=f"{to.scheme}:{to.value}")
    settings = account.settings
    whole = hasattr(settings, "country") or to.value.strip().startswith("+")
    value = e164(to.value, getattr(settings, "country", None)) if whole else to.value.strip()
    return Address("tel", "", value), ConversationRef(thread_key=value)


_WISHES: Mapping[Wish, tuple[str, Literal["withdrawn", "given"] | None]] = {
    "stop": ("opted_out", "withdrawn"),
    "start": ("opted_in", "given"),
    "help": ("help_asked", None),
}


def consent_of(sms: Sms, wish: Wish, at: datetime, key: str, **extra: Any) -> Notice:
    """What *sms* says about being written to; nobody is answered by the hub itself."""
    kind, consent = _WISHES[wish]
    return Notice(
        channel=sms.account.channel,
        account=sms.account.name,
        kind=kind,
        text=f"[{kind.replace('_', ' ')}]",
        consent=consent,
        sender=sms.sender,
        conversation=sms.conversation,
        dedupe_key=f"{key}:{wish}",
        sent_at=at,
        received_at=sms.event.received_at,
        extra=extra,
    )


def unreadable(account: Account[Any], event: InboundEvent, provider: str) -> Message:
    """A genuine callback that makes no sense: somebody has to look at it."""
    shown = single_line(event.body.decode("utf-8", "replace"), 500)
    person = Address("tel", "", event.order_key or "unknown")
    sms = Sms(account, event, person)
    return Message(
        channel=account.channel,
        account=account.name,
        kind="unsupported",
        text=f"[unreadable message from {provider}]",
        sender=sms.sender,
        conversation=sms.conversation,
        dedupe_key=event.dedupe_key,
        sent_at=event.received_at,
        received_at=event.received_at,
        extra={"body": shown},
    )


def read_json(body: bytes) -> Any:
    """The JSON in *body*, also where it has half a surrogate pair or a number of any length.

    Raises:
        ValueError: it is none.
    """
    try:
        return msgspec.json.decode(body)
    except ValueError:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def objects_in(body: bytes) -> list[dict[str, Any]] | None:
    """The JSON objects in *body*, which is one or a list of them; None when it is anything else."""
    try:
        decoded = read_json(body)
    except (ValueError, RecursionError):
        return None
    found = decoded if isinstance(decoded, list) else [decoded]
    return found if found and all(isinstance(one, dict) for one in found) else None


def text_in(fields: Mapping[str, Any], name: str) -> str:
    """The field *name* as text; a number is written out, anything else is empty."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean(value) if isinstance(value, str) else str(value)
