"""Has every event come once, and in its place? A receiver's proof, from ``data.order``."""

from collections import OrderedDict
from typing import Literal, TypeVar

T = TypeVar("T")

KEPT_IDS = 200_000
KEPT_LANES = 50_000

Verdict = Literal["new", "repeat", "gap", "disorder"]
"""``new``: the next one in its lane · ``repeat``: an id seen before, dropped ·
``gap``: something before it is missing · ``disorder``: its place was already taken by another id."""


class OrderKeeper:
    """Judges events as they come. Memory is bounded: the oldest ids and lanes are forgotten."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._last: OrderedDict[str, int] = OrderedDict()

    def judge(self, webhook_id: str, lane: str | None, order_n: int | None) -> Verdict:
        """Judge one event and remember it. The first of a lane may have any number."""
        if webhook_id in self._seen:
            return "repeat"
        _remember(self._seen, webhook_id, None, KEPT_IDS)
        if lane is None or order_n is None:
            return "new"
        last = self._last.get(lane)
        _remember(self._last, lane, max(order_n, last or 0), KEPT_LANES)
        if last is None or order_n == last + 1:
            return "new"
        return "gap" if order_n > last else "disorder"


def _remember(kept: OrderedDict[str, T], key: str, value: T, limit: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)
