"""Alibaba Cloud's kit: batches, answers as it documents them."""

import json

from adapters.sms_aliyun import CHANNEL, AliyunSettings
from hub.channel import HttpAnswer, IntakeRequest
from hub.errors import Ambiguous, BadCredentials, QuotaUsedUp, RateLimited, RecipientGone, Rejected
from hub.model import Address, Secret
from hub.testing import ChannelKit, Platform, json_answer, post
from outbound._sms_templates import SmsTemplate

PATH = "/in/sms_aliyun/conformance"


def sealed(body: bytes) -> IntakeRequest:
    """Any bytes as one element of a batch, as far as JSON lets them."""
    element = json.dumps({"content": body.decode("utf-8", "replace"), "phone_number": "1"})
    try:
        if isinstance(json.loads(body), dict):
            element = body.decode()
    except (ValueError, RecursionError):
        pass
    return post(PATH, "", f"[{element}]".encode(), content_type="application/json")


def sample(number: int) -> IntakeRequest:
    element = {
        "phone_number": "13900001234",
        "content": f"number {number}",
        "send_time": "2023-08-04 10:15:38",
        "dest_code": "12345",
        "sequence_id": f"{1234567890 + number}",
    }
    return post(PATH, "", json.dumps([element], ensure_ascii=False).encode())


def refusal(code: str, message: str = "no", status: int = 200) -> HttpAnswer:
    return json_answer({"Code": code, "Message": message, "RequestId": "F655A8D5"}, status)


KIT = ChannelKit(
    channel=CHANNEL,
    settings=AliyunSettings(
        access_key_id="LTAIconformance",
        access_key_secret=Secret("conformance-key-secret"),
        sign_name="小店",
        templates={
            "answer": SmsTemplate(
                id="SMS_1", text="客服回复：${content}", params={"content": "{text}"}
            ),
            "t": SmsTemplate(id="SMS_2", text="验证码${a}"),
        },
        intake_secret=Secret("conformance-intake-secret"),
    ),
    to=Address("tel", "", "+8613900001234"),
    sample=sample,
    sealed=sealed,
    platform=Platform(
        said=json_answer({"Code": "OK", "Message": "OK", "BizId": "900619746936498440^0"}),
        refusals={
            "a minute": (
                refusal("isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1"),
                RateLimited,
            ),
            "a day": (
                refusal("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:40"),
                QuotaUsedUp,
            ),
            "a month": (refusal("isv.MONTH_LIMIT_CONTROL"), QuotaUsedUp),
            "no number": (refusal("isv.MOBILE_NUMBER_ILLEGAL"), RecipientGone),
            "no money": (refusal("isv.AMOUNT_NOT_ENOUGH"), BadCredentials),
            "no such template": (refusal("isv.SMS_TEMPLATE_ILLEGAL"), Rejected),
            "another secret": (refusal("SignatureDoesNotMatch", status=400), BadCredentials),
            "unknown key": (refusal("InvalidAccessKeyId.NotFound", status=404), BadCredentials),
            "throttled": (refusal("Throttling.User", status=503), RateLimited),
            "system error": (refusal("isp.SYSTEM_ERROR"), Ambiguous),
        },
        unknown=refusal("isv.NEVER_HEARD_OF"),
    ),
)
