"""HTML of strangers: made harmless for the screen, and plain text from it."""

import re
from html import escape, unescape

import nh3
from selectolax.lexbor import LexborHTMLParser, LexborNode

from hub.text import clean

__all__ = ["charset_named_in", "harmless", "is_tame", "text_of", "to_html"]

MAX_HTML_CHARACTERS = 512 * 1024
MAX_DEPTH = 200
_MAX_TEXT_SOURCE = 2 * 1024 * 1024

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})[^<>]{0,4000}>")
# Elements without an end tag, and those whose end tag is optional: they say nothing of depth.
_UNCOUNTED = frozenset(
    "area base br col embed hr img input link meta param source track wbr"  # noqa: SIM905
    " p li td th tr dt dd option tbody thead tfoot colgroup body html head".split()
)
_HIDDEN = frozenset(
    ["head", "script", "style", "template", "title", "noscript", "svg", "math", "object", "iframe"]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_PARAGRAPHS = frozenset(
    ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table", "pre"]
)
_META_CHARSET = re.compile(
    rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w:.-]{2,40})", re.IGNORECASE
)

_ATTRIBUTES = {name: set(found) for name, found in nh3.ALLOWED_ATTRIBUTES.items()}
_ATTRIBUTES.setdefault("img", set()).update({"src", "alt", "width", "height"})
_SCHEMES = {"http", "https", "mailto", "tel", "cid"}
_CLEAN_CONTENT = {"script", "style", "title", "head"}


def charset_named_in(html: bytes) -> str | None:
    """The charset of the ``<meta>`` element near the top, if there is one."""
    found = _META_CHARSET.search(html[:4096])
    return found[1].decode("ascii") if found else None


def is_tame(html: str) -> bool:
    """Whether *html* is small and shallow enough for a real parser.

    Parsers look through all open elements again and again, so depth costs its square.
    """
    if len(html) > MAX_HTML_CHARACTERS:
        return False
    depth = 0
    for match in _TAG.finditer(html):
        if match[2].lower() in _UNCOUNTED:
            continue
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > MAX_DEPTH:
            return False
    return True


def _no_remote_image(tag: str, attribute: str, value: str) -> str | None:
    """A picture from elsewhere tells its owner that and when the mail was read."""
    if tag == "img" and attribute == "src":
        return value if value.strip().lower().startswith("cid:") else None
    return value


def harmless(html: str) -> str | None:
    """*html* without script, style, forms and remote pictures; None when it is too large or deep.

    Pictures of the mail itself keep their ``cid:`` address.
    """
    if not is_tame(html):
        return None
    shown = nh3.clean(
        html,
        attributes=_ATTRIBUTES,
        attribute_filter=_no_remote_image,
        url_schemes=_SCHEMES,
        clean_content_tags=_CLEAN_CONTENT,
    )
    return clean(shown).strip() or None


def to_html(text: str) -> str:
    """*text* as HTML that looks the same."""
    return "<div>" + escape(text).replace("\n", "<br>") + "</div>"


class _Text:
    """Collects text as a browser would show it: runs of white space as one space, blocks on lines."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.breaks = 2
        self.space = False

    def line(self, count: int) -> None:
        """End the line, with *count* - 1 empty lines after it at least."""
        if self.breaks < count:
            self.pieces.append("\n" * (count - self.breaks))
            self.breaks = count
        self.space = False

    def newline(self) -> None:
        """A line break that the author wrote."""
        self.pieces.append("\n")
        self.breaks += 1
        self.space = False

    def words(self, text: str, *, preformatted: bool) -> None:
        """Running text."""
        if preformatted:
            self.pieces.append(text)
            self.breaks = 1 if text.endswith("\n") else 0
            return
        shown = re.sub(r"[ \t\r\n\f]+", " ", text)
        if self.breaks or self.space:
            shown = shown.lstrip(" ")
        elif shown.startswith(" ") and not self.pieces:
            shown = shown[1:]
        if shown:
            self.pieces.append(shown)
            self.space = shown.endswith(" ")
            self.breaks = 0

    def result(self) -> str:
        """The text, without white space at line ends and with at most one empty line in a row."""
        joined = "".join(self.pieces).replace("\xa0", " ")
        return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", joined)).strip()


def _enter(node: LexborNode, tag: str, out: _Text) -> None:
    if tag == "br":
        out.newline()
    elif tag in ("td", "th") and not out.breaks and not out.space:
        out.pieces.append(" ")
        out.space = True
    elif tag in _BLOCKS:
        out.line(2 if tag in _PARAGRAPHS else 1)
        if tag == "li":
            out.pieces.append("- ")
            out.breaks, out.space = 0, True
    elif tag == "img" and (alternative := (node.attributes.get("alt") or "").strip()):
        out.words(f"[{alternative[:200]}]", preformatted=False)


def _leave(tag: str, out: _Text) -> None:
    if tag in _BLOCKS:
        out.line(2 if tag in _PARAGRAPHS else 1)


_LINE_TAG = re.compile(
    r"</?(?:p|div|br|tr|li|h[1-6]|table|ul|ol|blockquote)\b[^<>]{0,4000}>", re.IGNORECASE
)
_ANY_TAG = re.compile(r"</?[a-zA-Z!][^<>]{0,4000}>")


def _without(html: str, opening: str, closing: str) -> str:
    """*html* without what stands between *opening* and *closing*; one pass."""
    begins, ends = re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE)
    kept, at = [], 0
    while (begin := begins.search(html, at)) and (end := ends.search(html, begin.end())):
        kept.append(html[at : begin.start()])
        at = end.end()
    return "".join([*kept, html[at:]])


def _rough_text(html: str) -> str:
    """The text of HTML that no parser should be given: tags are cut out."""
    shown = _without(html, "<!--", "-->")
    for name in ("script", "style", "head"):
        shown = _without(shown, rf"<{name}\b", rf"</{name}\s*>")
    shown = _ANY_TAG.sub(" ", _LINE_TAG.sub("\n", shown))
    lines = (" ".join(line.split()) for line in unescape(shown).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def text_of(html: str) -> str:
    """The text that a reader of *html* would see."""
    if not is_tame(html):
        return clean(_rough_text(html[:_MAX_TEXT_SOURCE]))
    root = LexborHTMLParser(html).root
    out = _Text()
    if root is None:
        return ""
    preformatted = 0
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    while stack:
        node, leaving = stack.pop()
        tag = node.tag or ""
        if leaving:
            preformatted -= tag == "pre"
            _leave(tag, out)
        elif tag == "-text":
            out.words(node.text_content or "", preformatted=bool(preformatted))
        elif tag not in _HIDDEN and not tag.startswith(("-", "_", "!")):
            _enter(node, tag, out)
            preformatted += tag == "pre"
            stack.append((node, True))
            children = []
            child = node.child
            while child is not None:
                children.append(child)
                child = child.next
            stack.extend((one, False) for one in reversed(children))
    return clean(out.result())
