"""A mailbox's kit: mails as the listener emits them; SMTP is tried against a real server elsewhere."""

import hashlib

from adapters.email import CHANNEL, EmailSettings
from hub.model import Address, InboundEvent, Secret
from hub.testing import ChannelKit
from hub.testing.kit import NOW

MAIL = b"""\
Message-ID: <1@customer.example>\r
Date: Fri, 2 Jan 2026 11:04:05 +0800\r
From: =?utf-8?b?5p2O6Zu3?= <li@customer.example>\r
To: support@shop.example\r
Subject: =?utf-8?b?6K6i5Y2V?=\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
\xe4\xbd\xa0\xe5\xa5\xbd\r
"""


def event(body: bytes) -> InboundEvent:
    return InboundEvent(
        dedupe_key=f"sha256:{hashlib.sha256(body).hexdigest()}",
        order_key="",
        body=body,
        received_at=NOW,
        proof="imap",
    )


KIT = ChannelKit(
    channel=CHANNEL,
    settings=EmailSettings(
        address="support@shop.example",
        imap_host="imap.shop.example",
        smtp_host="smtp.shop.example",
        password=Secret("conformance-password"),
    ),
    to=Address("email", "", "li@customer.example"),
    event=event,
    samples=(event(MAIL),),
    sends_by_http=False,
)
