"""Which parts of a mail are what was said, and which are files."""

import hashlib
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hub.model import Attachment
from hub.text import clean
from normalizers.email.charsets import decode
from normalizers.email.headers import read_block
from normalizers.email.html import charset_named_in, harmless, text_of, to_html
from normalizers.email.mime import Part, from_uuencode

__all__ = ["Body", "read_body"]

MAX_TEXT_CHARACTERS = 1_000_000
MAX_FILENAME_BYTES = 255
_MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS

_TYPES = mimetypes.MimeTypes()
# How files begin → what they are (https://mimesniff.spec.whatwg.org/, the ones mails carry).
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"OggS\x00", "audio/ogg"),
    (b"#!AMR", "audio/amr"),
    (b"ID3", "audio/mpeg"),
)
# The file signature of these says less than the declared type (a .docx is a zip).
_VAGUE = frozenset({"", "application/octet-stream", "application/x-download", "application/binary"})
_UNSAFE_IN_NAMES = re.compile(
    '[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff<>:"|?*]'
)
_UUENCODED = re.compile(
    r"^begin [0-7]{3,4} ([^\n]{1,200})\n((?:[ -`]{1,90}\n)+?)(?:[` ]?\n)?end[ \t]*$", re.MULTILINE
)


@dataclass(slots=True)
class _Said:
    """One piece of what was said: plain, or HTML, or the same as both."""

    plain: str | None = None
    html: str | None = None

    @property
    def text(self) -> str:
        """The piece as text: plain where it has any words."""
        if self.plain is not None and (self.plain.strip() or self.html is None):
            return self.plain
        return text_of(self.html or "")


@dataclass(slots=True)
class Body:
    """What a mail says (*text*, sanitised *html*) and the files that came with it."""

    text: str = ""
    html: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)


def _unflowed(text: str, *, delete_space: bool) -> str:
    """Format=flowed (RFC 3676) with its soft line breaks undone."""
    paragraphs: list[list[str]] = []
    joins, last_depth = False, 0
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:].removeprefix(" ")
        soft = content.endswith(" ") and content != "-- "
        shown = content[:-1] if soft and delete_space else content
        if joins and depth == last_depth and content != "-- ":
            paragraphs[-1].append(shown)
        else:
            paragraphs.append([">" * depth + (" " if depth else ""), shown])
        joins, last_depth = soft, depth
    return "\n".join("".join(pieces) for pieces in paragraphs)


def _cut(content: bytes) -> bytes:
    """At most _MAX_TEXT_BYTES of *content*, to the end of a line where there is one."""
    if len(content) <= _MAX_TEXT_BYTES:
        return content
    end = content.rfind(b"\n", _MAX_TEXT_BYTES // 2, _MAX_TEXT_BYTES)
    return content[: end + 1 if end > 0 else _MAX_TEXT_BYTES]


def _text_in(part: Part) -> str:
    content = _cut(part.content)
    hint = part.headers.hint
    if part.media_type == "text/html":
        hint = charset_named_in(content) or hint
    text = decode(content, part.charset, hint=hint).replace("\r\n", "\n").replace("\r", "\n")
    if (
        part.media_type == "text/plain"
        and part.type_parameters.get("format", "").lower() == "flowed"
    ):
        flag = part.type_parameters.get("delsp", "").lower()
        return _unflowed(text, delete_space=flag == "yes")
    return text


# --- files ---------------------------------------------------------------------------------------


def safe_name(name: str) -> str:
    """*name* without path, control or direction characters, at most 255 bytes, its ending kept."""
    base = re.split(r"[/\\]", clean(name))[-1]
    base = " ".join(_UNSAFE_IN_NAMES.sub("", base).split()).strip(". ")
    if len(base.encode()) <= MAX_FILENAME_BYTES:
        return base
    stem, dot, ending = base.rpartition(".")
    ending = f"{dot}{ending}" if stem and len(ending.encode()) <= 20 else ""
    room = MAX_FILENAME_BYTES - len(ending.encode())
    return base.encode()[:room].decode("utf-8", "ignore") + ending


def _named(part: Part) -> str:
    name = part.disposition_parameters.get("filename") or part.type_parameters.get("name") or ""
    return safe_name(" ".join(name.split()))


def _sniffed(content: bytes) -> str | None:
    for signature, media_type in _SIGNATURES:
        if content.startswith(signature):
            return media_type
    if content[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12])
    return "video/mp4" if content[4:8] == b"ftyp" and content[8:11] in (b"mp4", b"iso") else None


def _media_type(part: Part, name: str, content: bytes) -> str:
    """What the file is: by its first bytes, else as declared, else by its name."""
    sniffed = _sniffed(content)
    declared = part.media_type
    if sniffed and (declared in _VAGUE or declared.split("/")[0] in ("image", "audio", "text")):
        return sniffed
    if declared not in _VAGUE:
        return declared
    return _TYPES.guess_type(name)[0] or "application/octet-stream"


def _kind(media_type: str) -> Any:
    return {"image": "image", "audio": "voice", "video": "video"}.get(
        media_type.split("/")[0], "file"
    )


def _invented_name(part: Part, media_type: str, number: int) -> str:
    if media_type == "message/rfc822":
        inner, _ = read_block(part.data, part.start, part.end)
        subject = safe_name(inner.text("subject"))[:80].strip()
        return f"{subject or f'attachment-{number}'}.eml"
    usual = ".txt" if media_type.startswith(("text/", "message/")) else ".bin"
    ending = _TYPES.guess_extension(media_type) or usual
    return f"attachment-{number}{ending}"


class _Files:
    """The attachments found so far; every name is used once."""

    def __init__(self) -> None:
        self.found: list[Attachment] = []
        self._names: set[str] = set()

    def _unique(self, name: str) -> str:
        stem, dot, ending = name.rpartition(".")
        candidate, number = name, 1
        while candidate.lower() in self._names:
            number += 1
            candidate = f"{stem or ending} ({number}){dot + ending if stem else ''}"
        self._names.add(candidate.lower())
        return candidate

    def add(self, part: Part) -> None:
        """File *part* as it is, decoded."""
        content = part.content
        name = _named(part)
        media_type = _media_type(part, name, content)
        name = name or _invented_name(part, media_type, len(self.found) + 1)
        content_id = part.headers.text("content-id").strip("<> ")[:200]
        source: dict[str, Any] = {"disposition": part.disposition[:40] or None}
        if content_id:
            source["cid"] = content_id
        if content_id and part.disposition != "attachment":
            source["inline"] = True
        self.add_content(name, media_type, content, source)

    def add_content(
        self, name: str, media_type: str, content: bytes, source: dict[str, Any] | None = None
    ) -> None:
        """File *content* under *name*."""
        self.found.append(
            Attachment(
                kind=_kind(media_type),
                mime_type=media_type,
                filename=self._unique(name),
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                source=source or {},
                content=content,
            )
        )


# --- what was said -------------------------------------------------------------------------------


def _is_words(part: Part) -> bool:
    """Whether *part* is something said rather than a file."""
    if part.media_type not in ("text/plain", "text/html", "text/enriched"):
        return False
    return part.disposition != "attachment" and not _named(part)


def _leaves(part: Part) -> Iterator[Part]:
    stack = [part]
    while stack:
        here = stack.pop()
        if here.children:
            stack.extend(reversed(here.children))
        elif not here.is_multipart or here.depth:
            yield here


def _said(part: Part) -> _Said:
    text = _text_in(part)
    return _Said(html=text) if part.media_type == "text/html" else _Said(plain=text)


def _one_of(pieces: list[list[_Said]]) -> list[_Said]:
    """The pieces of multipart/alternative as one: its plain words beside its HTML."""
    plain = [one for group in pieces for one in group if one.html is None]
    rich = [group for group in pieces if any(one.html is not None for one in group)]
    if not rich:
        return plain[:1]
    shown = rich[-1]
    words = "\n".join(one.plain or "" for one in plain) if plain else None
    merged = "\n".join(
        one.html if one.html is not None else to_html(one.plain or "") for one in shown
    )
    return [_Said(plain=words if words is not None else _plain_of(shown), html=merged)]


def _plain_of(shown: list[_Said]) -> str | None:
    plains = [one.plain for one in shown if one.plain is not None]
    return "\n".join(plains) if len(plains) == len(shown) else None


def _collect(part: Part, files: _Files) -> list[_Said]:
    """What *part* says, in order; its files go to *files*. Depth is bounded by the tree."""
    if part.children:
        groups = [_collect(child, files) for child in part.children]
        if part.media_type == "multipart/alternative":
            return _one_of(groups)
        return [one for group in groups for one in group]
    if part.is_multipart:
        return []
    if _is_words(part):
        return [_said(part)]
    if part.parent_type == "multipart/alternative" and part.media_type == "text/x-amp-html":
        return []
    files.add(part)
    return []


def _fallback(root: Part, files: _Files) -> list[_Said]:
    """A mail whose only text is a named part: that part is what was said."""
    for number, leaf in enumerate(leaf for leaf in _leaves(root) if not _is_words(leaf)):
        if leaf.media_type in ("text/plain", "text/html") and leaf.disposition != "attachment":
            del files.found[number]
            return [_said(leaf)]
    return []


def _without_uuencoded(text: str, files: _Files) -> str:
    """*text* with the files that old clients write into it taken out."""
    if "\nend" not in text or "begin " not in text:
        return text

    def file_away(match: re.Match[str]) -> str:
        content = from_uuencode(match[2].encode("utf-8", "replace"))
        name = safe_name(match[1]) or f"attachment-{len(files.found) + 1}.bin"
        guessed = _TYPES.guess_type(name)[0] or "application/octet-stream"
        files.add_content(name, _sniffed(content) or guessed, content)
        return ""

    return _UUENCODED.sub(file_away, text[:MAX_TEXT_CHARACTERS])


def _tidy(text: str) -> str:
    return text.strip("\n").rstrip()


def read_body(root: Part) -> Body:
    """What the mail under *root* says, and its files."""
    files = _Files()
    body = Body()
    pieces = _collect(root, files)
    if not any(one.plain or one.html for one in pieces):
        pieces = _fallback(root, files) or pieces
    text = "\n".join(shown for one in pieces if (shown := _tidy(one.text)))
    text = _tidy(_without_uuencoded(text, files))
    if len(text) > MAX_TEXT_CHARACTERS:
        text = text[:MAX_TEXT_CHARACTERS]
        body.defects.append("text cut")
    body.text = text
    if any(one.html is not None for one in pieces):
        merged = "\n".join(
            one.html if one.html is not None else to_html(one.plain or "") for one in pieces
        )
        body.html = harmless(merged)
        if body.html is None and merged.strip():
            body.defects.append("html too large or too deep to show")
    body.attachments = files.found
    return body
