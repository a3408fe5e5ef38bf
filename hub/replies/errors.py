"""Saying no to those who want something said, and the reasons of the hub's own for a failed reply."""

from hub.errors import HubError, SendError

__all__ = [
    "AccountRemoved",
    "AnsweringMachine",
    "Cancelled",
    "Expired",
    "HeldTooLong",
    "Incomplete",
    "InvalidReply",
    "Moved",
    "NotNow",
    "ReviewUnfinished",
    "TooManyAnswers",
    "UnknownMessage",
    "free_again",
]


class InvalidReply(HubError):
    """The reply cannot be sent as it stands."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        """*pointer* is a JSON pointer to the field that is wrong."""
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class UnknownMessage(HubError):
    """There is no such outbound message."""


class NotNow(HubError):
    """The message is not in a state in which this can be done."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class AnsweringMachine(SendError):
    """No machine answers this: two of them would go on for ever."""

    code = "automatic_answer_refused"


class TooManyAnswers(SendError):
    """The customer has got so many answers in a short time that machines must be talking."""

    code = "too_many_answers"


class Cancelled(SendError):
    """A person cancelled the reply."""

    code = "cancelled"


class ReviewUnfinished(SendError):
    """The platform has not said what came of its review."""

    code = "review_unfinished"


class HeldTooLong(SendError):
    """The customer did not write again in time, so the held reply was given up."""

    code = "hold_expired"


class Moved(SendError):
    """The reply was said through another channel of the same contact."""

    code = "moved"


class AccountRemoved(SendError):
    """The account is not configured any more."""

    code = "account_removed"


class Expired(SendError):
    """What was to be said was of use for a short time only, and that is over."""

    code = "expired"


class Incomplete(SendError):
    """Part of the reply may have gone out; nobody decided in time what to do, so the rest was given up."""

    code = "incomplete"


def free_again(wait_s: float) -> str:
    """When a quota has room again, for people."""
    if wait_s < 7200:
        return f"there is room again in {wait_s / 60:.0f} minutes"
    return f"there is room again in {wait_s / 3600:.0f} hours"
