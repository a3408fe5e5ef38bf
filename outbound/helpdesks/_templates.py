"""Texts with holes, ``{name}``, filled so that no value can break out of its place.

A JSON template is a table, filled value by value and written by a JSON encoder; a form or a query is filled
field by field and encoded; what goes into a path is quoted, what goes into a header is one line. Each
template is filled once: what was filled in is not looked at again.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from html import escape as escape_html
from typing import Any
from urllib.parse import quote

from hub.errors import Rejected

__all__ = [
    "escape_braces",
    "fill",
    "fill_header",
    "fill_path",
    "fill_text",
    "has_holes",
    "wrong_holes",
]

_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)(?::([a-z]+))?\}")
_MEANT = re.compile(r"\{\s*([A-Za-z_][\w.-]*)\s*(:\s*\w*\s*)?\}")
_BRACES = re.compile(r"\{(?=[{#%])|%(?=\})")
_HEADER_SAFE = "".join(map(chr, range(0x20, 0x7F)))


def escape_braces(text: str) -> str:
    """*text* so that rendering it as a template (Django, Jinja, Liquid) gives *text* again.

    Each brace or percent sign that would begin or end a tag becomes an expression of itself. (Escaping
    only what opens a tag does not do: a lone ``%}`` is an error too.)
    """
    return _BRACES.sub(lambda found: "{{ '" + found[0] + "' }}", text)


def _html(text: str) -> str:
    return escape_html(text).replace("\n", "<br>")


def _number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Rejected(f"a template wants a number, and there is {text[:40]!r}")
    return int(text)


_FILTERS: Mapping[str, Callable[[str], Any]] = {
    "html": _html,
    "braces": escape_braces,
    "number": _number,
}


def _text(value: Any) -> str:
    """A value as it stands inside a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).replace("\0", "")


def _value(hole: re.Match[str], values: Mapping[str, Any]) -> Any:
    value = values.get(hole[1])
    return _FILTERS[hole[2]](_text(value)) if hole[2] else value


def fill_text(template: str, values: Mapping[str, Any]) -> str:
    """*template* with its holes filled."""
    return _HOLE.sub(lambda hole: _text(_value(hole, values)), template)


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A tree of JSON with its holes filled; a text that is one hole alone becomes that value itself."""
    if isinstance(template, str):
        if (whole := _HOLE.fullmatch(template)) is not None:
            found = _value(whole, values)
            return found.replace("\0", "") if isinstance(found, str) else found
        return fill_text(template, values)
    if isinstance(template, Mapping):
        return {name: fill(one, values) for name, one in template.items()}
    if isinstance(template, list):
        return [fill(one, values) for one in template]
    return template


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """A path; each value stays inside its segment.

    Raises:
        Rejected: a value is empty, or would make a segment that leads elsewhere.
    """

    def filled(hole: re.Match[str]) -> str:
        if not (text := _text(_value(hole, values))):
            raise Rejected(f"the path {template} wants {{{hole[1]}}}, which is empty")
        return quote(text, safe="")

    path = _HOLE.sub(filled, template)
    if any(segment in (".", "..") for segment in path.split("/")):
        raise Rejected(f"a value would make the path {template} lead elsewhere")
    return path


def fill_header(template: str, values: Mapping[str, Any]) -> str:
    """A header's value: one line of ASCII; other characters are percent-encoded."""
    text = "".join(one if one.isprintable() else " " for one in fill_text(template, values))
    return quote(text, safe=_HEADER_SAFE)


def has_holes(template: str) -> bool:
    """Whether anything in it is to be filled."""
    return _HOLE.search(template) is not None


def wrong_holes(template: Any, known: Set[str]) -> Iterator[str]:
    """What is wrong with the holes of *template* where *known* can be filled in, as sentences."""
    if isinstance(template, str):
        for found in _MEANT.finditer(template):
            if (wrong := _wrong_hole(found[0], known)) is not None:
                yield wrong
    elif isinstance(template, Mapping):
        for one in template.values():
            yield from wrong_holes(one, known)
    elif isinstance(template, list | tuple):
        for one in template:
            yield from wrong_holes(one, known)


def _wrong_hole(text: str, known: Set[str]) -> str | None:
    hole = _HOLE.fullmatch(text)
    if hole is None or hole[1] not in known:
        return f"found {text}, wants one of {', '.join(sorted(known))}"
    if hole[2] and hole[2] not in _FILTERS:
        return f"found {text}, and behind the colon may stand {', '.join(sorted(_FILTERS))}"
    return None
