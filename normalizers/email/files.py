"""The files that came with a mail: what they are called, what they are, and those inside of others."""

import hashlib
import mimetypes
import re
from typing import Any

from hub.model import Attachment
from hub.text import clean
from normalizers.email.headers import read_block
from normalizers.email.mime import Part

__all__ = ["Files", "named", "safe_name", "sniffed", "type_of_name"]

MAX_FILENAME_BYTES = 255

_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("text/calendar", ".ics")
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


def named(part: Part) -> str:
    """The name that *part* gives itself; empty when it gives none."""
    name = part.disposition_parameters.get("filename") or part.type_parameters.get("name") or ""
    return safe_name(" ".join(name.split()))


def sniffed(content: bytes) -> str | None:
    """The media type that the first bytes of *content* tell, or None."""
    for signature, media_type in _SIGNATURES:
        if content.startswith(signature):
            return media_type
    if content[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12])
    return "video/mp4" if content[4:8] == b"ftyp" and content[8:11] in (b"mp4", b"iso") else None


def _media_type(part: Part, name: str, content: bytes) -> str:
    """What the file is: by its first bytes, else as declared, else by its name."""
    told = sniffed(content)
    declared = part.media_type
    if told and (declared in _VAGUE or declared.split("/")[0] in ("image", "audio", "text")):
        return told
    if declared not in _VAGUE:
        return declared
    return type_of_name(name)


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


class Files:
    """The attachments found so far; every name is used once."""

    def __init__(self) -> None:
        self.found: list[Attachment] = []
        self._names: set[str] = set()
        self._of_part: dict[int, Attachment] = {}

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
        name = named(part)
        media_type = _media_type(part, name, content)
        name = name or _invented_name(part, media_type, len(self.found) + 1)
        content_id = part.headers.text("content-id").strip("<> ")[:200]
        source: dict[str, Any] = {"disposition": part.disposition[:40] or None}
        if content_id:
            source["cid"] = content_id
        if content_id and part.disposition != "attachment":
            source["inline"] = True
        self._of_part[part.start] = self.add_content(name, media_type, content, source)

    def drop(self, part: Part) -> None:
        """*part* is no file after all."""
        filed = self._of_part.pop(part.start, None)
        self.found = [one for one in self.found if one is not filed]

    def add_named(self, name: str, content: bytes) -> None:
        """File *content* that was inside of another file, where it was called *name*."""
        name = safe_name(name) or f"attachment-{len(self.found) + 1}.bin"
        self.add_content(name, sniffed(content) or type_of_name(name), content)

    def add_content(
        self, name: str, media_type: str, content: bytes, source: dict[str, Any] | None = None
    ) -> Attachment:
        """File *content* under *name*."""
        filed = Attachment(
            kind=_kind(media_type),
            mime_type=media_type,
            filename=self._unique(name),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            source=source or {},
            content=content,
        )
        self.found.append(filed)
        return filed


def type_of_name(name: str) -> str:
    """The media type that the ending of *name* stands for."""
    return _TYPES.guess_type(name)[0] or "application/octet-stream"
