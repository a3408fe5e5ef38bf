"""What may still be said."""

from collections.abc import Sequence
from datetime import datetime

from hub.model import Allowance


def reply_state(
    allowances: Sequence[Allowance], *, windowed: bool, now: datetime
) -> tuple[datetime | None, int | None, tuple[str, ...]]:
    """What *allowances* still let us say at *now*: until when, how often, in which modes.

    A channel without windows (*windowed* false) has no limit.
    """
    if not windowed:
        return None, None, ("free",)
    live = [a for a in allowances if (a.until is None or a.until > now) and a.remaining != 0]
    free = [a for a in live if a.mode == "free"]
    counts = [a.remaining for a in free]
    modes = tuple(dict.fromkeys(a.mode for a in live))
    if not free:
        return None, 0, modes
    untils = [a.until for a in free if a.until is not None]
    remaining = (
        None if any(count is None for count in counts) else sum(c for c in counts if c is not None)
    )
    return (max(untils) if len(untils) == len(free) else None), remaining, modes
