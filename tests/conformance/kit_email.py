"""The mailbox's kit: mails as a listener emits them and as they are posted; replies leave by SMTP."""

import hashlib
import hmac
from base64 import b64decode, b64encode

from adapters.email import CHANNEL, EmailSettings
from hub.channel import IntakeRequest
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit, post
from hub.testing.kit import NOW

KEY = "whsec_" + b64encode(b"the key of the conformance kit!!").decode()


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


def posted(body: bytes) -> IntakeRequest:
    """Any bytes as a signed post, signed again by hand so that it can judge ours."""
    message_id = hashlib.sha256(body).hexdigest()
    stamp = str(int(NOW.timestamp()))
    key = b64decode(KEY.removeprefix("whsec_"))
    made = hmac.digest(key, f"{message_id}.{stamp}.".encode() + body, "sha256")
    return post(
        "/in/email/conformance",
        "",
        body,
        webhook_id=message_id,
        webhook_timestamp=stamp,
        webhook_signature="v1," + b64encode(made).decode(),
    )


KIT = ChannelKit(
    channel=CHANNEL,
    settings=EmailSettings(
        address="support@shop.example",
        intake="mime",
        webhook_secret=Secret(KEY),
        smtp_host="smtp.shop.example",
        password=Secret("PASSWORD-OF-THE-KIT"),
    ),
    to=Address("email", "", "anna@home.example"),
    sample=lambda number: posted(mail(number)),
    sealed=posted,
    proof=("header:webhook-id", "header:webhook-timestamp", "header:webhook-signature"),
    event=event,
    samples=tuple(event(mail(number)) for number in range(3)),
    sends_by_http=False,
)
