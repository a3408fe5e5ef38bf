"""How many SMS a text becomes: what one costs, and where networks cut.

Sources: 3GPP TS 23.038 (alphabet), 3GPP TS 23.040 (160/153 septets, 70/67 units of UTF-16); providers in
mainland China count every character as one, 70 in one message, 67 in each of several.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

__all__ = ["Segments", "count_segments", "is_gsm"]

# The escape character of the table is left out: it is not a character of its own.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")

Encoding = Literal["GSM-7", "UCS-2"]
_LIMITS: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}


class Segments(NamedTuple):
    """*segments* messages of one *encoding*; *units* are septets, or units of UTF-16."""

    encoding: Encoding
    segments: int
    units: int


def is_gsm(text: str) -> bool:
    """Whether the 7-bit alphabet has every character; one other makes the whole text UCS-2."""
    return all(one in _BASIC or one in _EXTENDED for one in text)


def count_segments(text: str, *, mainland: bool = False) -> Segments:
    """How *text* is sent; an empty one is still one message.

    *mainland*: as providers in mainland China count: each character is one, Latin ones too, and the
    signature with its 【】 has to be part of *text*.
    """
    if mainland:
        return _counted("UCS-2", [1] * len(text))
    if is_gsm(text):
        return _counted("GSM-7", (2 if one in _EXTENDED else 1 for one in text))
    return _counted("UCS-2", (2 if one > "\uffff" else 1 for one in text))


def _counted(encoding: Encoding, costs: Iterable[int]) -> Segments:
    """A character that does not fit whole begins the next segment."""
    single, each = _LIMITS[encoding]
    units, segments, used = 0, 1, 0
    for cost in costs:
        units += cost
        if used + cost > each:
            segments, used = segments + 1, 0
        used += cost
    return Segments(encoding, 1 if units <= single else segments, units)
