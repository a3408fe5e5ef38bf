"""What somebody wrote now, told from what is quoted below it and from the signature.

The whole text is always kept beside it; when in doubt, nothing is cut.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser

from normalizers.email.quote_marks import (
    ATTRIBUTION,
    BANNER,
    CLOSING,
    DEVICE_LINE,
    FIELD,
    HTML_MARK,
    HTML_QUOTE_BEGINS,
    HTML_QUOTES,
    LOOSE_ATTRIBUTION,
    RULE,
    SIGNATURE_MARK,
)

__all__ = ["Split", "split_reply", "without_html_quotes"]

MAX_CHARACTERS = 200_000
_MAX_LINES = 5000
_MAX_ATTRIBUTION_LINES = 4
_MAX_ATTRIBUTION_CHARACTERS = 500
_WRAPPED_FROM = 60
_MAX_SIGNATURE_LINES = 12
_MAX_CLOSING_LINES = 6
_MAX_HTML_QUOTES = 1000
_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+\.[^\s<>@]+")


class Split(NamedTuple):
    """A mail's text in three: *reply* is new, *signature* and *quoted* are None where there is none."""

    reply: str
    signature: str | None = None
    quoted: str | None = None


def _is_quoted(line: str) -> bool:
    return line.lstrip(" \t\ufeff").startswith((">", "＞"))


def _without_marks(line: str) -> str:
    return line.strip(" \t>＞\ufeff\xa0")


def _joined(lines: Sequence[str], at: int, count: int) -> str:
    pieces = [_without_marks(line) for line in lines[at : at + count]]
    return re.sub(r"\s+", " ", " ".join(pieces)).strip()


def _attribution_lines(lines: Sequence[str], at: int) -> int:
    """How many lines from *at* form an attribution ("On … wrote:"); 0: none does."""
    count = _ending_lines(lines, at, ATTRIBUTION)
    if count:
        return count
    count = _ending_lines(lines, at, LOOSE_ATTRIBUTION)
    # What begins with anything at all begins as late as it can: the line above may be prose.
    later = range(at + 1, at + count)
    own = [one for one in later if not _without_marks(lines[one]).startswith("<")]
    return 0 if any(_attribution_lines(lines, one) for one in own) else count


def _ending_lines(lines: Sequence[str], at: int, form: re.Pattern[str]) -> int:
    """How many lines from *at* together have the *form*, and a date or an address in them."""
    for count in range(1, _MAX_ATTRIBUTION_LINES + 1):
        if at + count > len(lines) or not _without_marks(lines[at + count - 1]):
            return 0
        candidate = _joined(lines, at, count)
        if len(candidate) > _MAX_ATTRIBUTION_CHARACTERS:
            return 0
        if candidate[-1:] in ":：" or candidate.endswith(("wrote", "書きました")):
            is_one = form.fullmatch(candidate) and re.search(r"\d|@", candidate)
            return count if is_one else 0
    return 0


def _is_head(lines: Sequence[str], at: int) -> bool:
    """Whether two different fields ("From:", "Sent:") stand within three lines from *at*."""
    first = FIELD.fullmatch(_flat(lines[at]))
    if not first or not (first["value"] or first["key"]):
        return False
    seen = 0
    for line in lines[at + 1 : at + 6]:
        if not _without_marks(line):
            continue
        seen += 1
        other = FIELD.fullmatch(_flat(line))
        if other and other["key"].lower() != first["key"].lower():
            return True
        if seen == 2:
            break
    return False


def _flat(line: str) -> str:
    """*line* with what HTML and full-width letters left in keys taken out ("主　题", ``&nbsp;``)."""
    text = line.replace("&nbsp;", " ").replace("\xa0", " ")
    return re.sub(r"^([>\s|]*[一-鿿])[　 ]{1,4}([一-鿿])", r"\1\2", text)


def _history_begins(lines: Sequence[str]) -> int | None:
    """The first line of everything that is earlier mail, to the end of *lines*; None: nothing is."""
    for at, line in enumerate(lines):
        text = _without_marks(line)
        if not text:
            continue
        if BANNER.fullmatch(_flat(line)) and at + 1 < len(lines):
            return at
        if text[-1:] in "：:;" or ":" in text or "：" in text:
            count = _attribution_lines(lines, at)
            if count and not _answered_inline(lines, at + count):
                return at
            if not count and _is_head(lines, at):
                return at
        elif (count := _attribution_lines(lines, at)) and not _answered_inline(lines, at + count):
            return at
    return None


def _answered_inline(lines: Sequence[str], after: int) -> bool:
    """Whether own words stand below or between the ``>`` lines that follow an attribution."""
    rest = [line for line in lines[after:] if line.strip()]
    if not rest or not _is_quoted(rest[0]):
        return False
    own = [
        line
        for before, line in pairwise(["", *lines[after:]])
        if line.strip() and not _is_quoted(line) and not _is_wrapped(before)
    ]
    return bool(own) and not _is_footer(own)


def _is_wrapped(before: str) -> bool:
    """Whether a line after *before* can be its end, which lost its mark when it was wrapped."""
    return _is_quoted(before) and len(before) >= _WRAPPED_FROM


def _is_footer(own: Sequence[str]) -> bool:
    """Signatures and list footers below a quotation are no answer."""
    first = own[0]
    return bool(
        SIGNATURE_MARK.fullmatch(first.strip())
        or RULE.fullmatch(first)
        or DEVICE_LINE.fullmatch(first)
        or re.fullmatch(r"\s*_{2,}\s*", first)
    )


def _trailing_quote(lines: Sequence[str]) -> int | None:
    """Where a block of ``>`` lines begins that reaches to the end."""
    at = len(lines)
    while at and (_is_quoted(lines[at - 1]) or not lines[at - 1].strip()):
        at -= 1
    return at if any(_is_quoted(line) for line in lines[at:]) else None


def _leading_quote(lines: Sequence[str]) -> int:
    """How many lines at the top are quoted (with their attribution), before the answer below."""
    at = 0
    while at < len(lines) and not lines[at].strip():
        at += 1
    at += _attribution_lines(lines, at) if at < len(lines) else 0
    begin = at
    while at < len(lines) and (_is_quoted(lines[at]) or not lines[at].strip()):
        at += 1
    below = lines[at:]
    if not any(_is_quoted(line) for line in lines[begin:at]):
        return 0
    return 0 if any(_is_quoted(line) for line in below) or not any(below) else at


def _above_rule(lines: Sequence[str], at: int) -> int:
    """The first line of the rule ("_____") that stands directly above line *at*, else *at*."""
    above = at
    while above and not lines[above - 1].strip():
        above -= 1
    return above - 1 if above and RULE.fullmatch(lines[above - 1]) else at


# --- signatures ----------------------------------------------------------------------------------


def _signature_begins(lines: Sequence[str]) -> int | None:
    """The first line of the signature at the end of *lines*."""
    floor = max(1, len(lines) - 40)
    marked = next(
        (at for at in range(floor, len(lines)) if SIGNATURE_MARK.fullmatch(lines[at].rstrip("\r"))),
        None,
    )
    if marked is not None and 0 < len(lines) - marked - 1 <= _MAX_SIGNATURE_LINES + 8:
        return marked
    device = next((at for at in range(floor, len(lines)) if DEVICE_LINE.fullmatch(lines[at])), None)
    if device is not None and sum(bool(line.strip()) for line in lines[device:]) <= 3:
        return device
    return _closing_begins(lines, floor)


def _closing_begins(lines: Sequence[str], floor: int) -> int | None:
    for at in range(floor, len(lines)):
        rest = [line.strip() for line in lines[at + 1 :] if line.strip()]
        if (
            CLOSING.fullmatch(lines[at])
            and 1 <= len(rest) <= _MAX_CLOSING_LINES
            and all(_is_short(line) for line in rest)
        ):
            return at
    return _card_begins(lines)


def _is_short(line: str) -> bool:
    """Like a line of an address rather than of prose."""
    return len(line) <= 70 and not line.endswith(("?", "？", "。", ";"))


def _card_begins(lines: Sequence[str]) -> int | None:
    """A last paragraph that is a bare mail address below a name (Foxmail makes it so)."""
    at = len(lines)
    while at and lines[at - 1].strip():
        at -= 1
    card = [line.strip() for line in lines[at:]]
    if not 1 <= len(card) <= 6 or not any(lines[:at]):
        return None
    has_address = any(_ADDRESS.fullmatch(line) for line in card)
    return at if has_address and all(_is_short(line) for line in card) else None


def _strip(lines: Sequence[str]) -> str:
    return "\n".join(lines).strip("\n").rstrip()


def split_reply(text: str) -> Split:
    """*text* split; the parts in order make the whole, but for quotations above a reply.

    An answer written between the quoted lines is kept whole. When nothing would be left, everything
    is the reply.
    """
    lines = text.replace("\r\n", "\n")[:MAX_CHARACTERS].split("\n")
    if len(lines) > _MAX_LINES:
        return Split(text)
    beginning = _leading_quote(lines)
    top, lines = lines[:beginning], lines[beginning:]
    cut = _history_begins(lines)
    if cut is None:
        cut = _trailing_quote(lines)
    else:
        trailing = _trailing_quote(lines[:cut])
        cut = cut if trailing is None else trailing
    cut = len(lines) if cut is None else _above_rule(lines, cut)
    own, quoted = lines[:cut], lines[cut:]
    while own and not own[-1].strip():
        own.pop()
    signed = _signature_begins(own) if own else None
    reply, signature = (own[:signed], own[signed:]) if signed is not None else (own, [])
    if not _strip(reply).strip():
        reply, signature = own, []
    if not _strip(reply).strip():
        return Split(text.strip("\n").rstrip())
    return Split(_strip(reply), _strip(signature) or None, _strip([*top, *quoted]) or None)


def without_html_quotes(html: str) -> str | None:
    """*html* without the quotation that its client marked; None when there is no such mark."""
    if not HTML_MARK.search(html):
        return None
    tree = LexborHTMLParser(html)
    found = False
    for node in tree.css(HTML_QUOTES)[:_MAX_HTML_QUOTES]:
        node.decompose()
        found = True
    if (begin := tree.css_first(HTML_QUOTE_BEGINS)) is not None:
        for _ in range(_MAX_HTML_QUOTES):
            if begin.next is None:
                break
            begin.next.decompose()
        begin.decompose()
        found = True
    return (tree.html or "") if found else None
