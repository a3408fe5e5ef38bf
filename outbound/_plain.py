"""A reply as plain text, for channels that carry no HTML, menus or places."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import msgspec

from hub.model import Draft, Location, Menu

__all__ = ["menu_lines", "noted", "place_line", "text_of_html"]

_BREAKS = frozenset(
    {
        "address",
        "article",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
    }
    | {"h1", "h2", "h3", "h4", "h5", "h6", "section", "table", "tr", "ul"}
)
_SILENT = frozenset({"head", "script", "style", "template", "title"})
_BLANKS = re.compile(r"[ \t\r\f\v]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


class _Reader(HTMLParser):
    """Collects what a reader would see; a link is followed by its address."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._silent = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BREAKS:
            self.found.append("\n- " if tag == "li" else "\n")
        elif tag == "a":
            self._links.append(dict(attrs).get("href") or "")
        elif tag == "img":
            self.found.append(dict(attrs).get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag in _BREAKS and tag not in ("br", "li"):
            self.found.append("\n")
        elif tag == "a" and self._links:
            address = self._links.pop()
            if address.startswith(("http://", "https://")) and address not in self.found[-1:]:
                self.found.append(f" ({address})")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(_BLANKS.sub(" ", data.replace("\n", " ")))


def text_of_html(html: str) -> str:
    """*html* as a person would read it aloud: lines for blocks, addresses after links."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (_BLANKS.sub(" ", line).strip() for line in "".join(reader.found).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def noted(drafts: Sequence[Draft], notes: Sequence[str]) -> list[Draft]:
    """*drafts*, the first of which tells what was changed."""
    if not drafts or not notes:
        return list(drafts)
    return [msgspec.structs.replace(drafts[0], note="; ".join(notes)), *drafts[1:]]


def place_line(location: Location) -> str:
    """A place as a line of text."""
    place = f"{location.latitude},{location.longitude}"
    return f"[location] {location.label}, {place}" if location.label else f"[location] {place}"


def menu_lines(menu: Menu) -> str:
    """A menu as a numbered text."""
    listed = [f"{number}. {one.label}" for number, one in enumerate(menu.choices, 1)]
    return "\n".join([menu.title, *listed, *filter(None, [menu.footer])])
