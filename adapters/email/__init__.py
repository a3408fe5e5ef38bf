"""Email: a mailbox read by IMAP and answered by SMTP."""

from adapters.email.check import EmailChecker
from adapters.email.listener import EmailListener
from hub.channel import Capabilities, Channel
from normalizers.email import normalize
from outbound.email import MAX_ATTACHMENT_BYTES, EmailSender, EmailSettings

__all__ = ["CHANNEL", "EmailChecker", "EmailListener", "EmailSender", "EmailSettings"]

CHANNEL = Channel(
    key="email",
    title="Email (IMAP and SMTP)",
    settings=EmailSettings,
    normalize=normalize,
    listener=EmailListener,
    sender=EmailSender,
    checker=EmailChecker,
    capabilities=Capabilities(
        attachments=dict.fromkeys(("image", "voice", "video", "file"), MAX_ATTACHMENT_BYTES),
        receipts=("sent", "delivered", "failed"),
        quoting=True,
        proactive=True,
        signed=False,
    ),
    docs_url="docs/channels/email.md",
    hostile=True,
)
