"""How the state of a draft and the status of a message move: forward, and aside. Pure.

    queued → sending → sent → delivered → read        aside: held, unknown, failed, cancelled

``cancelled`` is a state of drafts only; a message with one is ``failed``.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from hub.model import ReceiptStatus

__all__ = ["CANCELLED", "LEFT", "after", "worst"]

CANCELLED: Final = "cancelled"

_RANK: Mapping[str, int] = {"queued": 0, "sending": 1, "sent": 2, "delivered": 3, "read": 4}

LEFT = frozenset({"sending", "sent", "delivered", "read", "held", "unknown"})
"""The states of a draft that may have reached the customer."""

# What a report may still change. A delivery report proves what we had given up.
_MOVES: Mapping[str, frozenset[str]] = {
    "sent": frozenset({"sending", "held", "unknown"}),
    "delivered": frozenset({"sending", "sent", "held", "unknown", "failed", CANCELLED}),
    "read": frozenset({"sending", "sent", "delivered", "held", "unknown", "failed", CANCELLED}),
    "held": frozenset({"sending", "sent", "unknown"}),
    "failed": frozenset({"sending", "sent", "held", "unknown"}),
    "unknown": frozenset({"sending"}),
}

_WORST_FIRST = ("failed", CANCELLED, "unknown", "held")


def after(state: str, report: ReceiptStatus) -> str:
    """The state of a draft in *state* once *report* has come; a lower, later report changes nothing."""
    return report if state in _MOVES[report] else state


def worst(says: Sequence[str]) -> str:
    """The status of a message whose speaking drafts are in these states; none at all is ``queued``.

    One that is partly out is ``sending``.
    """
    for state in _WORST_FIRST:
        if state in says:
            return "failed" if state == CANCELLED else state
    ranks = [_RANK[state] for state in says]
    if not ranks or max(ranks) == 0:
        return "queued"
    lowest = min(ranks)
    return "sending" if lowest < _RANK["sent"] else says[ranks.index(lowest)]
