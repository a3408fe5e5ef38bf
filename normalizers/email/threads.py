"""Where a mail belongs: the ids and tags that lead to a conversation, and what an answer to it needs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hub.text import single_line
from normalizers.email.addresses import Mailbox, mailboxes
from normalizers.email.headers import Headers
from normalizers.email.trust import Trust

__all__ = ["MAX_SUBJECT_CHARACTERS", "Thread", "reply_context", "thread_of"]

MAX_SUBJECT_CHARACTERS = 1000
_MAX_REMEMBERED_REFERENCES = 21
_MAX_COPIES = 20
# Where relays write the address that the mail was really sent to, most telling first.
_RECIPIENT_FIELDS = (
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-forwarded-to",
    "x-envelope-to",
    "to",
    "cc",
)
_SUBJECT_TAG = re.compile(r"\[#([A-Z2-7]{10})\]")


class Thread(NamedTuple):
    """*own* id, the ids *answered* (strongest first), *references* in order, and *tags* of ours."""

    own: str | None
    answered: tuple[str, ...]
    references: tuple[str, ...]
    tags: tuple[str, ...]
    subject_tags: tuple[str, ...]

    @property
    def hints(self) -> tuple[str, ...]:
        """What may lead to the conversation, strongest first; the subject is the last resort."""
        return (*self.answered, *self.subject_tags)

    @property
    def root(self) -> str | None:
        """The mail that began the thread, as far as this one tells."""
        return next(iter(self.references or self.answered), self.own)

    @property
    def known(self) -> tuple[str, ...]:
        """The ids to remember: replies to any of them belong here, too."""
        own = [self.own] if self.own else []
        return tuple(dict.fromkeys([*own, *self.references, *self.answered]))


def thread_of(headers: Headers, settings: Any, envelope_to: str) -> Thread:
    """What the mail says of its place; *envelope_to* is whom a provider's webhook names."""
    own = next(iter(headers.ids("message-id")), None)
    references = headers.ids("references")
    answered = dict.fromkeys([*headers.ids("in-reply-to"), *reversed(references)])
    has_tags = settings.tags
    subject = headers.text("subject").upper() if "subject" in has_tags else ""
    return Thread(
        own,
        tuple(one for one in answered if one != own),
        tuple(references),
        tuple(dict.fromkeys(_tags(headers, str(settings.address), envelope_to)))
        if "address" in has_tags
        else (),
        tuple(f"subject:{tag.lower()}" for tag in _SUBJECT_TAG.findall(subject)[:3]),
    )


def _tags(headers: Headers, address: str, envelope_to: str) -> Iterator[str]:
    """The tags in the addresses that the mail was sent to: ``support+tag@…``."""
    local, _, domain = address.lower().rpartition("@")
    form = re.compile(
        rf"(?<![^\s<>,;\"]){re.escape(local)}\+([a-z2-7]{{16}})@{re.escape(domain)}(?![^\s<>,;\"])"
    )
    for name in _RECIPIENT_FIELDS:
        for raw in headers.raws(name):
            for tag in form.findall(raw[:16384].decode("latin-1").lower()):
                yield f"tag:{tag}"
    for tag in form.findall(envelope_to.lower()):
        yield f"tag:{tag}"


def _copies(headers: Headers, own: str, sender: Mailbox | None) -> list[str]:
    """Who else got the mail, besides us and its sender; our address with a tag is ours, too."""
    local, _, domain = own.lower().rpartition("@")
    author = sender.address.lower() if sender else ""
    found = {}
    for name in ("to", "cc"):
        for one in mailboxes(headers.raw(name), hint=headers.hint):
            address = one.address.lower()
            base, _, at = address.rpartition("@")
            is_own = at == domain and base.partition("+")[0] == local.partition("+")[0]
            if not is_own and address != author:
                found[address] = one.address
    return list(found.values())[:_MAX_COPIES]


def reply_context(
    headers: Headers, settings: Any, thread: Thread, sender: Mailbox | None, trust: Trust
) -> Mapping[str, Any]:
    """What an answer needs: whom to, which mail it answers, under which subject."""
    answer_to = mailboxes(headers.raw("reply-to"), hint=headers.hint)
    kept = list(thread.references) or list(headers.ids("in-reply-to")[:1])
    # Only the mail that begins a thread says where its answers go: one that names another mail, or
    # carries a tag of ours, could come from whoever forged its From, and lead what is meant for the
    # customer elsewhere.
    begins = not kept and not thread.tags
    if len(kept) > _MAX_REMEMBERED_REFERENCES:
        kept = [kept[0], *kept[1 - _MAX_REMEMBERED_REFERENCES :]]
    return {
        "message_id": thread.own,
        "references": kept,
        "subject": single_line(headers.text("subject"), MAX_SUBJECT_CHARACTERS),
        "reply_to": answer_to[0].address if answer_to and begins else None,
        "cc": [] if trust.verdict == "fail" else _copies(headers, str(settings.address), sender),
    }
