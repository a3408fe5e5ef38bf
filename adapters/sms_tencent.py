"""Tencent Cloud SMS (腾讯云短信): replies come one by one, reports in a list, both unsigned.

Sources: https://cloud.tencent.com/document/product/382/5809 (replies),
https://cloud.tencent.com/document/product/382/59178 (reports)
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters._sms_unsigned import MainlandSettings, Sources, digest, elements, fields_of
from hub.channel import Account, Capabilities, Channel, Intake, IntakeRequest, Response, Tools
from hub.model import InboundEvent, Secret
from normalizers._sms import opens, text_in
from normalizers.sms_tencent import normalize, number_in
from outbound.sms_tencent import API_BASE, TencentChecker, TencentSender

__all__ = ["CHANNEL", "TencentAdapter", "TencentSettings"]

TAKEN = Response(
    200,
    msgspec.json.encode({"result": 0, "errmsg": "OK"}),
    {"content-type": "application/json; charset=utf-8"},
)
_REPLY = ("nationcode", "mobile", "extend", "sign", "text", "time")


class TencentSettings(MainlandSettings, frozen=True, kw_only=True):
    """What an account with Tencent Cloud needs."""

    secret_id: Annotated[str, Meta(description="SecretId of a CAM user for SMS alone, AKID…")]
    secret_key: Annotated[Secret, Meta(description="SecretKey of that user")]
    sdk_app_id: Annotated[str, Meta(description="SdkAppId of the SMS application, 1400006666")]
    region: Annotated[str, Meta(description="Region of the API, ap-guangzhou")] = "ap-guangzhou"
    daily_quota: Annotated[
        int, Meta(ge=0, description="Texts a day to one number; 0: not counted")
    ] = 10
    repeat_pause_s: Annotated[
        int,
        Meta(ge=0, description="How far apart the same text to one number must be; 0: not counted"),
    ] = 30
    api_base: Annotated[str, Meta(description="Host of the platform's API")] = API_BASE

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        yield from super().mistakes()
        if not (self.sdk_app_id.isascii() and self.sdk_app_id.isdecimal()):
            yield "sdk_app_id", f"found {self.sdk_app_id!r}, wants digits such as 1400006666"
        if not self.secret_id.strip():
            yield "secret_id", "is empty; wants the SecretId of the CAM user"
        if not self.api_base.startswith(("https://", "http://")):
            yield "api_base", f"found {self.api_base!r}, wants a URL such as {API_BASE}"


class TencentAdapter:
    """The door of one account, for replies and reports alike."""

    def __init__(self, account: Account[TencentSettings], tools: Tools) -> None:
        self._sources = Sources(account.settings.sources)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Take what a callback brings, all or nothing; see the contract."""
        self._sources.check(request)
        events = tuple(_event(one, request) for one in elements(request))
        return Intake(events, response=TAKEN)


def _event(element: bytes, request: IntakeRequest) -> InboundEvent:
    """A reply has no id: two of the same words from one number within a second are one."""
    fields = fields_of(element)
    number = number_in(fields)
    sid = text_in(fields, "sid")
    if "text" in fields and text_in(fields, "mobile"):
        key = digest(*(text_in(fields, name) for name in _REPLY))
    elif 0 < len(sid) <= 100 and number:
        key = f"{sid}:{number}"
    else:
        key = f"sha256:{hashlib.sha256(element).hexdigest()}"
    return InboundEvent(
        dedupe_key=key,
        order_key=number or "unknown",
        body=element,
        received_at=request.received_at,
        proof="none",
    )


CHANNEL = Channel(
    key="sms_tencent",
    title="SMS by Tencent Cloud (腾讯云短信)",
    settings=TencentSettings,
    normalize=normalize,
    adapter=TencentAdapter,
    sender=TencentSender,
    checker=TencentChecker,
    opens=opens,
    capabilities=Capabilities(
        free_text=False,
        templates=True,
        proactive=True,
        signed=False,
        receipts=("sent", "delivered", "failed"),
    ),
    docs_url="https://cloud.tencent.com/document/product/382",
)
