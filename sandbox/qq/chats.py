"""What may be said: windows, counts, numbers, consent, and what the phones show of it.

Source: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/send.html
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from sandbox.journal import Clock
from sandbox.phones import Screens
from sandbox.qq.errors import Refused

__all__ = ["SCENES", "Chats", "Rule"]

MAX_SEQ = 2**32 - 1


@dataclass(slots=True)
class Rule:
    """How often and how long a message of a scene can be answered (None: no count)."""

    replies: int | None
    window_s: float


SCENES: dict[str, Rule] = {
    "c2c": Rule(4, 3600.0),
    "group": Rule(5, 300.0),
    "channel": Rule(None, 300.0),
    "dm": Rule(None, 300.0),
}


@dataclass(slots=True)
class _Anchor:
    """A message or an event that can be answered."""

    place: str
    until: float
    left: int | None
    seqs: set[int] = field(default_factory=set)


class Chats:
    """The chats of one bot, keyed ``scene:id``.

    *repeated* counts the answers that were refused since their number was used: 40054005.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchors: dict[tuple[str, str], _Anchor] = {}
        self.screens = Screens(clock)
        self.rules = {scene: Rule(rule.replies, rule.window_s) for scene, rule in SCENES.items()}
        self.refusing: set[str] = set()
        self.active_allowed = False
        self.repeated = 0
        self.active = 0

    def open(self, kind: str, own: str, place: str) -> None:
        """*own*, a ``msg_id`` or an ``event_id``, can be answered in *place* from now on."""
        rule = self.rules[place.partition(":")[0]]
        self._anchors[kind, own] = _Anchor(place, self._clock() + rule.window_s, rule.replies)

    def close(self, place: str = "") -> None:
        """Nothing of *place* (empty: of any) can be answered any more."""
        for anchor in self._anchors.values():
            if not place or anchor.place == place:
                anchor.until = self._clock()

    def take(self, place: str, asked: dict[str, Any]) -> None:
        """Count what is *asked* to be said in *place*.

        Raises:
            Refused: the code that the platform gives for the fault.
        """
        kind = next((name for name in ("msg_id", "event_id") if asked.get(name)), None)
        if kind is None:
            self._take_active(place)
            return
        anchor = self._anchors.get((kind, str(asked[kind])))
        if anchor is None or anchor.place != place:
            raise Refused(40034024 if kind == "msg_id" else 40034025)
        if anchor.until <= self._clock():
            raise Refused(40034026 if kind == "msg_id" else 40034027)
        seq = asked.get("msg_seq", 1)
        if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= MAX_SEQ:
            raise Refused(40011000)
        if seq in anchor.seqs and place.partition(":")[0] in ("c2c", "group"):
            self.repeated += 1
            raise Refused(40054005)
        if anchor.left == 0:
            raise Refused(40034005)
        anchor.seqs.add(seq)
        if anchor.left is not None:
            anchor.left -= 1

    def _take_active(self, place: str) -> None:
        if not self.active_allowed:
            raise Refused(40034105)
        if place in self.refusing:
            raise Refused(40054013)
        self.active += 1

    def new_id(self) -> str:
        """An id of a message, with the odd characters that the platform's have."""
        return f"ROBOT1.0_{secrets.token_urlsafe(24)}.{secrets.token_hex(2)}!"
