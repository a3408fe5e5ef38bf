"""Which parts of a mail are what was said, and which are files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.html import charset_named_in, harmless, is_tame, text_of, to_html
from hub.model import Attachment
from normalizers.email.calendar import invitation, invitation_text
from normalizers.email.charsets import decode
from normalizers.email.files import Files, named, safe_name, sniffed, type_of_name
from normalizers.email.mime import Part, from_uuencode, read_tree
from normalizers.email.quotes import Split, split_reply, without_html_quotes
from normalizers.email.tnef import TNEF_TYPES, unpack
from normalizers.email.wrapped import (
    CMS_TYPES,
    cms_kind,
    in_armor,
    protection_of,
    signed_content,
)

__all__ = ["Body", "read_body"]

MAX_TEXT_CHARACTERS = 1_000_000
_MAX_TEXT_BYTES = 4 * MAX_TEXT_CHARACTERS
_MAX_OPENED = 3
_STANDARDS = {"pgp-encrypted": "OpenPGP", "encrypted": "unknown standard"}

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
    """What a mail says (*text*, sanitised *html*) and the files that came with it.

    *split* tells the new text from the quoted; *protection* names how it was signed or encrypted.
    """

    text: str = ""
    html: str | None = None
    split: Split = field(default_factory=lambda: Split(""))
    protection: tuple[str, ...] = ()
    invitation: Mapping[str, Any] | None = None
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


# --- what was said -------------------------------------------------------------------------------


def _is_words(part: Part) -> bool:
    """Whether *part* is something said rather than a file."""
    if part.media_type not in ("text/plain", "text/html", "text/enriched"):
        return False
    return part.disposition != "attachment" and not named(part)


def _leaves(part: Part) -> Iterator[Part]:
    stack = [part]
    while stack:
        here = stack.pop()
        if here.children:
            stack.extend(reversed(here.children))
        elif not here.is_multipart or here.depth:
            yield here


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


class _Gathering:
    """What a mail says and brings, as it is found part by part. Depth is bounded by the tree."""

    def __init__(self) -> None:
        self.files = Files()
        self.protection: list[str] = []
        self.invitation: Mapping[str, Any] | None = None
        self._opened = 0

    def collect(self, part: Part) -> list[_Said]:
        """What *part* says, in order; its files are kept."""
        if kind := protection_of(part):
            self.protection.append(kind)
        if part.children and part.media_type == "multipart/encrypted":
            self._file_all(part)
            return [_Said(plain=f"[encrypted mail ({_STANDARDS[kind or 'encrypted']})]")]
        if part.children:
            groups = [self.collect(child) for child in part.children]
            if part.media_type == "multipart/alternative":
                return _one_of(groups)
            return [one for group in groups for one in group]
        if part.is_multipart:
            return []
        if _is_words(part):
            return [self._said(part)]
        return self._of_a_file(part)

    def _file_all(self, part: Part) -> None:
        for leaf in _leaves(part):
            self.files.add(leaf)

    def _said(self, part: Part) -> _Said:
        text = _text_in(part)
        if part.media_type == "text/html":
            return _Said(html=text)
        if armor := in_armor(text):
            self.protection.append(armor.protection)
            text = armor.text
        return _Said(plain=text)

    def _of_a_file(self, part: Part) -> list[_Said]:
        """What is said inside of a file: a signed mail, a winmail.dat, an invitation."""
        name = named(part).lower()
        if part.parent_type == "multipart/alternative" and part.media_type == "text/x-amp-html":
            return []
        if part.media_type in CMS_TYPES or name.endswith(".p7m"):
            return self._of_cms(part)
        if part.media_type in TNEF_TYPES or name == "winmail.dat":
            return self._of_tnef(part)
        if part.media_type in ("text/calendar", "application/ics") and self.invitation is None:
            self.invitation = invitation(part.content)
        self.files.add(part)
        return []

    def _of_cms(self, part: Part) -> list[_Said]:
        kind = cms_kind(part)
        if kind is not None:
            self.protection.append(f"smime-{kind}")
        inner = signed_content(part.content) if kind == "signed" else None
        if inner and self._opened < _MAX_OPENED:
            self._opened += 1
            return self.collect(read_tree(inner).root)
        self.files.add(part)
        return [_Said(plain="[encrypted mail (S/MIME)]")] if kind == "encrypted" else []

    def _of_tnef(self, part: Part) -> list[_Said]:
        unpacked = unpack(part.content)
        if unpacked is None:
            self.files.add(part)
            return []
        for name, content in unpacked.files:
            self.files.add_named(name, content)
        said = _Said(plain=unpacked.text, html=unpacked.html)
        return [said] if said.plain or said.html else []

    def fallback(self, root: Part) -> list[_Said]:
        """A mail whose only text is a named part: that part is what was said."""
        for leaf in _leaves(root):
            words = leaf.media_type in ("text/plain", "text/html") and not _is_words(leaf)
            if words and leaf.disposition != "attachment":
                self.files.drop(leaf)
                return [self._said(leaf)]
        return []


def _without_uuencoded(text: str, files: Files) -> str:
    """*text* with the files that old clients write into it taken out."""
    if "\nend" not in text or "begin " not in text:
        return text

    def file_away(match: re.Match[str]) -> str:
        content = from_uuencode(match[2].encode("utf-8", "replace"))
        name = safe_name(match[1]) or f"attachment-{len(files.found) + 1}.bin"
        files.add_content(name, sniffed(content) or type_of_name(name), content)
        return ""

    return _UUENCODED.sub(file_away, text[:MAX_TEXT_CHARACTERS])


def _tidy(text: str) -> str:
    return text.strip("\n").rstrip()


def _split(pieces: Sequence[_Said], text: str) -> Split:
    """The new text apart from quotation and signature: by the marks in the HTML, then by the words."""
    split = split_reply(text)
    html = _merged(pieces)
    if html is None or not is_tame(html):
        return split
    shorter = without_html_quotes(html)
    if shorter is None:
        return split
    by_marks = split_reply(text_of(shorter))
    if not by_marks.reply.strip() or len(by_marks.reply) >= len(split.reply):
        return split
    return Split(by_marks.reply, by_marks.signature or split.signature, split.quoted or text)


def _merged(pieces: Sequence[_Said]) -> str | None:
    """All pieces as one HTML; None when none of them is HTML."""
    if all(one.html is None for one in pieces):
        return None
    return "\n".join(
        one.html if one.html is not None else to_html(one.plain or "") for one in pieces
    )


def read_body(root: Part) -> Body:
    """What the mail under *root* says, and its files."""
    found = _Gathering()
    body = Body()
    pieces = found.collect(root)
    if not any(one.plain or one.html for one in pieces):
        pieces = found.fallback(root) or pieces
    text = "\n".join(shown for one in pieces if (shown := _tidy(one.text)))
    text = _tidy(_without_uuencoded(text, found.files))
    if not text and found.invitation:
        text = invitation_text(found.invitation)
    if len(text) > MAX_TEXT_CHARACTERS:
        text = text[:MAX_TEXT_CHARACTERS]
        body.defects.append("text cut")
    body.text = text
    if (merged := _merged(pieces)) is not None:
        body.html = harmless(merged)
        if body.html is None and merged.strip():
            body.defects.append("html too large or too deep to show")
    body.split = _split(pieces, text)
    body.protection = tuple(dict.fromkeys(found.protection))
    body.invitation = found.invitation
    body.attachments = found.files.found
    return body
