"""One call that is about to be made, or was, and what is known of the tries before it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hub import ledger
from hub.errors import Ambiguous, SendError
from hub.model import Draft, Spoken
from hub.replies.composing import read_draft

__all__ = [
    "Try",
    "age_s",
    "doubt_since",
    "doubtful",
    "may_be_out",
    "nothing_left",
    "results_of",
    "spoken",
]


class Try(NamedTuple):
    """One call that is about to be made, or was: the draft, its row, and what it reserved.

    *may_be_out*: an earlier try of a repeatable draft may have arrived, whatever comes of this one.
    """

    message: Any
    row: Any
    draft: Draft
    number: int
    allowance_id: UUID | None
    may_be_out: bool = False


def spoken(draft: Draft, taken: ledger.Reserved | None, *, again: bool) -> Draft:
    """*draft* with what it speaks under, as it is handed to the sender."""
    if taken is None:
        return draft
    under = Spoken(taken.trigger, taken.key, taken.turn, again)
    return msgspec.structs.replace(draft, spoken=under)


def results_of(rows: Sequence[Any]) -> Mapping[str, Any]:
    """What the drafts before have brought, under the names that later ones use."""
    results: dict[str, Any] = {}
    for row in rows:
        results |= msgspec.json.decode(row["results"], type=dict[str, Any])
    return results


def nothing_left(drafts: Sequence[Any]) -> bool:
    """Whether nothing of the message can have reached the platform."""
    return all(
        row["state"] == "queued"
        and row["allowance_id"] is None
        and not may_be_out(row, read_draft(row))
        for row in drafts
    )


def may_be_out(row: Any, draft: Draft) -> bool:
    """Whether nobody knows if an earlier try of *draft*, whose row this is, reached the customer."""
    if draft.role == "prepare" or draft.only_in_answer:
        return False
    return _doubt(row) is not None


def doubt_since(row: Any) -> datetime | None:
    """Since when nobody knows whether the draft of *row* has arrived; None: there is no doubt."""
    known = _doubt(row)
    if known is not None and known.since is not None:
        return known.since
    begun: datetime | None = row["started_at"] if row["state"] == "sending" else None
    return begun


class _Doubt(msgspec.Struct):
    code: str = ""
    since: datetime | None = None


def _doubt(row: Any) -> _Doubt | None:
    found = msgspec.json.decode(row["error"], type=_Doubt) if row["error"] else None
    return found if found and found.code == Ambiguous.code else None


def doubtful(error: SendError) -> Ambiguous:
    """*error* of a call of which an earlier try may have arrived."""
    if isinstance(error, Ambiguous):
        return error
    return Ambiguous(
        f"an earlier try may have arrived; the last one: {error.sentence} {error.detail}".strip(),
        external_code=error.external_code,
        trace_id=error.trace_id,
        retry_after=error.retry_after,
    )


def age_s(at: datetime | None, now: datetime) -> float:
    """How long ago *at* was, in seconds."""
    return (now - at).total_seconds() if at else 0.0
