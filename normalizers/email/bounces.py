"""Bounces: what became of a mail, as RFC 3464 says it and as mail servers say it in their own words."""

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any, Literal, NamedTuple

from hub.model import Address, Receipt, ReceiptStatus
from normalizers.email.bounce_words import (
    REASON_OF_STATUS,
    REASON_WORDS,
    RECIPIENTS_FOLLOW,
    REFUSAL,
    SUBJECT,
    WAITING,
)
from normalizers.email.charsets import decode
from normalizers.email.headers import Headers, decode_words, ids_in, read_block
from normalizers.email.mime import Part

__all__ = ["OWN_ID", "Bounce", "Outcome", "own_ids", "parts_of", "read_bounce", "receipts"]

# The Message-IDs that outbound/email gives: hub.{message}.{digest}@domain.
OWN_ID = re.compile(r"hub\.([A-Za-z0-9_-]{1,60})\.[0-9a-f]{10}@[^\s<>@]+")
_OWN_ID_IN_TEXT = re.compile(rb"<(hub\.[A-Za-z0-9_-]{1,60}\.[0-9a-f]{10}@[^\s<>@]{1,255})>")
_REPORT_TYPES = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_TYPES = (
    "message/rfc822",
    "text/rfc822-headers",
    "message/global",
    "message/rfc822-headers",
)
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_CODE = re.compile(r"\b([45])[0-5]\d[ -]")
_MACHINES = re.compile(r"(mailer-daemon|postmaster|mail-?daemon|mdaemon|bounces?)\b.*")
_ADDRESS = re.compile(r"<?([^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+\.[a-z0-9-]+)>?", re.IGNORECASE)
_MAX_BLOCKS = 100
_MAX_SCANNED_BYTES = 256 * 1024
_MAX_RECIPIENTS = 50
_MAX_LINES = 3000

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

# RFC 3464 section 2.3.3 → what the agent sees. A delay is no outcome: the server goes on trying.
_ACTIONS: Mapping[str, ReceiptStatus | None] = {
    "failed": "failed",
    "delivered": "delivered",
    "relayed": "sent",
    "expanded": "sent",
    "delayed": None,
}


class Outcome(NamedTuple):
    """What became of one recipient; *status* is an enhanced status code (RFC 3463) or None."""

    recipient: str
    action: Action
    status: str | None = None
    detail: str | None = None

    @property
    def is_permanent(self) -> bool:
        """Whether trying again is of no use."""
        return self.action == "failed" and not (self.status or "5").startswith("4")

    @property
    def reason(self) -> str | None:
        """Why, in one word: user_unknown, over_quota, domain_error, spam, too_large; None: unclear."""
        words = (self.detail or "").lower()
        for reason, pattern in REASON_WORDS:
            if pattern.search(words):
                return reason
        found = (one for start, one in REASON_OF_STATUS if (self.status or "").startswith(start))
        return next(found, None)


class Bounce(NamedTuple):
    """A report on a mail: what became of whom. *is_standard*: as RFC 3464 has it."""

    outcomes: tuple[Outcome, ...]
    is_standard: bool

    def facts(self) -> Mapping[str, Any]:
        """The bounce for ``extra``."""
        return {
            "permanent": any(one.is_permanent for one in self.outcomes),
            "recipients": [
                {
                    "address": one.recipient or None,
                    "action": one.action,
                    "status": one.status,
                    "reason": one.reason,
                    "detail": one.detail,
                }
                for one in self.outcomes
            ],
        }


def parts_of(root: Part) -> Iterator[Part]:
    """*root* and all parts below it, in order."""
    stack = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(part.children))


def blocks_in(content: bytes) -> Iterator[Headers]:
    """The header blocks of a report part."""
    position = 0
    for _ in range(_MAX_BLOCKS):
        while content[position : position + 1] in (b"\r", b"\n"):
            position += 1
        if position >= len(content):
            return
        headers, after = read_block(content, position, len(content))
        yield headers
        if after <= position:
            return
        position = after


# --- which mail it is about ----------------------------------------------------------------------


def _returned_ids(root: Part) -> Iterator[str]:
    """Message ids of the mail that came back, as far as it came back."""
    for part in parts_of(root):
        if part.media_type in _RETURNED_TYPES:
            content = part.content
            headers, _ = read_block(content, 0, len(content))
            yield from headers.ids("message-id")
        elif part.media_type in _REPORT_TYPES:
            for block in blocks_in(part.content):
                yield from ids_in(block.raw("original-envelope-id"))
                yield from ids_in(block.raw("x-original-message-id"))
        elif not part.is_multipart:
            # Servers that know no standard quote the header in their text.
            for found in _OWN_ID_IN_TEXT.finditer(part.content[:_MAX_SCANNED_BYTES]):
                yield found[1].decode("ascii", "replace")


def own_ids(root: Part) -> str | None:
    """The id of our mail that a report under *root* is about, without brackets; None: not ours."""
    return next((one for one in _returned_ids(root) if OWN_ID.fullmatch(one)), None)


# --- what became of it ---------------------------------------------------------------------------


def _typed(raw: bytes) -> str:
    """The value behind the type of a DSN field: ``rfc822; a@b`` is ``a@b``."""
    text = " ".join(decode_words(raw).split())
    return text.split(";", 1)[-1].strip().strip("<>")


def _outcome(block: Headers) -> Outcome | None:
    action = block.text("action").lower().split(" ")[0].rstrip(";,.")
    if action not in _ACTIONS:
        return None
    recipient = _typed(block.raw("final-recipient"))
    # The address that we wrote to; the final one may be what somebody's alias led to.
    original = _typed(block.raw("original-recipient"))
    code = _STATUS.search(block.text("status"))
    shown = original if "@" in original else recipient
    return Outcome(
        shown.lower(),
        action,  # type: ignore[arg-type]
        code[0] if code else None,
        _typed(block.raw("diagnostic-code"))[:1000] or None,
    )


def _standard(root: Part) -> Bounce | None:
    reports = [part for part in parts_of(root) if part.media_type in _REPORT_TYPES]
    if not reports:
        return None
    found = [
        outcome
        for part in reports
        for block in blocks_in(part.content)
        if "action" in block and (outcome := _outcome(block))
    ]
    unique = {(one.recipient, one.action): one for one in found}
    if not unique:
        return None
    return Bounce(tuple(unique.values())[:_MAX_RECIPIENTS], is_standard=True)


def _looks_like_one(root: Part, sender: str) -> bool:
    """Whether a mail server wrote the mail; people quote bounces, too."""
    headers = root.headers
    if headers.raw("return-path").strip() == b"<>" or "x-failed-recipients" in headers:
        return True
    local = sender.rpartition("@")[0].lower() or sender.lower()
    if _MACHINES.fullmatch(local) or root.type_parameters.get("report-type") == "delivery-status":
        return True
    return bool(SUBJECT.search(headers.text("subject")))


def _texts(root: Part) -> str:
    """The readable words of the report, without the mail that it returns."""
    read = []
    for part in parts_of(root):
        if part.media_type in ("text/plain", "text/html") and part.disposition != "attachment":
            read.append(decode(part.content[:_MAX_SCANNED_BYTES], part.charset))
        elif part.media_type in _RETURNED_TYPES:
            break
    return "\n".join(read)[:_MAX_SCANNED_BYTES]


def _in_own_words(root: Part, sender: str) -> Bounce | None:
    """Bounces of servers that follow no standard, by the patterns of the Mailman project."""
    if not _looks_like_one(root, sender):
        return None
    text = _texts(root)
    failed, delayed = _listed(root)
    if not failed and not delayed:
        failed = _addresses(_ADDRESS.findall(_after_refusal(text)))
    is_report = root.type_parameters.get("report-type", "").lower() == "delivery-status"
    is_waiting = bool(WAITING.search(text) or WAITING.search(root.headers.text("subject")))
    is_worded = is_report or is_waiting or bool(REFUSAL.search(text))
    if not failed and not delayed and not is_worded:
        return None
    if not failed and not delayed:
        failed, delayed = (set(), {""}) if is_waiting else ({""}, set())
    status = _STATUS.search(text) or None
    code = _CODE.search(text)
    known = status[0] if status else f"{code[1]}.0.0" if code else None
    line = _refusal_line(text)
    return Bounce(
        (
            *(Outcome(one, "failed", known, line) for one in sorted(failed)),
            *(Outcome(one, "delayed", known, line) for one in sorted(delayed - failed)),
        )[:_MAX_RECIPIENTS],
        is_standard=False,
    )


def _after_refusal(text: str) -> str:
    """The few lines after "could not be delivered to:", which name the recipients."""
    found = RECIPIENTS_FOLLOW.search(text)
    return "\n".join(text[found.end() :].split("\n")[:5])[:1000] if found else ""


def _refusal_line(text: str) -> str | None:
    found = REFUSAL.search(text)
    if not found:
        return None
    begin = text.rfind("\n", 0, found.start()) + 1
    return " ".join(text[begin : found.end() + 120].split())[:500]


def _listed(root: Part) -> tuple[set[str], set[str]]:
    """The recipients that failed for good, and those that are tried further."""
    import flufl.bounce as mailman

    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)
    try:
        # Recipients are named near the top, and each line is tried with some fifty patterns.
        top = b"\n".join(root.data[:_MAX_SCANNED_BYTES].split(b"\n", _MAX_LINES)[:_MAX_LINES])
        parsed = message_from_bytes(top, policy=policy.compat32)
        temporary, permanent = mailman.all_failures(parsed)
    except Exception:  # patterns of others on bytes of others
        temporary, permanent = frozenset(), frozenset()
    named = _ADDRESS.findall(root.headers.text("x-failed-recipients"))
    return _addresses(permanent) | _addresses(named), _addresses(temporary)


def _addresses(found: Any) -> set[str]:
    texts = (decode(one) if isinstance(one, bytes) else str(one) for one in found)
    bare = (text.strip("<> \t\r\n").lower()[:320] for text in texts)
    return {one for one in bare if "@" in one and not OWN_ID.fullmatch(one)}


def read_bounce(root: Part, sender: str) -> Bounce | None:
    """What the report under *root* says; None: it is no bounce. *sender* is its From address."""
    standard = _standard(root)
    if standard and any(one.recipient for one in standard.outcomes):
        return standard
    return _in_own_words(root, sender) or standard


# --- receipts ------------------------------------------------------------------------------------


def _receipt(outcome: Outcome, own_id: str, occurred_at: datetime) -> Receipt | None:
    status = _ACTIONS[outcome.action]
    if status is None:
        return None
    recipient = outcome.recipient
    return Receipt(
        status=status,
        external_id=own_id,
        occurred_at=occurred_at,
        code=outcome.status,
        detail=outcome.detail,
        address=Address("email", "", recipient) if "@" in recipient else None,
        dedupe_key=f"dsn:{own_id}:{recipient}:{outcome.action}",
        is_recipient_gone=outcome.is_permanent and outcome.reason == "user_unknown",
        extra={
            "action": outcome.action,
            "recipient": recipient or None,
            "permanent": outcome.is_permanent if outcome.action == "failed" else None,
            "reason": outcome.reason,
        },
    )


def receipts(bounce: Bounce, own_id: str, occurred_at: datetime) -> list[Receipt]:
    """What *bounce* says of our mail *own_id*, one receipt per recipient."""
    made = (_receipt(one, own_id, occurred_at) for one in bounce.outcomes)
    return [one for one in made if one]
