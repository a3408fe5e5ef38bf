"""What inbound-parse services post, back into a mail: as the provider got it, or from its pieces.

Sources: https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/ ·
https://postmarkapp.com/developer/webhooks/inbound-webhook ·
https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from normalizers.email.mime import Part, read_tree

__all__ = ["NotPosted", "Posted", "fields_of", "unwrapped"]

_MAX_FIELDS = 500
# These describe the provider's own pieces no more.
_DROPPED = ("content-type", "content-transfer-encoding", "mime-version", "content-disposition")


class NotPosted(ValueError):
    """The body has not the form of that service."""


class Posted(NamedTuple):
    """A mail, and whom its envelope named."""

    raw: bytes
    envelope_from: str = ""
    envelope_to: str = ""


class _File(NamedTuple):
    name: str
    media_type: str
    content: bytes
    content_id: str = ""


def fields_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a form, files under their field's name; the first of each name counts.

    Raises:
        NotPosted: it is no form.
    """
    return {name: part for name, part in reversed(list(_form(content_type, body)))}  # noqa: C416


def _form(content_type: str, body: bytes) -> Iterable[tuple[str, bytes]]:
    kind = content_type.split(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=_MAX_FIELDS,
            )
        except ValueError as error:
            raise NotPosted("no form") from error
        return [(name, value.encode("utf-8", "surrogateescape")) for name, value in pairs]
    return [(_name(part), part.raw) for part in _parts(content_type, body)]


def _parts(content_type: str, body: bytes) -> list[Part]:
    if not content_type.lower().startswith("multipart/form-data"):
        raise NotPosted("no form")
    head = f"Content-Type: {content_type}\r\n\r\n".encode("utf-8", "replace")
    return read_tree(head + body).root.children


def _name(part: Part) -> str:
    return part.disposition_parameters.get("name", "")


def _text(fields: Mapping[str, bytes], name: str) -> str:
    return fields.get(name, b"").decode("utf-8", "replace").strip()


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text or b"null")
    except (ValueError, RecursionError) as error:
        raise NotPosted("no JSON") from error


# --- services ------------------------------------------------------------------------------------


def unwrapped(form: str, content_type: str, body: bytes) -> Posted:
    """The mail in a post of the service *form* ("mime", "mailgun", "postmark", "sendgrid").

    Raises:
        NotPosted: there is none in it.
    """
    if form == "mime":
        if not body.strip():
            raise NotPosted("an empty mail")
        return Posted(body)
    if form == "mailgun":
        return _mailgun(content_type, body)
    return _postmark(body) if form == "postmark" else _sendgrid(content_type, body)


def _mailgun(content_type: str, body: bytes) -> Posted:
    fields = fields_of(content_type, body)
    envelope = _text(fields, "sender"), _text(fields, "recipient")
    if raw := fields.get("body-mime"):
        return Posted(raw, *envelope)
    listed = _json(fields.get("message-headers", b""))
    if not isinstance(listed, list):
        raise NotPosted("neither body-mime nor message-headers")
    headers = [(str(one[0]), str(one[1])) for one in listed if _is_pair(one)]
    files = _files(content_type, body, _content_ids(fields.get("content-id-map", b"")))
    texts = _text(fields, "body-plain"), _text(fields, "body-html")
    return Posted(_rebuilt(headers, *texts, files), *envelope)


def _is_pair(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 2


def _content_ids(raw: bytes) -> Mapping[str, str]:
    """Field of a file → its Content-ID."""
    found = _json(raw)
    return {str(field): str(own) for own, field in found.items()} if isinstance(found, dict) else {}


def _files(content_type: str, body: bytes, ids: Mapping[str, str]) -> list[_File]:
    if content_type.startswith("application/x-www-form-urlencoded"):
        return []
    return [
        _File(name, part.media_type, part.raw, ids.get(_name(part), ""))
        for part in _parts(content_type, body)
        if (name := part.disposition_parameters.get("filename"))
    ]


def _postmark(body: bytes) -> Posted:
    found = _json(body)
    if not isinstance(found, dict) or "From" not in found:
        raise NotPosted("no inbound mail of Postmark")
    envelope = "", str(found.get("OriginalRecipient") or "")
    if isinstance(raw := found.get("RawEmail"), str) and raw:
        return Posted(raw.encode("utf-8", "surrogatepass"), *envelope)
    headers = [
        (name, str(found.get(name) or "")) for name in ("From", "To", "Cc", "Subject", "Date")
    ]
    listed = [one for one in found.get("Headers") or [] if isinstance(one, dict)]
    headers += [(str(one.get("Name")), str(one.get("Value"))) for one in listed]
    headers += [("Reply-To", str(found.get("ReplyTo") or ""))]
    if not any(name.lower() == "message-id" for name, _ in headers):
        headers.append(("Message-ID", f"<{found.get('MessageID')}@inbound.postmarkapp.com>"))
    files = [
        _File(
            str(one.get("Name") or ""),
            str(one.get("ContentType") or ""),
            _decoded(str(one.get("Content") or one.get("Data") or "")),
            str(one.get("ContentID") or ""),
        )
        for one in found.get("Attachments") or []
        if isinstance(one, dict)
    ]
    texts = str(found.get("TextBody") or ""), str(found.get("HtmlBody") or "")
    return Posted(_rebuilt(headers, *texts, files), *envelope)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "replace")


def _sendgrid(content_type: str, body: bytes) -> Posted:
    fields = fields_of(content_type, body)
    envelope = _json(fields.get("envelope", b""))
    people = envelope if isinstance(envelope, dict) else {}
    to = people.get("to")
    named = str(people.get("from") or ""), ", ".join(map(str, to)) if isinstance(to, list) else ""
    if raw := fields.get("email"):
        return Posted(raw, *named)
    if "headers" not in fields and "from" not in fields:
        raise NotPosted("no inbound mail of SendGrid")
    charsets = _json(fields.get("charsets", b""))
    charsets = charsets if isinstance(charsets, dict) else {}
    head = fields.get("headers", b"").decode("latin-1")
    headers = [(name, value.strip()) for name, _, value in _unfolded(head)]
    text, html = (
        _in_charset(fields.get(name, b""), charsets.get(name)) for name in ("text", "html")
    )
    info = _json(fields.get("attachment-info", b""))
    ids = {
        str(field): str(one.get("content-id") or "")
        for field, one in (info.items() if isinstance(info, dict) else ())
        if isinstance(one, dict)
    }
    return Posted(_rebuilt(headers, text, html, _files(content_type, body, ids)), *named)


def _unfolded(head: str) -> list[tuple[str, str, str]]:
    lines: list[str] = []
    for line in head.replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] += line
        elif line:
            lines.append(line)
    return [line.partition(":") for line in lines]


def _in_charset(raw: bytes, charset: Any) -> str:
    """A field in its own charset: SendGrid does not translate."""
    try:
        return raw.decode(str(charset or "utf-8"), "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


# --- a mail from pieces --------------------------------------------------------------------------


def _rebuilt(headers: list[tuple[str, str]], text: str, html: str, files: list[_File]) -> bytes:
    """A mail that says the same; its Message-ID and other fields are those of the original."""
    lines = [
        f"{name}: {' '.join(value.split())}".encode()
        for name, value in headers
        if value.strip() and name.isascii() and name.isprintable() and ":" not in name
        and name.lower() not in _DROPPED
    ]  # fmt: skip
    words = [_word_part("plain", text)] if text or not html else []
    words += [_word_part("html", html)] if html else []
    body = words[0] if len(words) == 1 else _multipart("alternative", words)
    if files:
        body = _multipart("mixed", [body, *map(_file_part, files)])
    return b"\r\n".join([*lines, body])


def _encoded(content: bytes) -> bytes:
    return b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(content)


def _word_part(subtype: str, words: str) -> bytes:
    kind = f"Content-Type: text/{subtype}; charset=utf-8\r\n".encode()
    return kind + _encoded(words.encode("utf-8", "replace"))


def _file_part(file: _File) -> bytes:
    kind = file.media_type if file.media_type.isascii() and file.media_type.isprintable() else ""
    name = "".join(one for one in file.name if one.isprintable() and one not in '"\\')
    own = file.content_id.strip("<>")
    cid = f"Content-ID: <{own}>\r\n" if own.isprintable() and own else ""
    head = (
        f"Content-Type: {kind or 'application/octet-stream'}\r\n{cid}"
        f'Content-Disposition: {"inline" if cid else "attachment"}; filename="{name}"\r\n'
    )
    return head.encode() + _encoded(file.content)


def _multipart(subtype: str, parts: list[bytes]) -> bytes:
    boundary = hashlib.sha256(b"".join(parts)).hexdigest()[:32].encode()
    joined = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head = f'Content-Type: multipart/{subtype}; boundary="'.encode() + boundary + b'"\r\n\r\n'
    return head + joined + b"--" + boundary + b"--\r\n"
