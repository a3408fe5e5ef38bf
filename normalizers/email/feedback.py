"""What others report of our mail besides bounces: complaints (RFC 5965) and read receipts (RFC 8098)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from hub.channel import Account
from hub.model import Address, ConversationRef, Notice, Participant, Receipt
from normalizers.email.addresses import mailboxes
from normalizers.email.bounces import OWN_ID, blocks_in, own_ids, parts_of
from normalizers.email.headers import Headers, ids_in
from normalizers.email.mime import Part

__all__ = ["complaint", "read_receipt"]

_COMPLAINT = "message/feedback-report"
_DISPOSITION = ("message/disposition-notification", "message/global-disposition-notification")


def _report(root: Part, kinds: Iterable[str]) -> Headers | None:
    """The fields of the first part of one of *kinds*."""
    for part in parts_of(root):
        if part.media_type in kinds:
            return next(blocks_in(part.content), None)
    return None


def _original_recipient(fields: Headers) -> str | None:
    for name in ("original-rcpt-to", "removal-recipient"):
        found = mailboxes(fields.raw(name))
        if found:
            return found[0].address.lower()
    return None


def complaint(
    root: Part, account: Account[Any], dedupe_key: str, sent_at: datetime
) -> Notice | None:
    """A complaint (ARF): somebody called our mail spam; None: the mail is no such report.

    It stands in the conversation of the mail that it is about, where that and its recipient are told.
    """
    fields = _report(root, (_COMPLAINT,))
    if fields is None:
        return None
    kind = fields.text("feedback-type").lower()[:50] or "abuse"
    own, recipient = own_ids(root), _original_recipient(fields)
    who = Participant("contact", Address("email", "", recipient)) if recipient else None
    return Notice(
        channel=account.channel,
        account=account.name,
        kind="complaint",
        text=f"[complaint] {recipient or 'a recipient'} reported our mail as {kind}",
        dedupe_key=f"arf:{dedupe_key}"[:500],
        sent_at=sent_at,
        sender=who,
        conversation=ConversationRef(thread_key=own) if own and who else None,
        external_id=own,
        thread_hints=(own,) if own and who else (),
        extra={
            "feedback_type": kind,
            "recipient": recipient,
            "message_id": own,
            "reporter": fields.text("user-agent")[:200] or None,
            "source_ip": fields.text("source-ip")[:60] or None,
        },
    )


def read_receipt(root: Part, occurred_at: datetime) -> Receipt | None:
    """A read receipt (MDN) on a mail of ours; None: it is none, or about another mail, or not "read"."""
    fields = _report(root, _DISPOSITION)
    if fields is None:
        return None
    candidates = [*ids_in(fields.raw("original-message-id")), own_ids(root) or ""]
    own = next((one for one in candidates if OWN_ID.fullmatch(one)), None)
    disposition = fields.text("disposition").lower()
    if own is None or "displayed" not in disposition.split(";", 1)[-1]:
        return None
    recipient = fields.text("final-recipient").split(";")[-1].strip().lower()
    return Receipt(
        status="read",
        external_id=own,
        occurred_at=occurred_at,
        address=Address("email", "", recipient) if "@" in recipient else None,
        dedupe_key=f"mdn:{own}:{recipient}",
        extra={"disposition": disposition[:200]},
    )
