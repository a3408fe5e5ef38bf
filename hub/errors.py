"""Every way of saying no.

A class's docstring is the sentence that a person reads; the detail that a platform gave travels in
fields beside it and never replaces it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "Ambiguous",
    "BadCredentials",
    "Closed",
    "ConfigError",
    "HubError",
    "NeedsTemplate",
    "NotAuthentic",
    "NotRecognised",
    "OptedOut",
    "QuotaUsedUp",
    "RateLimited",
    "RecipientGone",
    "Rejected",
    "SendError",
    "Stale",
    "Unknowable",
    "Unreachable",
    "Unsupported",
    "WindowClosed",
]


class ConfigError(Exception):
    """The configuration has mistakes."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Closed(ConnectionError):
    """The peer has closed the connection with *code*; 1006 or None where it just broke."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(f"closed with {code}" if code else "the connection broke")
        self.code = code


class HubError(Exception):
    """The hub could not do what was asked."""

    @property
    def sentence(self) -> str:
        """The sentence that a person reads: the first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().splitlines()[0]


class NotAuthentic(HubError):
    """The request carries no proof that it comes from the platform."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class NotRecognised(HubError):
    """The request is not of a form that this channel knows."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class SendError(HubError):
    """The platform did not take the message."""

    code: ClassVar[str] = "send_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        external_code: str | int | None = None,
        trace_id: str | None = None,
        retry_after: float | None = None,
        advice: str | None = None,
    ) -> None:
        """*external_code* and *trace_id* are the platform's own; *retry_after* is in seconds.

        *advice* is what the account's owner can do about it.
        """
        super().__init__(detail)
        self.detail = detail
        self.external_code = None if external_code is None else str(external_code)
        self.trace_id = trace_id
        self.retry_after = retry_after
        self.advice = advice

    @property
    def reason(self) -> str:
        """The platform's own text, or our sentence, and what to do about it."""
        told = self.detail or self.sentence
        return f"{told} — {self.advice}" if self.advice else told

    def as_json(self) -> Mapping[str, Any]:
        """The error as the API and the webhooks show it."""
        return {
            "code": self.code,
            "message": self.sentence,
            "detail": self.detail or None,
            "external_code": self.external_code,
            "trace_id": self.trace_id,
        }


class Unreachable(SendError):
    """The platform could not be reached; nothing was sent."""

    code = "unreachable"
    retryable = True


class RateLimited(SendError):
    """The platform asks for a slower pace; nothing was sent."""

    code = "rate_limited"
    retryable = True


class BadCredentials(SendError):
    """The platform refuses this account's credentials or its address; the account is stopped."""

    code = "bad_credentials"


class WindowClosed(SendError):
    """The platform allows no reply now: the time is over or the count is used up."""

    code = "window_closed"


class RecipientGone(SendError):
    """The customer cannot be reached at this address any more."""

    code = "recipient_gone"


class OptedOut(RecipientGone):
    """The customer does not want to be written to."""

    code = "opted_out"


class QuotaUsedUp(SendError):
    """The platform lets this customer have no more messages for now; nothing was sent."""

    code = "quota_used_up"


class NeedsTemplate(SendError):
    """Only approved templates may be sent here, and none of the account's carries this reply."""

    code = "needs_template"


class Unsupported(SendError):
    """This channel cannot carry that kind of content."""

    code = "unsupported"


class Rejected(SendError):
    """The platform refused this message."""

    code = "rejected"


class Unknowable(Rejected):
    """Nobody can tell whether it is there already; it is not repeated unless a person replays it."""

    code = "unknowable"


class Stale(Rejected):
    """What was uploaded before is no longer there; it has to be uploaded again."""

    code = "stale"


class Ambiguous(SendError):
    """The message may or may not have gone out."""

    code = "ambiguous"
