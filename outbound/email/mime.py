"""A mail as text, written by hand: the standard library turns long message ids into encoded words.

Outlook and Exchange drop such ``References``, and the customer's reply opens a new thread. Here ids
stand whole on lines of their own, names and subjects are encoded as a whole, and every line is
7-bit and at most 998 characters long. No value can begin a new header field.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["File", "Letter", "Thread", "encoded", "mailbox", "placeholder", "write"]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ID = re.compile(r"[!-;=?-~]{1,900}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,80}/[A-Za-z0-9!#$&^_.+-]{1,80}")
_WORD_BYTES = 45
_MAX_PLAIN_LINE = 900


class File(NamedTuple):
    """A file of the mail; *content* is base64 text or a placeholder for it.

    One with a *content_id* is shown inside of the HTML, where ``cid:`` names it.
    """

    filename: str
    mime_type: str
    content: str
    content_id: str | None = None


class Thread(NamedTuple):
    """Where the mail stands: ids without brackets."""

    message_id: str
    in_reply_to: str | None = None
    references: Sequence[str] = ()


class Letter(NamedTuple):
    """Everything that a mail says."""

    sender: str
    sender_name: str
    recipient: str
    subject: str
    date: datetime
    thread: Thread
    text: str | None = None
    html: str | None = None
    files: Sequence[File] = ()
    copies: Sequence[str] = ()
    reply_to: str | None = None
    is_automatic: bool = False


def encoded(value: str) -> str:
    """*value* for a header: as it is when plain, else as encoded words that never cut a character."""
    flat = _CONTROL.sub(" ", value).strip()
    if flat.isascii() and len(flat) <= 70 and "=?" not in flat:
        return flat
    words, here = [], b""
    for character in flat:
        octets = character.encode("utf-8", "replace")
        if len(here) + len(octets) > _WORD_BYTES:
            words.append(here)
            here = b""
        here += octets
    words.append(here)
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(word).decode()}?=" for word in words)


def mailbox(name: str, address: str) -> str:
    """*name* and *address* for a From or To field."""
    flat = _CONTROL.sub(" ", name).strip()
    if not flat:
        return address
    shown = encoded(flat)
    if shown == flat:
        escaped = flat.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address}>'
    return f"{shown}\r\n <{address}>"


def _ids(ids: Sequence[str]) -> str:
    """*ids* in brackets, one on a line, whole; those that could break the field are left out."""
    return "\r\n ".join(f"<{one}>" for one in ids if _ID.fullmatch(one))


def _addresses(addresses: Sequence[str]) -> str:
    return ",\r\n ".join(addresses)


def _plain_name(filename: str) -> str:
    """*filename* without a path or control characters."""
    return _CONTROL.sub(" ", filename).replace("/", "_").replace("\\", "_").strip() or "file"


def _name_parameter(name: str, value: str) -> str:
    """A parameter with a file name: quoted when plain, else by RFC 2231."""
    flat = _plain_name(value)
    if flat.isascii() and len(flat) <= 60 and '"' not in flat:
        return f'{name}="{flat}"'
    whole = quote(flat.encode("utf-8", "replace"), safe="")
    pieces = re.findall(r"(?:%[0-9A-F]{2}|.){1,50}", whole)
    if len(pieces) == 1:
        return f"{name}*=utf-8''{whole}"
    lines = [f"{name}*0*=utf-8''{pieces[0]}"]
    lines += [f"{name}*{index}*={piece}" for index, piece in enumerate(pieces[1:], 1)]
    return ";\r\n ".join(lines)


def _body(text: str) -> tuple[str, str]:
    """The transfer encoding for *text* and the encoded text, with CRLF line ends."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    unix = unix if unix.endswith("\n") else unix + "\n"
    plain = unix.isascii() and all(len(line) <= _MAX_PLAIN_LINE for line in unix.split("\n"))
    if plain and not re.search(r"^From ", unix, re.MULTILINE):
        return "7bit", unix.replace("\n", "\r\n")
    octets = unix.encode("utf-8", "replace")
    if sum(octet > 126 for octet in octets) * 6 < len(octets):
        quoted = binascii.b2a_qp(octets, istext=True).decode("ascii")
        quoted = re.sub(r"^From ", "=46rom ", quoted, flags=re.MULTILINE)
        return "quoted-printable", re.sub(r"\r?\n", "\r\n", quoted)
    return "base64", in_lines(octets.replace(b"\n", b"\r\n"))


def in_lines(content: bytes) -> str:
    """*content* as base64 in lines of 76 characters that end in CRLF."""
    return base64.encodebytes(content).decode("ascii").replace("\n", "\r\n")


def placeholder(boundary_seed: str, index: int) -> str:
    """What stands for the content of a file until the mail is sent; no text can contain it by chance."""
    digest = hashlib.sha256(f"{boundary_seed}:file:{index}".encode()).hexdigest()
    return f"{{{{attachment {index} {digest}}}}}\r\n"


def _boundary(seed: str, name: str) -> str:
    return "=_" + hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:32]


def _text_part(subtype: str, text: str) -> str:
    encoding, body = _body(text)
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
    )


def _file_part(file: File) -> str:
    media_type = file.mime_type if _MEDIA_TYPE.fullmatch(file.mime_type) else ""
    if media_type.split("/")[0] in ("", "multipart", "message"):
        media_type = "application/octet-stream"
    # Old clients read the name as encoded words beside the type, new ones by RFC 2231 below.
    old_name = encoded(_plain_name(file.filename)).replace('"', "'")
    return (
        f'Content-Type: {media_type};\r\n name="{old_name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        f"{_content_id(file)}"
        f"Content-Disposition: {'inline' if file.content_id else 'attachment'};\r\n"
        f" {_name_parameter('filename', file.filename)}\r\n"
        f"\r\n{file.content}"
    )


def _content_id(file: File) -> str:
    return f"Content-ID: <{file.content_id}>\r\n" if file.content_id else ""


def _multipart(subtype: str, boundary: str, parts: Sequence[str]) -> str:
    joined = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n{joined}--{boundary}--\r\n'


def _html_part(letter: Letter) -> str:
    """The HTML, together with the pictures that belong into it (RFC 2387)."""
    html = _text_part("html", letter.html or "")
    inline = [file for file in letter.files if file.content_id]
    if not inline:
        return html
    boundary = _boundary(letter.thread.message_id, "related")
    return _multipart("related", boundary, [html, *map(_file_part, inline)])


def _content(letter: Letter) -> str:
    """The content fields of the mail and its body."""
    seed = letter.thread.message_id
    said = [_text_part("plain", letter.text)] if letter.text is not None else []
    said += [_html_part(letter)] if letter.html is not None else []
    if len(said) == 2:
        said = [_multipart("alternative", _boundary(seed, "alternative"), said)]
    apart = [file for file in letter.files if not file.content_id]
    parts = [*said, *map(_file_part, apart)]
    if len(parts) == 1 and said:
        return parts[0]
    return _multipart("mixed", _boundary(seed, "mixed"), parts or [_text_part("plain", "")])


def write(letter: Letter) -> str:
    """*letter* as it goes over the wire: CRLF line ends, the same for the same letter.

    ASCII, but for addresses in other scripts (RFC 6532).
    """
    fields = [
        f"From: {mailbox(letter.sender_name, letter.sender)}",
        f"To: {letter.recipient}",
        *([f"Cc: {_addresses(letter.copies)}"] if letter.copies else []),
        *([f"Reply-To: {letter.reply_to}"] if letter.reply_to else []),
        f"Subject: {encoded(letter.subject)}",
        f"Date: {format_datetime(letter.date.astimezone(UTC))}",
        f"Message-ID: <{letter.thread.message_id}>",
    ]
    if letter.thread.in_reply_to and (answered := _ids([letter.thread.in_reply_to])):
        fields.append(f"In-Reply-To: {answered}")
    if references := _ids(letter.thread.references):
        fields.append(f"References: {references}")
    if letter.is_automatic:
        # RFC 3834 section 5; the second is what Exchange listens to.
        fields += ["Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All"]
    fields.append("MIME-Version: 1.0")
    return "\r\n".join(fields) + "\r\n" + _content(letter)
