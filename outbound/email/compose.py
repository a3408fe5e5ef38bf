"""From a reply to the one mail that says it. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from hub.errors import Unsupported
from hub.html import text_of
from hub.model import Draft, Reply, ReplyAttachment
from hub.text import single_line
from outbound.email.mime import File, Letter, Thread, in_lines, placeholder, write
from outbound.email.settings import EmailSettings
from outbound.email.tags import SUBJECT_TAG_CHARACTERS, known_ids, tag_of, tagged_address

__all__ = ["MAX_ATTACHMENT_BYTES", "compose_mail"]

MAX_ATTACHMENT_BYTES = 25 * 1024 * 1024
_MAX_REFERENCES = 20
_MAX_COPIES = 20
_MAX_SUBJECT_CHARACTERS = 500

# Whatever prefixes the customer's client put before the subject, one "Re:" is enough.
_PREFIX = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|res|rif|回复|答复|回覆|返信|답장)\s*(?:\[\d+\])?\s*[:\uff1a]\s*",
    re.IGNORECASE,
)
_RECIPIENT = re.compile(r"[^\s<>()\[\],;:\\\"@\x00-\x20\x7f]+@[^\s<>()\[\],;:\\\"@\x00-\x20\x7f]+")


def _idna(domain: str) -> str:
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")


def _on_the_wire(address: str) -> str:
    """*address* as SMTP carries it: domains in other scripts by IDNA, unless the rest needs SMTPUTF8."""
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        return address
    try:
        return f"{local}@{_idna(domain)}"
    except UnicodeError as error:
        raise Unsupported(f"not a mail address: {address[:200]!r}") from error


def recipient_of(reply: Reply) -> str:
    """Where the mail goes: the customer's Reply-To where there was one, else the contact's address."""
    wanted = str(reply.reply_context.get("reply_to") or reply.to.value)
    if not _RECIPIENT.fullmatch(wanted) or len(wanted) > 254:
        raise Unsupported(f"not a mail address: {wanted[:200]!r}")
    if wanted.endswith("@invalid"):
        raise Unsupported("the mail names no sender: there is nobody to answer")
    return _on_the_wire(wanted)


def copies_of(reply: Reply, settings: EmailSettings, recipient: str) -> list[str]:
    """Who gets a copy: those who got one of the mail that is answered, as far as they can be reached."""
    if not settings.keep_cc:
        return []
    wanted = [one for one in reply.reply_context.get("cc") or () if isinstance(one, str)]
    fit = [one for one in wanted if _RECIPIENT.fullmatch(one) and len(one) <= 254 and one.isascii()]
    seen = {recipient.lower(), settings.address.lower(), reply.to.value.lower()}
    return [one for one in dict.fromkeys(fit) if one.lower() not in seen][:_MAX_COPIES]


def subject_of(reply: Reply, tag: str | None = None) -> str:
    """The helpdesk's subject, else that of the mail which is answered behind one ``Re:``."""
    subject = _subject(reply)
    mark = f"[#{tag[:SUBJECT_TAG_CHARACTERS].upper()}]" if tag else ""
    return f"{subject} {mark}" if mark and mark not in subject else subject


def _subject(reply: Reply) -> str:
    if reply.subject and reply.subject.strip():
        return single_line(reply.subject, _MAX_SUBJECT_CHARACTERS)
    if not reply.reply_context:
        return single_line(reply.text or "", 60) or "(no subject)"
    base = single_line(str(reply.reply_context.get("subject") or ""), _MAX_SUBJECT_CHARACTERS)
    while (match := _PREFIX.match(base)) is not None:
        base = base[match.end() :]
    return f"Re: {base}".strip()


def message_id_of(reply: Reply, settings: EmailSettings) -> str:
    """The Message-ID, always the same for the same reply, so that a repeat can be known as one."""
    name = reply.message_id
    if not name or not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
        content = msgspec.json.encode(msgspec.structs.replace(reply, attachments=()))
        name = hashlib.sha256(content).hexdigest()[:26]
    digest = hashlib.sha256(f"{settings.address}:{name}".encode()).hexdigest()[:10]
    return f"hub.{name}.{digest}@{_idna(settings.domain)}"


def thread_of(reply: Reply, settings: EmailSettings) -> Thread:
    """The ids that make the customer's client show the mail below the one that it answers."""
    context = reply.reply_context
    answered = str(reply.in_reply_to or context.get("message_id") or "").strip("<> ")
    earlier = context.get("references") or ()
    references = [str(one).strip("<> ") for one in earlier if isinstance(one, str)]
    known = list(dict.fromkeys(one for one in [*references, answered] if one))
    if len(known) > _MAX_REFERENCES:
        known = [known[0], *known[1 - _MAX_REFERENCES :]]
    return Thread(message_id_of(reply, settings), answered or None, known)


def _text_of(reply: Reply) -> tuple[str | None, str | None]:
    """The text with what a mail can only spell out, and a note on what was spelled out."""
    lines = [reply.text] if reply.text else []
    notes = []
    if reply.menu:
        choices = [f"{number}. {one.label}" for number, one in enumerate(reply.menu.choices, 1)]
        lines.append("\n".join([reply.menu.title, *choices, *filter(None, [reply.menu.footer])]))
        notes.append("menu written as text")
    if reply.location:
        place = reply.location
        lines.append(f"{place.label or ''} {place.latitude},{place.longitude}".strip())
        notes.append("location written as text")
    if reply.link:
        shown = [reply.link.title, reply.link.description, reply.link.url]
        lines.append("\n".join(one for one in shown if one))
        notes.append("link written as text")
    return "\n\n".join(lines) or None, "; ".join(notes) or None


def _checked(attachments: Sequence[ReplyAttachment]) -> None:
    total = 0
    for one in attachments:
        size = len(one.content) if one.content is not None else one.size_bytes or 0
        total += size
    if total > MAX_ATTACHMENT_BYTES:
        raise Unsupported(f"files of {total} bytes; a mail carries {MAX_ATTACHMENT_BYTES}")


def _filename(attachment: ReplyAttachment, number: int) -> str:
    return (attachment.filename or "").strip() or f"attachment-{number}"


def _files(attachments: Sequence[ReplyAttachment], seed: str, html: str | None) -> list[File]:
    return [
        File(
            _filename(one, number),
            one.mime_type or "application/octet-stream",
            in_lines(one.content) if one.content is not None else placeholder(seed, number),
            _content_id(seed, number) if html and _reference(one, number).search(html) else None,
        )
        for number, one in enumerate(attachments, 1)
    ]


def _content_id(seed: str, number: int) -> str:
    return f"{hashlib.sha256(seed.encode()).hexdigest()[:16]}.{number}@inline"


def _reference(attachment: ReplyAttachment, number: int) -> re.Pattern[str]:
    """How HTML names a file that it shows: ``cid:`` with its name or id, or its address at the hub."""
    names = [_filename(attachment, number), quote(_filename(attachment, number))]
    names += [attachment.id] if attachment.id else []
    named = "|".join(re.escape(name) for name in names)
    own = rf"|[^\s\"'()<>]*/v1/attachments/{re.escape(attachment.id)}" if attachment.id else ""
    return re.compile(rf"(?P<open>[\"'(])\s*(?:cid:(?:{named}){own})(?P<close>[\"')])")


def _with_inline(html: str | None, attachments: Sequence[ReplyAttachment], seed: str) -> str | None:
    """*html* with the files that it shows named as the mail names them."""
    for number, one in enumerate(attachments, 1) if html else ():
        target = rf"\g<open>cid:{_content_id(seed, number)}\g<close>"
        html = _reference(one, number).sub(target, html or "")
    return html


def _to_load(attachments: Sequence[ReplyAttachment], seed: str) -> list[Mapping[str, Any]]:
    """The files that are read when the mail is sent, each with the line that it replaces."""
    return [
        {"placeholder": placeholder(seed, number).strip(), **msgspec.to_builtins(one)}
        for number, one in enumerate(attachments, 1)
        if one.content is None
    ]


def _time_for(file_bytes: int) -> float | None:
    """Seconds for the call: files grow by a third in base64, and a slow line takes 100 kB/s."""
    return min(300.0, 15.0 + file_bytes * 4 / 3 / 100_000) if file_bytes else None


def _copied(copies: Sequence[str]) -> dict[str, str]:
    return {"cc": ", ".join(copies)} if copies else {}


def compose_mail(reply: Reply, settings: EmailSettings, now: datetime) -> Draft:
    """The one call that says *reply*.

    Raises:
        Unsupported: there is nothing to say, no address to say it to, or the files are too large.
    """
    if not settings.smtp_host:
        raise Unsupported("this mailbox is only read: it has no smtp_host")
    if reply.template:
        raise Unsupported("mail has no templates")
    text, note = _text_of(reply)
    if text is None and not (reply.html and reply.html.strip()) and not reply.attachments:
        raise Unsupported("there is nothing to send")
    _checked(reply.attachments)
    recipient = recipient_of(reply)
    copies = copies_of(reply, settings, recipient)
    tag = tag_of(settings, reply.thread_key or "", reply.to.value)
    thread = thread_of(reply, settings)
    html = reply.html if reply.html and reply.html.strip() else None
    letter = Letter(
        sender=settings.address,
        sender_name=settings.from_name,
        recipient=recipient,
        subject=subject_of(reply, tag if "subject" in settings.tags else None),
        date=reply.created_at or now,
        thread=thread,
        text=text if text is not None else text_of(html or ""),
        html=_with_inline(html, reply.attachments, thread.message_id),
        files=_files(reply.attachments, thread.message_id, html),
        copies=copies,
        reply_to=tagged_address(settings.address, tag)
        if tag and "address" in settings.tags
        else None,
        is_automatic=reply.automatic,
    )
    scheme = "smtps" if settings.smtp_security == "tls" else "smtp"
    extra: dict[str, Any] = {"message_id": thread.message_id}
    if remembered := known_ids(settings, tag):
        extra["known_ids"] = remembered
    if waiting := _to_load(reply.attachments, thread.message_id):
        extra["attachments"] = waiting
    return Draft(
        method="SMTP",
        url=f"{scheme}://{settings.smtp_host}:{settings.smtp_port}",
        headers={"from": settings.address, "to": recipient} | _copied(copies),
        body=write(letter),
        text=text,
        note=note,
        timeout_s=_time_for(sum(one.size_bytes or 0 for one in reply.attachments)),
        extra=extra,
    )
