"""Alibaba Cloud SMS (阿里云短信服务): replies and reports are pushed in batches, unsigned.

Sources: https://help.aliyun.com/document_detail/101847.html (SmsUp),
https://help.aliyun.com/document_detail/101867.html (SmsReport)
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters._sms_unsigned import MainlandSettings, Sources, elements, fields_of
from hub.channel import Account, Capabilities, Channel, Intake, IntakeRequest, Response, Tools
from hub.model import InboundEvent, Secret
from hub.phones import e164
from normalizers._sms import opens, text_in
from normalizers.sms_aliyun import normalize
from outbound.sms_aliyun import API_BASE, AliyunChecker, AliyunSender

__all__ = ["CHANNEL", "AliyunAdapter", "AliyunSettings"]

# The platform looks at the status and whether "code" is a number; another code is no request to try again.
TAKEN = Response(
    200,
    msgspec.json.encode({"code": 0, "msg": "接收成功"}),
    {"content-type": "application/json; charset=utf-8"},
)
_LONGEST_ID = 64


class AliyunSettings(MainlandSettings, frozen=True, kw_only=True):
    """What an account with Alibaba Cloud needs."""

    access_key_id: Annotated[str, Meta(description="AccessKey ID of a RAM user for SMS alone")]
    access_key_secret: Annotated[Secret, Meta(description="AccessKey Secret of that user")]
    daily_quota: Annotated[
        int,
        Meta(ge=0, description="Texts a day to one number from one template; 0: not counted"),
    ] = 50
    api_base: Annotated[str, Meta(description="Host of the platform's API")] = API_BASE

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        yield from super().mistakes()
        if not self.access_key_id.strip():
            yield "access_key_id", "is empty; wants the AccessKey ID of the RAM user"
        if not self.api_base.startswith(("https://", "http://")):
            yield "api_base", f"found {self.api_base!r}, wants a URL such as {API_BASE}"


class AliyunAdapter:
    """The door of one account, for SmsUp and SmsReport alike."""

    def __init__(self, account: Account[AliyunSettings], tools: Tools) -> None:
        self._country = account.settings.country
        self._sources = Sources(account.settings.sources)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Take a batch: all of it is stored in one transaction, or none; see the contract."""
        self._sources.check(request)
        events = tuple(self._event(one, request) for one in elements(request))
        return Intake(events, response=TAKEN)

    def _event(self, element: bytes, request: IntakeRequest) -> InboundEvent:
        fields = fields_of(element)
        number = text_in(fields, "phone_number")
        key = f"sha256:{hashlib.sha256(element).hexdigest()}"
        for name in ("sequence_id", "biz_id"):
            own = text_in(fields, name)
            if 0 < len(own) <= _LONGEST_ID and number:
                key = f"{name}:{own}:{number}"
                break
        return InboundEvent(
            dedupe_key=key,
            order_key=e164(number, self._country) or "unknown",
            body=element,
            received_at=request.received_at,
            proof="none",
        )


CHANNEL = Channel(
    key="sms_aliyun",
    title="SMS by Alibaba Cloud (阿里云短信)",
    settings=AliyunSettings,
    normalize=normalize,
    adapter=AliyunAdapter,
    sender=AliyunSender,
    checker=AliyunChecker,
    opens=opens,
    capabilities=Capabilities(
        free_text=False,
        templates=True,
        proactive=True,
        signed=False,
        receipts=("sent", "delivered", "failed"),
    ),
    docs_url="https://help.aliyun.com/zh/sms/",
)
