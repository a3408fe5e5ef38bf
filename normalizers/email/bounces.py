"""Delivery reports (RFC 3464): what became of a mail that we sent."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from hub.model import Address, Receipt, ReceiptStatus
from normalizers.email.headers import Headers, decode_words, ids_in, read_block
from normalizers.email.mime import Part

__all__ = ["OWN_ID", "is_report", "own_message_id", "receipts"]

# The Message-IDs that outbound/email gives: hub.{message}.{digest}@domain.
OWN_ID = re.compile(r"hub\.([A-Za-z0-9_-]{1,60})\.[0-9a-f]{10}@[^\s<>@]+")
_REPORT_TYPES = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_TYPES = (
    "message/rfc822",
    "text/rfc822-headers",
    "message/global",
    "message/rfc822-headers",
)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MAX_BLOCKS = 100

# RFC 3464 section 2.3.3 → what the agent sees. A delay is no outcome: the server goes on trying.
_ACTIONS: Mapping[str, ReceiptStatus | None] = {
    "failed": "failed",
    "delivered": "delivered",
    "relayed": "sent",
    "expanded": "sent",
    "delayed": None,
}


def _parts(root: Part) -> Iterator[Part]:
    stack = [root]
    while stack:
        part = stack.pop()
        yield part
        stack.extend(reversed(part.children))


def is_report(root: Part) -> bool:
    """Whether the mail is a delivery report, whatever it calls itself."""
    return any(part.media_type in _REPORT_TYPES for part in _parts(root))


def _blocks(content: bytes) -> Iterator[Headers]:
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


def _returned_ids(root: Part) -> Iterator[str]:
    """Message ids of the mail that came back, as far as it came back."""
    for part in _parts(root):
        if part.media_type in _RETURNED_TYPES:
            content = part.content
            headers, _ = read_block(content, 0, len(content))
            yield from headers.ids("message-id")


def own_message_id(root: Part) -> str | None:
    """The id of our mail that the report under *root* is about, without brackets; None: not ours."""
    candidates = list(_returned_ids(root))
    for part in _parts(root):
        if part.media_type in _REPORT_TYPES:
            for block in _blocks(part.content):
                candidates += ids_in(block.raw("original-envelope-id"))
                candidates += ids_in(block.raw("x-original-message-id"))
    return next((one for one in candidates if OWN_ID.fullmatch(one)), None)


def _typed(raw: bytes) -> str:
    """The value behind the type of a DSN field: ``rfc822; a@b`` is ``a@b``."""
    text = " ".join(decode_words(raw).split())
    return text.split(";", 1)[-1].strip().strip("<>")


def _receipt(block: Headers, own_id: str, occurred_at: datetime) -> Receipt | None:
    action = block.text("action").lower().split(" ")[0]
    status = _ACTIONS.get(action)
    if status is None:
        return None
    recipient = (
        _typed(block.raw("final-recipient")) or _typed(block.raw("original-recipient"))
    ).lower()
    code = _STATUS.search(block.text("status"))
    diagnostic = _typed(block.raw("diagnostic-code"))[:1000]
    return Receipt(
        status=status,
        external_id=own_id,
        occurred_at=occurred_at,
        code=code[0] if code else None,
        detail=diagnostic or None,
        address=Address("email", "", recipient) if "@" in recipient else None,
        dedupe_key=f"dsn:{own_id}:{recipient}:{action}",
        extra={"action": action, "recipient": recipient or None},
    )


def receipts(root: Part, own_id: str, occurred_at: datetime) -> list[Receipt]:
    """What the report under *root* says of our mail *own_id*, one receipt per recipient."""
    found = [
        receipt
        for part in _parts(root)
        if part.media_type in _REPORT_TYPES
        for block in _blocks(part.content)
        if "action" in block and (receipt := _receipt(block, own_id, occurred_at))
    ]
    unique = {receipt.dedupe_key: receipt for receipt in found}
    return list(unique.values())
