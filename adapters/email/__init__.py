"""Email: a mailbox read by IMAP and answered by SMTP."""

from adapters.email.check import EmailChecker
from adapters.email.listener import EmailListener
from adapters.email.webhook import EmailAdapter
from hub.channel import Capabilities, Channel
from normalizers.email import normalize, opens
from outbound.email import MAX_ATTACHMENT_BYTES, EmailSender, EmailSettings

__all__ = [
    "CHANNEL",
    "EmailAdapter",
    "EmailChecker",
    "EmailListener",
    "EmailSender",
    "EmailSettings",
]

# What the largest mails of the large providers (35 MB) grow to in a form.
MAX_POST_BYTES = 40 * 1024 * 1024

CHANNEL = Channel(
    key="email",
    title="Email (IMAP and SMTP)",
    settings=EmailSettings,
    normalize=normalize,
    opens=opens,
    adapter=EmailAdapter,
    listener=EmailListener,
    sender=EmailSender,
    checker=EmailChecker,
    capabilities=Capabilities(
        attachments=dict.fromkeys(("image", "voice", "video", "file"), MAX_ATTACHMENT_BYTES),
        receipts=("sent", "delivered", "failed"),
        quoting=True,
        proactive=True,
    ),
    docs_url="docs/channels/email.md",
    hostile=True,
    max_body_bytes=MAX_POST_BYTES,
)
