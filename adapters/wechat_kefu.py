"""WeChat customer service (微信客服): people in WeChat write to a customer-service account.

The callback is only a bell: it says that an account has news, and brings a token that lets us fetch
them at once. The news themselves are pulled.

Source: https://developer.work.weixin.qq.com/document/path/94670
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from adapters._kefu_listener import KefuListener
from adapters._wecom_door import TAKEN, CorpSettings, Door
from adapters.wecom import event_of
from hub.channel import (
    Account,
    Bell,
    Capabilities,
    Channel,
    Intake,
    IntakeRequest,
    Response,
    Tools,
)
from hub.model import Secret
from normalizers._wechat_fields import read_fields, text_of
from normalizers.wechat_kefu import normalize
from outbound.wechat_kefu import MEDIA_LIMITS, TEXT_LIMIT, KefuChecker, KefuMedia, KefuSender

__all__ = ["CHANNEL", "KefuAdapter", "KefuSettings"]

_BELL = "kf_msg_or_event"
_OPEN_KFID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_TOKEN = 1024


class KefuSettings(CorpSettings, frozen=True, kw_only=True):
    """What customer service needs; the secret is that of a self-built app that may manage it."""

    secret: Annotated[Secret, Meta(description="Secret of the app that may manage the accounts")]
    open_kfids: Annotated[
        tuple[str, ...],
        Meta(description="The customer-service accounts (wk…); empty: all that the app may manage"),
    ] = ()
    poll_s: Annotated[
        float, Meta(description="How often to look for news that no callback announced, seconds")
    ] = 300.0
    profiles: Annotated[
        bool, Meta(description="Ask for the name of customers who are met for the first time")
    ] = True
    welcome_text: Annotated[
        str | None, Meta(description="Said at once when a customer enters for the first time")
    ] = None
    goodbye_text: Annotated[
        str | None, Meta(description="Said at once when a session has been ended")
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        yield from super().mistakes()
        for own in self.open_kfids:
            if not _OPEN_KFID.fullmatch(own):
                yield "open_kfids", f"found {own!r}, wants ids such as wkAJ2GCAAASSm4_FhToWMFea0xA"
        if not 1 <= self.poll_s <= 86400:
            yield "poll_s", f"found {self.poll_s}, wants 1 to 86400 seconds"
        for name, text in (
            ("welcome_text", self.welcome_text),
            ("goodbye_text", self.goodbye_text),
        ):
            if text is not None and len(text.encode()) > TEXT_LIMIT:
                yield name, f"has {len(text.encode())} bytes, the platform takes {TEXT_LIMIT}"


class KefuAdapter:
    """The door of the app that manages customer service."""

    def __init__(self, account: Account[KefuSettings], tools: Tools) -> None:
        self._account = account.name
        self._door = Door(account.settings)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove and decrypt one request; see :class:`hub.channel.Adapter`.

        Other events of the enterprise that come by the same callback are events like any other.
        """
        entered = self._door.enter(request)
        if isinstance(entered, Response):
            return Intake(response=entered)
        fields = read_fields(entered)
        if fields and text_of(fields, "Event").strip().lower() == _BELL:
            desk = text_of(fields, "OpenKfId").strip()
            token = text_of(fields, "Token").strip()[:_MAX_TOKEN]
            known = desk if _OPEN_KFID.fullmatch(desk) else ""
            return Intake(bells=(Bell(known, {"token": token}),), response=TAKEN)
        return Intake((event_of(entered, request, self._account),), response=TAKEN)


CHANNEL = Channel(
    key="wechat_kefu",
    title="WeChat customer service (微信客服)",
    settings=KefuSettings,
    normalize=normalize,
    adapter=KefuAdapter,
    listener=KefuListener,
    sender=KefuSender,
    media=KefuMedia,
    checker=KefuChecker,
    capabilities=Capabilities(
        max_text_bytes=TEXT_LIMIT,
        attachments=MEDIA_LIMITS,
        reply_window=timedelta(hours=48),
        allowance=5,
        menus=True,
        receipts=("sent", "failed"),
    ),
    docs_url="https://developer.work.weixin.qq.com/document/path/94638",
)
