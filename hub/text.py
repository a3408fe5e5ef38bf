"""Pure helpers for text: cleaning, and cutting long text without losing a character."""

import re
import zlib
from collections.abc import Iterator
from typing import Any

__all__ = ["at_path", "clean", "partition_of", "pattern_mistake", "single_line", "split_text"]

_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_NEAT_CUT = re.compile(r"(?:\n|[。！？；.!?;]\s?|\s)(?=\S)")
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3"


def clean(value: str) -> str:
    """*value* with NUL and lone surrogates, which PostgreSQL and JSON refuse, shown as U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", value) if _FORBIDDEN.search(value) else value


def single_line(value: str, limit: int = 200) -> str:
    """*value* on one line, cut to *limit* characters, for subjects, logs and lists."""
    line = " ".join(clean(value).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def pattern_mistake(pattern: str) -> str | None:
    """Why *pattern* is no regular expression of RE2, in RE2's own words; None: it is one."""
    import re2  # few processes need it, and it takes its time

    options = re2.Options()
    options.log_errors = False  # or it writes to standard error by itself
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0]
        return why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
    return None


def partition_of(key: str, count: int = 16) -> int:
    """Which of *count* partitions *key* belongs to; the same in every process."""
    return zlib.crc32(key.encode("utf-8", "replace")) % count


_UNITS = {"bytes": ("utf-8", 1), "utf-16": ("utf-16-le", 2)}


def _cost(text: str, unit: str) -> int:
    if unit == "characters":
        return len(text)
    encoding, width = _UNITS[unit]
    return len(text.encode(encoding, "surrogatepass")) // width


def _clusters(text: str) -> Iterator[str]:
    """Runs of characters that belong together on the screen (emoji with joiners, combining marks)."""
    start = 0
    for index in range(1, len(text)):
        here = text[index]
        joined = (
            here in _JOINERS
            or text[index - 1] == "\u200d"
            or "\u0300" <= here <= "\u036f"
            or "\U0001f3fb" <= here <= "\U0001f3ff"
        )
        if not joined:
            yield text[start:index]
            start = index
    if text:
        yield text[start:]


def _hard_cut(text: str, limit: int, unit: str) -> int:
    """The longest prefix of *text* within *limit*, as a count of characters, between clusters."""
    used = length = 0
    for cluster in _clusters(text):
        cost = _cost(cluster, unit)
        if used + cost > limit:
            break
        used += cost
        length += len(cluster)
    if length:
        return length
    for character in text:
        cost = _cost(character, unit)
        if used + cost > limit:
            break
        used += cost
        length += 1
    return max(length, 1)


def split_text(text: str, limit: int, *, unit: str = "bytes") -> list[str]:
    """*text* in parts of at most *limit* UTF-8 bytes (``unit="characters"``: code points; ``"utf-16"``:
    units of UTF-16, of which an emoji has two).

    Joined, the parts are *text* again. A part ends after a line, a sentence or a word where one ends
    in its second half, and never inside a character or an emoji sequence that fits in a part.
    """
    parts = []
    while _cost(text, unit) > limit:
        end = _hard_cut(text, limit, unit)
        neat = [cut.end() for cut in _NEAT_CUT.finditer(text, 0, end + 1) if cut.end() <= end]
        line_end = text.rfind("\n", end // 2, end) + 1
        cut = line_end or (neat[-1] if neat and neat[-1] > end // 2 else end)
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text] if text or not parts else parts


def at_path(value: Any, path: str) -> Any:
    """What stands at *path* ("messages.0.status"); None when nothing does."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 6:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value
