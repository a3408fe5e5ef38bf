"""What the source of a mail states about it, compared with what the channel makes of it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hub.model import Message, Result
from normalizers.email.quotes import split_reply
from tests.mailkit import results

__all__ = ["Entry", "Said", "read", "stated"]

Facts = Mapping[str, Any]


class Entry(NamedTuple):
    """One file of the corpus with what its source states."""

    root: Path
    source: str
    file: str
    role: str
    expected: Facts

    @property
    def raw(self) -> bytes:
        """The file's bytes."""
        return (self.root / self.file).read_bytes()


class Said(NamedTuple):
    """One statement: *what* the source states of a mail, what it *wanted* and what we *got*."""

    what: str
    wanted: Any
    got: Any

    @property
    def is_met(self) -> bool:
        """Whether we see what the source saw."""
        if isinstance(self.wanted, str) and "\ufffd" in self.wanted:
            return _fits(self.wanted, str(self.got))
        return bool(self.wanted == self.got)


def _fits(wanted: str, got: str) -> bool:
    """Sources that could not read a character state a hole; we may have read it."""
    pieces = (re.escape(piece) for piece in re.split("\ufffd+", wanted))
    return re.match(".{1,4}?".join(pieces), got, re.DOTALL) is not None


def _flat(text: Any) -> str:
    return " ".join(str(text or "").replace("\u200b", "").split())


def _message(found: list[Result]) -> Message | None:
    return next((one for one in found if isinstance(one, Message)), None)


def read(entry: Entry) -> list[Result]:
    """What the channel makes of *entry*: bare texts and files are wrapped in a small mail."""
    head = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\n"
    if entry.role in ("reply-text", "signature-text"):
        return results(head + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + entry.raw)
    if entry.role == "reply-html":
        return results(head + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + entry.raw)
    if entry.role == "tnef":
        kind = b'Content-Type: application/ms-tnef; name="winmail.dat"\r\n'
        return results(head + kind + b"\r\n" + entry.raw)
    return results(entry.raw)


# --- statements by source ------------------------------------------------------------------------


def _address(value: Any) -> str | None:
    """The first address in any of the forms in which the sources write it."""
    if isinstance(value, dict) and "Address" in value:
        value = (value["Address"].get("List") or [{}])[0]
    if isinstance(value, dict):
        value = value.get("address") or value.get("email")
    found = re.search(r"[^\s<>\"]+@[^\s<>\"]+", str(value or ""))
    return found[0].lower() if found else None


def _name(value: Any) -> str | None:
    if isinstance(value, dict) and "Address" in value:
        value = (value["Address"].get("List") or [{}])[0]
    return _flat(value.get("name")) or None if isinstance(value, dict) else None


def _header(expected: Facts, one: Message) -> Iterator[Said]:
    if isinstance(subject := expected.get("subject"), str) and subject:
        yield Said("subject", _flat(subject), _flat(one.subject))
    own = expected.get("message_id") or expected.get("message-id")
    if isinstance(own, str):
        yield Said("message id", own.strip("<>"), one.external_id)
    if date := expected.get("date_utc"):
        yield Said("date", date[:19], one.sent_at.strftime("%Y-%m-%d %H:%M:%S"))
    if author := _address(expected.get("from")):
        yield Said("from", author, one.sender.address.value)
    if name := expected.get("from_name") or _name(expected.get("from")):
        yield Said("name", _flat(name), _flat(one.sender.name))
    if recipient := _address(expected.get("to")):
        found = [who["address"].lower() for who in one.extra.get("to", ())]
        yield Said("to", recipient, found[0] if found else None)
    for field in ("in_reply_to", "references"):
        if ids := expected.get(field):
            known = set(one.thread_hints) | set(one.known_ids)
            yield Said(field, sorted(ids), sorted(one_id for one_id in ids if one_id in known))
    if "auto_reply" in expected:
        yield Said("automatic", expected["auto_reply"], one.extra["is_auto_generated"])
    if token := expected.get("to_token"):
        seen = json.dumps([one.extra.get(name) for name in ("to", "cc")])
        yield Said("token in a recipient", True, token in seen)


def _is_php(text: str) -> bool:
    """The index was made by script; some of what it calls text is a piece of the source's test code."""
    return "assert" in text or "$" in text or text.strip() in (")", "")


def _body(expected: Facts, one: Message) -> Iterator[Said]:
    text = expected.get("text")
    if isinstance(text, str) and not _is_php(text):
        wanted = _flat(text.replace("\\r\\n", "\n").rstrip("…"))
        got = _flat(one.text)
        yield Said("text", wanted, wanted if got.startswith(wanted) else got[: len(wanted)])
    if part := expected.get("text_contains"):
        yield Said("text", part, part if part in one.text else one.text[:80])
    files = [file.filename or "" for file in one.attachments]
    attachments = expected.get("attachments")
    if isinstance(attachments, list):
        yield Said("file names", attachments, files)
    elif isinstance(attachments, int):
        yield Said("files", attachments, len(files))
    named = [name for name in expected.get("attachment_names") or () if "." in name]
    if named:
        yield Said("file names", named, [name for name in named if name in files])
    if "attachments_min" in expected:
        least = expected["attachments_min"]
        yield Said("files", least, min(least, len(files)))


def _bounce(expected: Facts, found: list[Result]) -> Iterator[Said]:
    one = _message(found)
    extra: Facts = one.extra if one else {}
    bounce: Facts = extra.get("bounce") or {}
    told = bounce.get("recipients") or []
    failed = any(who["action"] == "failed" for who in told)
    if "is_bounce" in expected:
        yield Said("bounce", bool(expected["is_bounce"]), failed)
    addresses = {who["address"] for who in told}
    if expected.get("addresses"):
        yield Said("recipients", sorted(expected["addresses"]), sorted(filter(None, addresses)))
    if recipient := expected.get("recipient"):
        yield Said("recipients", recipient, recipient if recipient in addresses else addresses)
    if status := expected.get("status"):
        known = {who["status"] for who in told}
        yield Said("status", status, status if status in known else sorted(filter(None, known)))
    if reason := expected.get("std_reason"):
        known = {who["reason"] for who in told}
        yield Said("reason", reason, reason if reason in known else sorted(filter(None, known)))
    for field, action in (("permanent", "failed"), ("temporary", "delayed")):
        if field in expected:
            known = {who["address"] for who in told if who["action"] == action and who["address"]}
            yield Said(field, sorted(one.lower() for one in expected[field]), sorted(known))


def _split(entry: Entry, one: Message | None) -> Iterator[Said]:
    expected = entry.expected
    if entry.role == "reply-html":
        text = one.extra.get("text_reply", one.text) if one else ""
        signature = (one.extra.get("signature") or "") if one else ""
        wanted = _flat(expected["reply_ws_normalised"])
        yield Said("reply", wanted, _reply_like(wanted, text, signature))
        return
    raw = one.text if one else ""
    if entry.role in ("reply-text", "signature-text"):
        raw = entry.raw.decode().replace("#sig#", "")
    split = split_reply(raw)
    wanted = expected.get("reply") or expected.get("first_fragment") or expected.get("visible_text")
    if wanted:
        wanted = _flat(wanted)
        yield Said("reply", wanted, _reply_like(wanted, split.reply, split.signature or ""))
    for match in expected.get("fragment_matches", ()):
        if match["i"] == 0:
            pattern = re.compile(match["regex"].strip("/"), re.MULTILINE)
            yield Said(
                "reply",
                match["regex"],
                match["regex"] if pattern.search(split.reply) else split.reply,
            )
    if name := expected.get("signature_file"):
        wanted = (entry.root / entry.source / name).read_text().replace("#sig#", "")
        yield Said("signature", _flat(wanted), _flat(split.signature))


def _reply_like(wanted: str, reply: str, signature: str) -> str:
    """Some sources leave the signature in the reply, some do not: either is what they want."""
    both = _flat(f"{reply} {signature}")
    return both if both == wanted else _flat(reply)


def _protection(entry: Entry, one: Message) -> Iterator[Said]:
    """KDE's trees of message parts, as far as they go without a key."""
    tree = (entry.root / entry.source / entry.expected["sidecars"]["tree"]).read_text()
    kinds = re.findall(r"::(Encrypted|Signed|Encapsulated\w*)MessagePart", tree)
    outer = next((kind for kind in kinds), None)
    if outer in ("Encrypted", "Signed"):
        told = " ".join(one.extra.get("protection", ()))
        word = outer.lower()
        yield Said("protection", word, word if word in told else told)


_NOT_COMPARED: Mapping[str, str] = {
    "rspamd": "states the scores of a spam filter",
    "spamscope-mail-parser": "states hashes of its own format",
}


def stated(entry: Entry, found: list[Result]) -> Iterator[Said]:
    """What the source of *entry* states, beside what we *found*."""
    one = _message(found)
    expected = entry.expected
    if entry.source in _NOT_COMPARED or not expected:
        return
    if entry.source in ("bounceparser", "flufl-bounce") or "is_bounce" in expected:
        yield from _bounce(expected, found)
        return
    if entry.role in ("reply-text", "reply-html", "signature-text") or "reply" in expected:
        yield from _split(entry, one)
        return
    if one is None:
        yield Said("a message", True, False)
        return
    readers: tuple[Callable[[Facts, Message], Iterator[Said]], ...] = (_header, _body)
    for reader in readers:
        yield from reader(expected, one)
    if "sidecars" in expected:
        yield from _protection(entry, one)
    if codec := expected.get("decodes_as"):
        yield Said("charset", codec, codec if "\ufffd" not in one.text else "broken characters")
    if expected.get("no_crash"):
        yield Said("readable", True, bool(one.text))
