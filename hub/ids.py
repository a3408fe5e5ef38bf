"""Identifiers: UUIDv7 inside, a readable prefix outside (``msg_01h455vb4pex5vsknk084sn02q``).

The outside form is a TypeID (https://github.com/jetify-com/typeid): the prefix, an underscore and the
128 bits in Crockford's base32, so ids sort by the time they were made.
"""

import os
import re
import threading
import time
from datetime import datetime
from uuid import UUID

__all__ = ["first_id", "id_pattern", "new_id", "read_id", "read_trace", "show_id", "trace_parent"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TO_PYTHONS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""To the digits of ``int(…, 32)``."""
_TAIL = "[0-7][0-9a-hjkmnp-tv-z]{25}"
_SHAPE = re.compile(_TAIL)
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]

_WIDTH, _DRAW = 10, 256
"""Bytes of randomness for an id, and for how many of them the system is asked at once."""

_lock = threading.Lock()
_last = 0
_drawn: list[int] = []

os.register_at_fork(after_in_child=_drawn.clear)


def _draw() -> None:
    raw = os.urandom(_WIDTH * _DRAW)
    _drawn.extend(int.from_bytes(raw[at : at + _WIDTH]) for at in range(0, len(raw), _WIDTH))


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562); ids made by one process are strictly increasing."""
    global _last
    with _lock:
        if not _drawn:
            _draw()
        fresh = (time.time_ns() // 1_000_000) << 74 | _drawn.pop() >> 6
        _last = number = max(fresh, _last + 1)
    above, below = number >> 62, number & ((1 << 62) - 1)
    version_7 = (above >> 12) << 16 | 0x7000 | (above & 0xFFF)
    return UUID(int=version_7 << 64 | 0x2 << 62 | below)


def first_id(at: datetime) -> UUID:
    """The lowest id that can have been made *at* that time: ids from there on are not older."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def show_id(prefix: str, value: UUID) -> str:
    """*value* as the API shows it: ``show_id("msg", …)`` is ``"msg_…"``."""
    n, pairs = value.int, _PAIRS
    return (
        f"{prefix}_{pairs[n >> 120]}{pairs[n >> 110 & 1023]}{pairs[n >> 100 & 1023]}"
        f"{pairs[n >> 90 & 1023]}{pairs[n >> 80 & 1023]}{pairs[n >> 70 & 1023]}{pairs[n >> 60 & 1023]}"
        f"{pairs[n >> 50 & 1023]}{pairs[n >> 40 & 1023]}{pairs[n >> 30 & 1023]}{pairs[n >> 20 & 1023]}"
        f"{pairs[n >> 10 & 1023]}{pairs[n & 1023]}"
    )


def trace_parent(message_id: UUID, event_id: UUID, span: int | None = None) -> str:
    """The ``traceparent`` of an event about a message (https://www.w3.org/TR/trace-context/).

    The trace id is the message's id, as 32 hexadecimal digits: all that happens to a message is one trace.
    *span* is the try that carries it, where spans are kept; else the event stands for all of its tries.
    """
    parent = event_id.hex[16:] if span is None else f"{span:016x}"
    return f"00-{message_id.hex}-{parent}-01"


def read_trace(text: str) -> UUID | None:
    """The message behind a trace id or a whole ``traceparent``, or None."""
    parts = text.strip().split("-")
    number = parts[1] if len(parts) == 4 else parts[0]
    if len(parts) not in (1, 4) or len(number) != 32:
        return None
    try:
        return UUID(hex=number)
    except ValueError:
        return None


def id_pattern(prefix: str) -> str:
    """What the ids of *prefix* look like, as a regular expression that JavaScript reads too."""
    return f"^{prefix}_{_TAIL}$"


def read_id(prefix: str, text: str) -> UUID | None:
    """The UUID behind *text*, or None when *text* is not an id of that prefix."""
    head, _, tail = text.partition("_")
    if head != prefix or not _SHAPE.fullmatch(tail):
        return None
    return UUID(int=int(tail.translate(_TO_PYTHONS), 32))
