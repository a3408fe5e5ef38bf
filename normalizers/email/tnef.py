"""winmail.dat: the files and the text that Outlook packs into TNEF.

tnefparse is an optional extra; without it, and where it fails, the file stays as it is.
"""

import logging
from typing import NamedTuple

from normalizers.email.charsets import decode

__all__ = ["TNEF_TYPES", "Unpacked", "unpack"]

TNEF_TYPES = ("application/ms-tnef", "application/vnd.ms-tnef")
_SIGNATURE = b"\x78\x9f\x3e\x22"
_MAX_BYTES = 32 * 1024 * 1024
_MAX_FILES = 100


class Unpacked(NamedTuple):
    """What was in it: *files* are (name, content)."""

    text: str | None
    html: str | None
    files: tuple[tuple[str, bytes], ...]


def unpack(content: bytes) -> Unpacked | None:
    """What is inside of *content*; None when it is no TNEF that can be read."""
    if not content.startswith(_SIGNATURE) or len(content) > _MAX_BYTES:
        return None
    try:
        from tnefparse.tnef import TNEF
    except ImportError:
        return None
    logging.getLogger("tnef-decode").setLevel(logging.CRITICAL)
    logging.getLogger("tnefparse").setLevel(logging.CRITICAL)
    try:
        found = TNEF(content, do_checksum=False)
        files = tuple(
            (_name(one), bytes(one.data))
            for one in found.attachments[:_MAX_FILES]
            if isinstance(one.data, bytes | bytearray)
        )
        text = _text(getattr(found, "body", None), found.codepage)
        html = _text(getattr(found, "htmlbody", None), found.codepage)
    except Exception:  # bytes of others, in a format that few have described
        return None
    return Unpacked(text, html, files) if files or text or html else None


def _name(attachment: object) -> str:
    try:
        name = attachment.long_filename()  # type: ignore[attr-defined]
    except Exception:
        name = getattr(attachment, "_name", b"")
    shown = decode(name) if isinstance(name, bytes) else str(name)
    return shown.strip("\x00 ")


def _text(found: object, codepage: str | None) -> str | None:
    if isinstance(found, bytes):
        found = decode(found, codepage)
    return found.strip("\x00") if isinstance(found, str) and found.strip("\x00 \r\n") else None
