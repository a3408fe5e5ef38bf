"""Writing a mail as a customer would, and reading one as a customer sees it."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import format_datetime, formataddr, parseaddr
from typing import Literal

from sandbox.files import File

NO_THREAD: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail in a customer's mailbox, or one that the customer sent."""

    number: int
    at: float
    direction: Literal["received", "sent"]
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    files: tuple[File, ...]
    raw: bytes


def new_message_id(domain: str) -> str:
    return f"<{secrets.token_hex(12)}@{domain}>"


def write_letter(
    sender: str,
    to: str,
    subject: str,
    text: str,
    *,
    at: float,
    name: str = "",
    html: str | None = None,
    files: Sequence[File] = (),
    thread: Sequence[str] = NO_THREAD,
) -> bytes:
    """The bytes of a mail, lines ended by CRLF.

    *thread* lists the Message-IDs of the conversation, oldest first; the last
    one is answered. These lines are written by hand: the standard library
    breaks a long Message-ID into encoded words, and threading with it.
    """
    message = EmailMessage()
    message["From"] = formataddr((name, sender))
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    message["Message-ID"] = new_message_id(sender.rpartition("@")[2])
    message.set_content(text, cte="base64" if not text.isascii() else None)
    if html is not None:
        message.add_alternative(html, subtype="html")
    for file in files:
        main, _, sub = file.mime_type.partition("/")
        message.add_attachment(
            file.content, maintype=main, subtype=sub or "octet-stream", filename=file.filename
        )
    return _thread_lines(thread) + message.as_bytes(policy=policy.SMTP)


def read_letter(
    raw: bytes,
    *,
    number: int,
    at: float,
    direction: Literal["received", "sent"],
    recipients: Sequence[str],
) -> Letter:
    """What a plain mail program shows of *raw*; never raises, whatever it is."""
    message = message_from_bytes(raw, policy=policy.compat32)
    text, files = _text_and_files(message)
    return Letter(
        number=number,
        at=at,
        direction=direction,
        sender=_header(message, "From"),
        recipients=tuple(recipients),
        subject=_header(message, "Subject"),
        text=text,
        message_id=_header(message, "Message-ID").strip(),
        in_reply_to=_header(message, "In-Reply-To").strip(),
        references=tuple(_header(message, "References").split()),
        files=tuple(files),
        raw=raw,
    )


def threads_of(letters: Iterable[Letter]) -> dict[int, int]:
    """The thread of each letter, by numbers: a thread is called after its first letter.

    As mail programs do it: a letter belongs where the nearest mail is that it names.
    """
    by_id: dict[str, int] = {}
    threads: dict[int, int] = {}
    for letter in letters:
        named = (letter.in_reply_to, *reversed(letter.references))
        thread = next((by_id[one] for one in named if one in by_id), letter.number)
        threads[letter.number] = thread
        for one in (letter.message_id, *letter.references):
            by_id.setdefault(one, thread)
    return threads


def address_in(header: str) -> str:
    """The bare address of ``Name <address>``, in lower case."""
    return parseaddr(header)[1].lower()


def _thread_lines(thread: Sequence[str]) -> bytes:
    if not thread:
        return b""
    references = "\r\n ".join(thread)
    return f"In-Reply-To: {thread[-1]}\r\nReferences: {references}\r\n".encode()


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    if value is None:
        return ""
    try:
        return str(make_header(decode_header(value)))
    except (MessageError, ValueError, LookupError):
        return str(value)


def _text_and_files(message: Message) -> tuple[str, list[File]]:
    texts: list[str] = []
    files: list[File] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        filename = part.get_filename()
        if filename or part.get_content_disposition() == "attachment":
            files.append(File(_decoded(filename or "attachment"), part.get_content_type(), data))
        elif part.get_content_type() == "text/plain":
            texts.append(_as_text(data, part.get_content_charset()))
    return "\n".join(texts).replace("\r\n", "\n").strip(), files


def _decoded(filename: str) -> str:
    try:
        return str(make_header(decode_header(filename)))
    except (MessageError, ValueError, LookupError):
        return filename


def _as_text(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")
