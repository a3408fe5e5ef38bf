"""The tree of a mail, found in its raw bytes without recursion and within fixed limits."""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from normalizers.email.headers import Headers, parameters, read_block

__all__ = ["Part", "Tree", "read_tree"]

MAX_PARTS = 200
MAX_DEPTH = 50
_MAX_DELIMITER_HITS = 20_000

_SPACE = b" \t\r\n"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET))
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,3}")
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/=\s]*")
_PADDED = re.compile(rb"[A-Za-z0-9+/]+={1,2}")
_GUESSED_BOUNDARY = re.compile(rb"^--([^\s-][^\r\n]{3,69}?)[ \t]*\r?$", re.MULTILINE)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_SHORT_TYPES = {"html": "text/html", "text": "text/plain", "plain": "text/plain"}


@dataclass(slots=True)
class Part:
    """One node of the tree; *start* and *end* bound its body in the mail's bytes."""

    data: bytes
    headers: Headers
    start: int
    end: int
    depth: int = 0
    parent_type: str = ""
    media_type: str = "text/plain"
    type_parameters: dict[str, str] = field(default_factory=dict)
    disposition: str = ""
    disposition_parameters: dict[str, str] = field(default_factory=dict)
    children: list["Part"] = field(default_factory=list)

    @property
    def charset(self) -> str | None:
        """The charset that the part declares."""
        return self.type_parameters.get("charset")

    @property
    def is_multipart(self) -> bool:
        """Whether the part is made of parts."""
        return self.media_type.startswith("multipart/")

    @property
    def raw(self) -> bytes:
        """The body as it stands in the mail."""
        return self.data[self.start : self.end]

    @property
    def content(self) -> bytes:
        """The body with its transfer encoding undone."""
        words = self.headers.text("content-transfer-encoding").lower().replace(";", " ").split()
        encoding = words[0] if words else ""
        if encoding == "base64":
            return _from_base64(self.raw)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.raw)
        if encoding in ("x-uuencode", "uuencode", "x-uue"):
            return from_uuencode(self.raw)
        return self.raw


@dataclass(frozen=True, slots=True)
class Tree:
    """A mail taken apart: its *root*, and what is wrong with it (``defects``)."""

    root: Part
    defects: tuple[str, ...] = ()


def _from_base64(raw: bytes) -> bytes:
    """*raw* decoded; a footer that a mailing list put after the last line is left out."""
    compact = raw.translate(None, _SPACE)
    if not _BASE64.fullmatch(compact):
        compact = b"".join(_base64_lines(raw)) or compact
        compact = compact.translate(None, _NOT_BASE64)
    kept = compact.rstrip(b"=")
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def _base64_lines(raw: bytes) -> Iterator[bytes]:
    """The lines of *raw* up to the first that is none of base64, or up to the padding."""
    begun = False
    for line in raw.split(b"\n"):
        if padded := _PADDED.match(line):
            yield padded[0]
            return
        if not _BASE64_LINE.fullmatch(line) and (begun or b" " in line.strip()):
            return
        begun = True
        yield line


def from_uuencode(raw: bytes) -> bytes:
    """*raw* decoded, from after ``begin`` to ``end``; broken lines are left out."""
    content = []
    for line in raw.splitlines():
        if line.startswith(b"begin "):
            continue
        if line.strip() == b"end":
            break
        try:
            content.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some encoders pad the line; its first character says how much counts.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
            try:
                content.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                continue
    return b"".join(content)


def _describe(part: Part, default_type: str) -> None:
    hint = part.headers.hint
    declared, part.type_parameters = parameters(part.headers.raw("content-type"), hint=hint)
    part.disposition, part.disposition_parameters = parameters(
        part.headers.raw("content-disposition"), hint=hint
    )
    declared = _SHORT_TYPES.get(declared, declared)
    part.media_type = declared if _MEDIA_TYPE.fullmatch(declared) else default_type


def _boundary(part: Part) -> bytes:
    """What parts the children; guessed from the body when the header does not say."""
    named = re.search(
        rb"boundary\s*=\s*(?:\"([^\"]{1,200})\"?|([^\s;\"]{1,200}))",
        part.headers.raw("content-type"),
        re.IGNORECASE,
    )
    if named:
        return (named[1] or named[2]).rstrip()
    if boundary := part.type_parameters.get("boundary", "").strip():
        return boundary.encode("utf-8", "replace")[:200]
    guess = _GUESSED_BOUNDARY.search(part.data, part.start, min(part.end, part.start + 65536))
    return guess[1].removesuffix(b"--") if guess else b""


def _delimiters(part: Part, boundary: bytes) -> list[tuple[int, int, bool]]:
    """The delimiter lines in the body: where each begins, where it ends, whether it closes."""
    data, position, hits = part.data, part.start, 0
    mark = b"--" + boundary
    found: list[tuple[int, int, bool]] = []
    while hits < _MAX_DELIMITER_HITS and len(found) <= MAX_PARTS + 1:
        at = data.find(mark, position, part.end)
        if at < 0:
            break
        hits += 1
        position = at + len(mark)
        if at > part.start and data[at - 1] != 10:
            continue
        stop = data.find(b"\n", position, part.end)
        stop = part.end if stop < 0 else stop + 1
        rest = data[position : min(stop, position + 200)].strip()
        if rest in (b"", b"--"):
            found.append((at, stop, rest == b"--"))
            position = stop
            if rest:
                break
    return found


def _content_end(data: bytes, start: int, end: int) -> int:
    """The line end before a delimiter belongs to the delimiter."""
    if end > start and data[end - 1] == 10:
        end -= 1
        if end > start and data[end - 1] == 13:
            end -= 1
    return end


def _children(part: Part) -> list[Part]:
    boundary = _boundary(part)
    marks = _delimiters(part, boundary) if boundary else []
    default = "message/rfc822" if part.media_type == "multipart/digest" else "text/plain"
    children = []
    for index, (_, begin, closes) in enumerate(marks):
        if closes:
            break
        last = index + 1 == len(marks)
        stop = part.end if last else _content_end(part.data, begin, marks[index + 1][0])
        headers, body = read_block(part.data, begin, stop)
        headers.hint = part.headers.hint
        child = Part(part.data, headers, min(body, stop), stop, part.depth + 1, part.media_type)
        _describe(child, default)
        children.append(child)
    return children


def _prepared(data: bytes) -> bytes:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return data.lstrip(b"\r\n")


def read_tree(raw: bytes) -> Tree:
    """*raw* as a tree of parts, never deeper or larger than the limits; never raises."""
    data = _prepared(raw)
    headers, body = read_block(data, 0, len(data))
    root = Part(data, headers, body, len(data))
    headers.hint = parameters(headers.raw("content-type"))[1].get("charset")
    _describe(root, "text/plain")
    defects = ["broken header block"] if headers.damaged else []
    waiting, count = [root], 1
    while waiting:
        part = waiting.pop()
        if not part.is_multipart:
            continue
        if part.depth > MAX_DEPTH:
            defects.append(f"parts nested deeper than {MAX_DEPTH}")
            continue
        part.children = _children(part)
        if not part.children:
            # No delimiter at all: what stands there is the text.
            part.media_type = "text/plain" if part.depth == 0 else part.media_type
            defects.append("multipart without parts")
        count += len(part.children)
        if count > MAX_PARTS:
            part.children = part.children[: MAX_PARTS - count or None]
            defects.append(f"more than {MAX_PARTS} parts")
            break
        waiting.extend(part.children)
    return Tree(root, tuple(dict.fromkeys(defects)))
