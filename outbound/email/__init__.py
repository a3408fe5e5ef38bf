"""Replies by mail: composed whole and the same every time, sent over a few SMTP connections."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hub.channel import Account, Restraint, Tools
from hub.errors import Unsupported
from hub.model import Allowance, Draft, Receipt, Reply, ReplyAttachment
from outbound.email.compose import MAX_ATTACHMENT_BYTES, compose_mail
from outbound.email.dkim import Signer
from outbound.email.mime import in_lines
from outbound.email.oauth import MailTokens
from outbound.email.settings import EmailSettings, is_loopback, tls_context
from outbound.email.transport import Posted, SmtpPool

__all__ = [
    "MAX_ATTACHMENT_BYTES",
    "EmailSender",
    "EmailSettings",
    "MailTokens",
    "SmtpPool",
    "is_loopback",
    "tls_context",
]

# Amazon SES gives the mail another Message-ID and tells it in the answer to DATA: "Ok <id>"; the
# customer's client will answer that id. (The domain differs by region; us-east-1 has its own.)
_SES_HOST = re.compile(r"email-smtp\.([a-z0-9-]+)\.amazonaws\.com")
_SES_ANSWER = re.compile(r"Ok ([0-9a-f]{8,}[0-9a-f-]*)", re.IGNORECASE)


class EmailSender:
    """Sends the replies of one mailbox."""

    def __init__(self, account: Account[EmailSettings], tools: Tools, /) -> None:
        self._settings = account.settings
        self._tools = tools
        self._pool = SmtpPool(account.settings, MailTokens(account.settings, tools))
        settings = account.settings
        self._signer = (
            Signer(settings.domain, settings.dkim_selector, settings.dkim_key.reveal())
            if settings.dkim_selector
            else None
        )

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The one mail that says *reply*; mail has no windows, so *allowances* do not matter."""
        return [compose_mail(reply, self._settings, self._tools.clock())]

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Hand the mail to the SMTP server. Its Message-ID is our id of it."""
        raw = await self._assembled(draft)
        copies = [one for one in draft.headers.get("cc", "").split(", ") if one]
        posted = Posted(draft.headers["from"], draft.headers["to"], self._signed(raw), copies)
        answer, refused = await self._pool.deliver(posted)
        message_id = str(draft.extra["message_id"])
        rewritten = _rewritten_id(self._settings.smtp_host, answer)
        known = [message_id, rewritten, *draft.extra.get("known_ids", ())]
        return Receipt(
            status="sent",
            external_id=message_id,
            occurred_at=self._tools.clock(),
            known_ids=tuple(one for one in known if one),
            extra={"answer": answer[:300]} | ({"refused_copies": refused} if refused else {}),
        )

    def _signed(self, raw: bytes) -> bytes:
        if self._signer is None:
            return raw
        return self._signer.signed(raw, int(self._tools.clock().timestamp()))

    def restraint(self) -> Restraint:
        """What keeps machines from talking for ever, and the account within its provider's limits."""
        settings = self._settings
        paces = ((settings.mails_per_minute, 60.0), (settings.mails_per_day, 86400.0))
        return Restraint(
            settings.automatic_per_day,
            settings.answers_per_hour,
            tuple((count, seconds) for count, seconds in paces if count),
        )

    async def close(self) -> None:
        """End the connections."""
        await self._pool.close()

    async def _assembled(self, draft: Draft) -> bytes:
        """The mail's bytes, with files loaded into their places; one whole copy is kept at a time."""
        rest = draft.body or ""
        pieces: list[bytes] = []
        total = 0
        for entry in draft.extra.get("attachments", ()):
            mark = str(entry["placeholder"])
            facts = {name: value for name, value in entry.items() if name != "placeholder"}
            content = await self._tools.media.read(msgspec.convert(facts, ReplyAttachment))
            total += len(content)
            if total > MAX_ATTACHMENT_BYTES:
                raise Unsupported(f"files of more than {MAX_ATTACHMENT_BYTES} bytes")
            before, found, rest = rest.partition(f"{mark}\r\n")
            if not found:
                raise Unsupported("the composed mail has no place for a file")
            encoded = await asyncio.to_thread(in_lines, content)
            pieces += [before.encode(), encoded.encode("ascii")]
        return b"".join([*pieces, rest.encode()])


def _rewritten_id(host: str, answer: str) -> str | None:
    """The Message-ID that the server gave the mail instead of ours, where it tells."""
    region, told = _SES_HOST.fullmatch(host), _SES_ANSWER.match(answer)
    if not region or not told:
        return None
    domain = "email" if region[1] == "us-east-1" else region[1]
    return f"{told[1]}@{domain}.amazonses.com"
