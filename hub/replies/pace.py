"""How long things take on the way of a reply; tests make them short."""

from typing import NamedTuple

__all__ = ["Pace"]


class Pace(NamedTuple):
    """All in seconds, but for the counts.

    A call takes at most *send_s*, well below *lease_s*; a lane goes on when an ``unknown`` has stood
    for *unknown_stands_s*; a quota that has room again within *quota_wait_s* is waited for;
    its remaining parts wait for a person for *parts_wait_s*. What only an
    answer can carry is left to it for *answer_s* at a time.
    """

    poll_s: float = 1.0
    lease_s: float = 30.0
    renew_s: float = 10.0
    send_s: float = 15.0
    unknown_stands_s: float = 60.0
    reconcile_s: float = 10.0
    parts_wait_s: float = 600.0
    stopped_s: float = 300.0
    file_s: float = 1.0
    answer_s: float = 0.3
    sweep_s: float = 5.0
    drain_s: float = 10.0
    quota_wait_s: float = 120.0
    retries_s: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0)
    retry_after_max_s: float = 3600.0
    lanes: int = 64
    lanes_each_account: int = 16
    messages_each_lane: int = 20
