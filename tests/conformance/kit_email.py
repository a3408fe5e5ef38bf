"""The mailbox's kit: mails as a listener emits them; replies leave by SMTP, not by HTTP."""

from adapters.email import CHANNEL, EmailSettings
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit
from hub.testing.kit import NOW


def event(body: bytes) -> InboundEvent:
    """A mail as the listener emits it."""
    return InboundEvent(
        dedupe_key="imap:INBOX:1:1",
        order_key="mailbox:support@shop.example",
        body=body,
        received_at=NOW,
        headers={"folder": "INBOX", "uid": "1"},
        proof="imap",
    )


def mail(number: int) -> bytes:
    """A small mail, told from others by its number."""
    return (
        "From: Anna <anna@home.example>\r\nTo: support@shop.example\r\n"
        f"Subject: number {number}\r\nMessage-ID: <{number}@home.example>\r\n"
        f"Date: Fri, 2 Jan 2026 03:00:0{number} +0000\r\n\r\nnumber {number}\r\n"
    ).encode()


KIT = ChannelKit(
    channel=CHANNEL,
    settings=EmailSettings(
        address="support@shop.example",
        imap_host="imap.shop.example",
        smtp_host="smtp.shop.example",
        password=Secret("PASSWORD-OF-THE-KIT"),
    ),
    to=Address("email", "", "anna@home.example"),
    event=event,
    samples=tuple(event(mail(number)) for number in range(3)),
    sends_by_http=False,
)
