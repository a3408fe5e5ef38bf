"""Any SMS gateway by settings: what a message or a report of it means."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hub.channel import Account
from hub.model import Ignored, InboundEvent, Message, Part, Receipt, Result
from normalizers._gateway_fields import named, time_in
from normalizers._sms import OPT_OUT, consent_of, consent_word, objects_in, said_by, unreadable

__all__ = ["is_report", "normalize"]

_MOST_PARTS = 50


def is_report(fields: Mapping[str, Any], settings: Any) -> bool:
    """Whether a callback is about a message of ours, and not a message."""
    reports = settings.reports
    return (
        reports is not None
        and bool(named(fields, reports.status))
        and not named(fields, settings.inbound.text)
    )


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The message or report in *event*; what cannot be read is shown as ``unsupported``."""
    fields = (objects_in(event.body) or [{}])[0]
    if is_report(fields, account.settings):
        return [_report(event, account, fields)]
    if named(fields, account.settings.inbound.sender):
        return list(_message(event, account, fields))
    return [unreadable(account, event, account.settings.provider)]


def _message(
    event: InboundEvent, account: Account[Any], fields: Mapping[str, Any]
) -> Iterator[Result]:
    names = account.settings.inbound
    sms = said_by(account, event, named(fields, names.sender), region=account.settings.country)
    text = named(fields, names.text)
    at = time_in(names, named(fields, names.time)) or event.received_at
    yield Message(
        channel=account.channel,
        account=account.name,
        kind="text",
        text=text or "[empty message]",
        sender=sms.sender,
        conversation=sms.conversation,
        dedupe_key=event.dedupe_key,
        external_id=named(fields, names.id)[:200] or None,
        sent_at=at,
        received_at=event.received_at,
        part=_part(fields, names, sms.person.value),
        reply_context={"to": named(fields, names.recipient)[:64]},
        extra={"to": named(fields, names.recipient)[:64]},
    )
    words = {one.casefold() for one in account.settings.opt_out_words} or OPT_OUT
    wish = consent_word(text, words)
    if wish is not None:
        yield consent_of(sms, wish, at, event.dedupe_key)


def _part(fields: Mapping[str, Any], names: Any, person: str) -> Part | None:
    """Which part of a long message it is; None when it is whole."""
    key = named(fields, names.part_key)
    number, total = named(fields, names.part_number), named(fields, names.part_total)
    if not (key and number.isdecimal() and total.isdecimal()):
        return None
    if not 1 <= int(number) <= int(total) <= _MOST_PARTS or int(total) == 1:
        return None
    recipient = named(fields, names.recipient)[:64]
    return Part(f"{person}:{recipient}:{key[:64]}:{total}", int(number), int(total))


def _report(event: InboundEvent, account: Account[Any], fields: Mapping[str, Any]) -> Result:
    names = account.settings.reports
    state = named(fields, names.status)
    status = names.states.get(state)
    own, ours = named(fields, names.id)[:200], named(fields, names.our_id)
    if status is None or not (own or ours):
        return Ignored(f"a report of the state {state[:40]!r}")
    return Receipt(
        status=status,
        external_id=own or None,
        message_id=ours if ours.startswith("msg_") else None,
        occurred_at=event.received_at,
        code=named(fields, names.code)[:64] or None if status == "failed" else None,
        detail=state if status == "failed" else None,
        dedupe_key=event.dedupe_key,
    )
