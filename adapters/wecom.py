"""Enterprise WeChat (企业微信), self-built app: members write to the app, the app answers.

Source: https://developer.work.weixin.qq.com/document/path/90238
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from adapters._wecom_door import TAKEN, CorpSettings, Door
from hub.channel import Account, Capabilities, Channel, Intake, IntakeRequest, Response, Tools
from hub.model import InboundEvent, Secret
from hub.text import clean
from normalizers._wechat_fields import identity, read_fields, text_of
from normalizers.wecom import normalize, opens
from outbound.wecom import MEDIA_LIMITS, TEXT_LIMIT, WeComChecker, WeComMedia, WeComSender

__all__ = ["CHANNEL", "WeComAdapter", "WeComSettings", "event_of"]

_MAX_ORDER_KEY = 200
LONGEST_CHECK_S = 14400


class WeComSettings(CorpSettings, frozen=True, kw_only=True):
    """What a self-built app needs."""

    agent_id: Annotated[
        int | str | None, Meta(description="AgentId of the app; needed to send")
    ] = None
    secret: Annotated[
        Secret | None, Meta(description="Secret of the app; without it the account only receives")
    ] = None
    duplicate_check_s: Annotated[
        int,
        Meta(
            description="For how long the platform drops the same text to the same member (0: not)"
        ),
    ] = 3600

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        yield from super().mistakes()
        if self.agent_id is None and self.secret is not None:
            yield "agent_id", "is missing; sending needs the AgentId of the app"
        if self.agent_id is not None and not str(self.agent_id).isdecimal():
            yield "agent_id", f"found {self.agent_id!r}, wants a number such as 1000002"
        if not 0 <= self.duplicate_check_s <= LONGEST_CHECK_S:
            found = f"found {self.duplicate_check_s}, wants 0 to {LONGEST_CHECK_S} seconds"
            yield "duplicate_check_s", found


class WeComAdapter:
    """The door of one app."""

    def __init__(self, account: Account[WeComSettings], tools: Tools) -> None:
        self._account = account.name
        self._door = Door(account.settings)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove and decrypt one request; see :class:`hub.channel.Adapter`."""
        entered = self._door.enter(request)
        if isinstance(entered, Response):
            return Intake(response=entered)
        return Intake((event_of(entered, request, self._account),), response=TAKEN)


def event_of(body: bytes, request: IntakeRequest, account: str) -> InboundEvent:
    """The decrypted push *body* as an event, in order with others of its sender."""
    fields = read_fields(body)
    sender = clean(text_of(fields, "FromUserName"))[:_MAX_ORDER_KEY] if fields else ""
    return InboundEvent(
        dedupe_key=identity(fields, body),
        order_key=sender or account,
        body=body,
        received_at=request.received_at,
        proof="msg_signature",
    )


CHANNEL = Channel(
    key="wecom",
    title="Enterprise WeChat app (企业微信)",
    settings=WeComSettings,
    normalize=normalize,
    opens=opens,
    adapter=WeComAdapter,
    sender=WeComSender,
    media=WeComMedia,
    checker=WeComChecker,
    capabilities=Capabilities(
        max_text_bytes=TEXT_LIMIT,
        attachments=MEDIA_LIMITS,
        menus=True,
        proactive=True,
        drops_repeats_for=timedelta(seconds=LONGEST_CHECK_S),
        receipts=("sent",),
    ),
    docs_url="https://developer.work.weixin.qq.com/document/path/90238",
)
