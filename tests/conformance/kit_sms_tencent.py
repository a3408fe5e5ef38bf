"""Tencent Cloud's kit: callbacks, answers as it documents them."""

import json

from adapters.sms_tencent import CHANNEL, TencentSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import (
    Ambiguous,
    BadCredentials,
    OptedOut,
    QuotaUsedUp,
    RateLimited,
    RecipientGone,
    Rejected,
)
from hub.model import Address, Secret
from hub.testing import ChannelKit, Platform, json_answer, post
from outbound._sms_templates import SmsTemplate

PATH = "/in/sms_tencent/conformance"


def sealed(body: bytes) -> IntakeRequest:
    """Any bytes as a reply, as far as JSON lets them."""
    element = json.dumps({"text": body.decode("utf-8", "replace"), "mobile": "1"})
    try:
        if isinstance(json.loads(body), dict):
            element = body.decode()
    except (ValueError, RecursionError):
        pass
    return post(PATH, "", element.encode(), content_type="application/json")


def sample(number: int) -> IntakeRequest:
    element = {
        "extend": "01",
        "mobile": "13900000001",
        "nationcode": "86",
        "sign": "小店",
        "text": f"number {number}",
        "time": 1457336869,
    }
    return post(PATH, "", json.dumps(element, ensure_ascii=False).encode())


def status(code: str) -> HttpAnswer:
    entry = {"SerialNo": "", "PhoneNumber": "+8613900000001", "Code": code, "Message": "no"}
    return json_answer({"Response": {"SendStatusSet": [entry], "RequestId": "a0aabda6"}})


def error(code: str) -> HttpAnswer:
    return json_answer({"Response": {"Error": {"Code": code, "Message": "no"}, "RequestId": "a0"}})


SAID = {"SerialNo": "5000:1045710669157053657849499619", "Code": "Ok", "Fee": 1}

KIT = ChannelKit(
    channel=CHANNEL,
    settings=TencentSettings(
        secret_id="AKIDconformance",
        secret_key=Secret("conformance-secret-key"),
        sdk_app_id="1400006666",
        sign_name="小店",
        templates={
            "answer": SmsTemplate(id="449739", text="客服回复：{1}", params={"1": "{text}"}),
            "t": SmsTemplate(id="449740"),
        },
        intake_secret=Secret("conformance-intake-secret"),
    ),
    to=Address("tel", "", "+8613900000001"),
    sample=sample,
    sealed=sealed,
    platform=Platform(
        said=json_answer({"Response": {"SendStatusSet": [SAID], "RequestId": "a0aabda6"}}),
        refusals={
            "thirty seconds": (
                status("LimitExceeded.PhoneNumberThirtySecondLimit"),
                RateLimited,
            ),
            "a day": (status("LimitExceeded.PhoneNumberDailyLimit"), QuotaUsedUp),
            "opted out": (status("FailedOperation.PhoneNumberInBlacklist"), OptedOut),
            "no number": (status("InvalidParameterValue.IncorrectPhoneNumber"), RecipientGone),
            "no such template": (
                status("FailedOperation.TemplateIncorrectOrUnapproved"),
                Rejected,
            ),
            "no money": (
                status("FailedOperation.InsufficientBalanceInSmsPackage"),
                BadCredentials,
            ),
            "not at this hour": (
                status("FailedOperation.MarketingSendTimeConstraint"),
                RateLimited,
            ),
            "another secret": (error("AuthFailure.SignatureFailure"), BadCredentials),
            "clock": (error("AuthFailure.SignatureExpire"), BadCredentials),
            "our address": (
                error("UnauthorizedOperation.RequestIpNotInWhitelist"),
                BadCredentials,
            ),
            "too many": (error("RequestLimitExceeded"), RateLimited),
            "inside": (error("InternalError.Timeout"), Ambiguous),
        },
        unknown=status("FailedOperation.NeverHeardOf"),
    ),
)
