"""Mail, from raw bytes to a message. Pure; runs in a child process that may be killed.

Whatever the bytes are, something readable comes out: a mail that cannot be understood is a message
of kind ``unsupported``, and its raw bytes stay with the core.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from hub.channel import Account
from hub.model import (
    Address,
    ConversationRef,
    Ignored,
    InboundEvent,
    Message,
    MessageKind,
    Participant,
    Result,
)
from hub.text import single_line
from normalizers.email.addresses import Mailbox, mailboxes, sender_of
from normalizers.email.automatic import automatic_flags
from normalizers.email.bodies import Body, read_body
from normalizers.email.bounces import OWN_ID, Bounce, own_ids, read_bounce, receipts
from normalizers.email.charsets import decode
from normalizers.email.feedback import complaint, read_receipt
from normalizers.email.headers import Headers
from normalizers.email.mime import Tree, read_tree
from normalizers.email.posted import unwrapped
from normalizers.email.threads import MAX_SUBJECT_CHARACTERS, reply_context, thread_of
from normalizers.email.trust import trust_in

__all__ = ["normalize", "opens"]

_NOBODY = "unknown@invalid"
_MAX_AHEAD = timedelta(days=1)
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_SPACE = re.compile(rb"\s*")
_DIGEST_STEP = 1024 * 1024
_KNOWN_FIELDS = frozenset(
    [
        "from",
        "to",
        "cc",
        "subject",
        "date",
        "message-id",
        "received",
        "mime-version",
        "sender",
        "reply-to",
        "return-path",
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
        "references",
        "in-reply-to",
    ]
)


def normalize(event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
    """The mail in *event* as a message, as receipts for mails that we sent, or left with a reason."""
    try:
        return _read(_as_mail(event), account)
    except Exception as error:  # one mail must never stop the others: it is shown as unreadable
        return [_unreadable(event, account, f"{type(error).__name__}: {error}"[:300])]


def _as_mail(event: InboundEvent) -> InboundEvent:
    """*event* with the mail itself as its body, where a service has wrapped it."""
    form = event.headers.get("form")
    if form is None:
        return event
    posted = unwrapped(form, event.headers.get("content_type", ""), event.body)
    envelope = {"envelope_from": posted.envelope_from, "envelope_to": posted.envelope_to}
    known = {name: value for name, value in envelope.items() if value}
    size = {"size_bytes": str(len(posted.raw))}
    return msgspec.structs.replace(
        event, body=posted.raw, headers={**event.headers, **size, **known}
    )


def _read(event: InboundEvent, account: Account[Any]) -> list[Result]:
    tree = read_tree(event.body)
    headers = tree.root.headers
    named = {name for name, _ in headers.fields}
    if event.headers.get("fetch_error") or named.isdisjoint(_KNOWN_FIELDS):
        return [_unreadable(event, account, event.headers.get("fetch_error") or "no mail header")]
    own_address = str(account.settings.address).lower()
    sender = sender_of(headers)
    own_id = next(iter(headers.ids("message-id")), "")
    if OWN_ID.fullmatch(own_id) and sender and sender.address.lower() == own_address:
        return [Ignored("a copy of a mail that the hub sent", {"message_id": own_id})]
    if reported := _report(event, account, tree):
        return [reported]
    bounce = read_bounce(tree.root, sender.address if sender else headers.text("from"))
    if bounce and (about := own_ids(tree.root)):
        found = receipts(bounce, about, _sent_at(headers, event))
        return [*found] or [Ignored("a delivery report without an outcome", {"message_id": about})]
    return [_message(event, account, tree, sender, bounce)]


def _report(event: InboundEvent, account: Account[Any], tree: Tree) -> Result | None:
    """What the mail reports of ours besides a bounce: a complaint, or that it was read."""
    sent_at = _sent_at(tree.root.headers, event)
    key = _dedupe_key(tree.root.headers, event.body)
    return complaint(tree.root, account, key, sent_at) or read_receipt(tree.root, sent_at)


# --- facts ---------------------------------------------------------------------------------------


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _arrived_at(event: InboundEvent) -> datetime:
    """When the mail reached the mailbox, as the server says (IMAP ``INTERNALDATE``)."""
    arrived = event.headers.get("internal_date", "")
    try:
        return datetime.fromisoformat(arrived).astimezone(UTC) if arrived else event.received_at
    except (ValueError, OverflowError):
        return event.received_at


def _sent_at(headers: Headers, event: InboundEvent) -> datetime:
    """The sender's Date while it is sane, else when the mail arrived."""
    arrived = _arrived_at(event)
    claimed = _date(headers.text("date"))
    if claimed and claimed.year >= 1970 and claimed <= max(arrived, event.received_at) + _MAX_AHEAD:
        return claimed
    return arrived


def _body_digest(raw: bytes) -> str:
    """Tells mails of one Message-ID apart by their bodies; line ends and outer space do not count."""
    gap = _END_OF_HEAD.search(raw, _SPACE.match(raw).end())  # type: ignore[union-attr]
    digest, held, has_begun = hashlib.sha256(), b"", False
    for at in range(gap.end() if gap else 0, len(raw), _DIGEST_STEP):
        piece = held + raw[at : at + _DIGEST_STEP].replace(b"\r", b"")
        piece = piece if has_begun else piece.lstrip()
        sound = piece.rstrip()
        held, has_begun = piece[len(sound) :], has_begun or bool(sound)
        digest.update(sound)
    return digest.hexdigest()[:16]


def _dedupe_key(headers: Headers, raw: bytes) -> str:
    """Message-ID and body: broken form mailers use one id for every mail, and none may be lost."""
    own = next(iter(headers.ids("message-id")), "")
    if "@" in own and own.isascii() and own.isprintable():
        return f"{own}#{_body_digest(raw)}"
    claims = b"\n".join(headers.raw(name) for name in ("from", "to", "date", "subject"))
    return "sha256:" + hashlib.sha256(claims + b"\n" + _body_digest(raw).encode()).hexdigest()


def _people(found: list[Mailbox]) -> list[dict[str, str | None]]:
    return [{"name": one.name, "address": one.address} for one in found]


def _facts(headers: Headers, event: InboundEvent) -> dict[str, Any]:
    """What the mail's header says, under the header's own names, as far as it is there."""
    facts: dict[str, Any] = {
        name.replace("-", "_"): _people(found)
        for name in ("from", "to", "cc", "reply-to")
        if (found := mailboxes(headers.raw(name), hint=headers.hint))
    }
    for name in ("date", "message-id", "return-path", "importance"):
        if value := single_line(headers.text(name), 500):
            facts[name.replace("-", "_")] = value
    for name in ("folder", "uid", "internal_date", "size_bytes", "envelope_from", "envelope_to"):
        if name in event.headers:
            facts[name] = event.headers[name]
    return facts


def _sender(sender: Mailbox | None, headers: Headers) -> Participant:
    if sender is None:
        name = single_line(headers.text("from"))
        return Participant("contact", Address("email", "", _NOBODY), name or None)
    return Participant("contact", Address("email", "", sender.address.lower()), sender.name)


def opens(to: Address, _account: Account[Any], /) -> tuple[Address, ConversationRef]:
    """Writing first: to a mailbox, however its letters are written."""
    value = to.value.strip().lower()
    return Address("email", "", value), ConversationRef(thread_key=value)


# --- messages ------------------------------------------------------------------------------------


def _shown(body: Body, subject: str, oversized: str | None, tree: Tree) -> tuple[MessageKind, str]:
    """The kind and the readable text of a mail; the text is never empty."""
    if oversized:
        return (
            "unsupported",
            f"[mail too large to read here: {oversized} bytes, only its header was read]",
        )
    if body.text.strip():
        return "text", body.text
    if body.attachments:
        names = "\n".join(f"[{one.kind}] {one.filename}" for one in body.attachments)
        return "text", names
    if any("nested" in defect or "parts" in defect for defect in tree.defects):
        return "unsupported", f"[mail without a readable body] {subject}".strip()
    return "text", f"[empty mail] {subject}".strip()


def _message(
    event: InboundEvent,
    account: Account[Any],
    tree: Tree,
    sender: Mailbox | None,
    bounce: Bounce | None,
) -> Message:
    headers = tree.root.headers
    oversized = event.headers.get("oversized")
    body = Body() if oversized else read_body(tree.root)
    settings = account.settings
    trust = trust_in(headers, sender.address if sender else "", settings.trusted_authserv)
    thread = thread_of(headers, settings, event.headers.get("envelope_to", ""))
    subject = single_line(headers.text("subject"), MAX_SUBJECT_CHARACTERS)
    kind, text = _shown(body, subject, oversized, tree)
    key = _dedupe_key(headers, event.body)
    extra = (
        _facts(headers, event)
        | trust.facts()
        | automatic_flags(
            headers,
            media_type=tree.root.media_type,
            is_bounce=bounce is not None,
            is_forged=trust.verdict == "fail",
            sender=sender.address if sender else "",
            own=[str(account.settings.address)],
        )
    )
    extra |= _found_in(body, text)
    if bounce:
        extra["bounce"] = bounce.facts()
    if defects := [*tree.defects, *body.defects]:
        extra["defects"] = defects
    if oversized:
        extra["oversized"] = True
    return Message(
        channel=account.channel,
        account=account.name,
        kind=kind,
        text=text,
        html=body.html,
        subject=subject or None,
        sender=_sender(sender, headers),
        conversation=ConversationRef(thread_key=thread.root or f"mail:{key}"[:300]),
        dedupe_key=key,
        external_id=thread.own,
        in_reply_to=thread.answered[0] if thread.answered else None,
        sent_at=_sent_at(headers, event),
        received_at=event.received_at,
        attachments=tuple(body.attachments),
        extra=extra,
        thread_hints=thread.hints,
        open_hints=thread.tags,
        known_ids=thread.known,
        reply_context=reply_context(headers, settings, thread, sender, trust),
    )


def _found_in(body: Body, text: str) -> Mapping[str, Any]:
    """What the text is made of, and how it was protected; only what there is."""
    split = body.split
    found: dict[str, Any] = {}
    if split.quoted or split.signature:
        parts = {"text_reply": split.reply, "signature": split.signature, "quoted": split.quoted}
        found |= {name: part for name, part in parts.items() if part and part != text}
    if body.protection:
        found["protection"] = list(body.protection)
    if body.invitation:
        found["calendar"] = body.invitation
    return found


def _unreadable(event: InboundEvent, account: Account[Any], reason: str) -> Message:
    digest = hashlib.sha256(event.body + event.dedupe_key.encode()).hexdigest()
    excerpt = decode(event.body[:2000]).strip()
    return Message(
        channel=account.channel,
        account=account.name,
        kind="unsupported",
        text=f"[unreadable mail] {excerpt}".strip(),
        sender=Participant("contact", Address("email", "", _NOBODY)),
        conversation=ConversationRef(thread_key=f"mail:{digest}"),
        dedupe_key=f"sha256:{digest}",
        sent_at=_arrived_at(event),
        received_at=event.received_at,
        extra={"reason": reason, "suppress_auto_reply": True, **_fetch_facts(event)},
    )


def _fetch_facts(event: InboundEvent) -> Mapping[str, str]:
    return {name: event.headers[name] for name in ("folder", "uid") if name in event.headers}
