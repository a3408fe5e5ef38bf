"""Machines answer one another for ever: how much is said to one contact, and by one account."""

from datetime import datetime
from functools import cache
from typing import Any

import structlog

from hub.channel import Restrained, Sender
from hub.replies.errors import AnsweringMachine, TooManyAnswers
from hub.store import Transaction, restraint

__all__ = ["Paced", "is_restrained", "keep_pace", "restrain"]

_log = structlog.get_logger("hub.replies")


@cache
def is_restrained(kind: type) -> bool:
    """Whether senders of that *kind* have limits; asking a protocol takes its time."""
    return issubclass(kind, Restrained)


class Paced(Exception):
    """The account has said as much as it may for now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


async def restrain(
    tx: Transaction, sender: Sender, place: Any, now: datetime, *, automatic: bool
) -> None:
    """Refuse an answer in the conversation *place* that would feed a loop.

    Raises:
        AnsweringMachine: a machine's answer to what no machine may answer, or one more than allowed.
        TooManyAnswers: of any kind, to one contact, within an hour.
    """
    if not isinstance(sender, Restrained):
        return
    limits = sender.restraint()
    if automatic and await restraint.forbids_machines(tx, place["id"]):
        raise AnsweringMachine(
            "the customer's last message is automatic, or asks for no such answer"
        )
    said = await restraint.said_to(tx, place, now)
    if automatic and said.automatic_in_a_day >= limits.automatic_a_day:
        raise AnsweringMachine(
            f"this contact had {said.automatic_in_a_day} automatic answers today"
        )
    if limits.answers_an_hour and said.all_in_an_hour >= limits.answers_an_hour:
        _log.warning("loop_stopped", account=place["account"], conversation=str(place["id"]))
        raise TooManyAnswers(f"this contact had {said.all_in_an_hour} answers within an hour")


async def keep_pace(tx: Transaction, sender: Sender, account: str, now: datetime) -> None:
    """Let one more call of the account begin.

    Raises:
        Paced: not before some seconds have passed.
    """
    if not isinstance(sender, Restrained):
        return
    for count, seconds in sender.restraint().calls:
        wait_s = await restraint.room_for_call(tx, account, count, seconds, now)
        if wait_s:
            raise Paced(wait_s)
