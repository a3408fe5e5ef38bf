"""The platforms' own packages as peers: they accept what we sign, we accept what they sign."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlencode

import jwt
import pytest
import smsutil
from alibabacloud_dysmsapi20170525 import models as dysms_models
from alibabacloud_dysmsapi20170525.client import Client as DysmsClient
from alibabacloud_tea_openapi import models as openapi_models
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest
from hypothesis import given
from hypothesis import strategies as st
from messagebird.error import ValidationError as BirdError
from messagebird.request_validator import RequestValidator as BirdValidator
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.sign import Sign
from tencentcloud.sms.v20210111 import models as tencent_models
from tencentcloud.sms.v20210111.sms_client import SmsClient
from twilio.request_validator import RequestValidator

from adapters._gateway_proof import Signature, prove
from adapters._twilio_signature import is_signed, sign, urls_of
from adapters.sms_twilio import TwilioAdapter, TwilioSettings
from hub.channel import Account, IntakeRequest
from hub.errors import NotAuthentic
from hub.model import Secret
from hub.segments import count_segments
from hub.testing import Workbench
from outbound._acs3 import canonical_query
from outbound._acs3 import signature as acs3
from outbound._tc3 import authorization as tc3_authorization
from outbound._tc3 import signature as tc3
from sandbox.sms import AliyunSimulator, TencentSimulator, TwilioSimulator

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TOKEN = "an-auth-token"
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=0, max_size=40
)
FORMS = st.dictionaries(st.text("ABCabc012", min_size=1, max_size=8), TEXT, min_size=1, max_size=8)


# --- Twilio -----------------------------------------------------------------------------------------


@given(FORMS, st.sampled_from(["", "?x=a%2Fb&y=%20", "?message_id=msg_1"]))
def test_twilios_validator_accepts_our_signature(form: dict[str, str], query: str) -> None:
    """Whatever stands in a form."""
    url = f"https://hub.example.com/in/sms_twilio/shop{query}"
    made = sign(TOKEN, url, list(form.items()))
    assert RequestValidator(TOKEN).validate(url, form, made)


@given(FORMS, st.sampled_from(["", ":443", ":8443"]))
def test_we_accept_what_twilio_signs(form: dict[str, str], port: str) -> None:
    """At the door, over the bytes of a request; not with another token."""
    base, path = f"https://hub.example.com{port}", "/in/sms_twilio/shop"
    signed = RequestValidator(TOKEN).compute_signature(f"{base}{path}", form)
    settings = TwilioSettings(account_sid="AC1", auth_token=Secret(TOKEN), public_url=base)
    adapter = TwilioAdapter(Account("shop", "sms_twilio", settings), Workbench().tools)
    body = urlencode(form).encode()
    request = IntakeRequest("POST", path, "", {"x-twilio-signature": signed}, body, NOW)
    assert len(asyncio.run(adapter.accept(request)).events) == 1
    other = RequestValidator("another").compute_signature(f"{base}{path}", form)
    assert not is_signed(other, [TOKEN], urls_of(f"{base}{path}"), list(form.items()))


def test_the_simulator_signs_as_twilio_does() -> None:
    """So it may judge us."""
    simulator = TwilioSimulator()
    form = {"Body": "Hi & bye + 你好", "ToCity": "", "From": "+14155550100"}
    made = simulator.sign("https://hub.example.com/in?x=1", form)
    validator = RequestValidator(simulator.auth_token)
    assert validator.validate("https://hub.example.com/in?x=1", form, made)


# --- Alibaba Cloud ----------------------------------------------------------------------------------


@pytest.fixture
async def aliyun() -> AsyncIterator[AliyunSimulator]:
    simulator = AliyunSimulator()
    simulator.templates = {"SMS_1": "您的验证码是${code}。"}
    await simulator.start()
    yield simulator
    await simulator.stop()


def dysms(simulator: AliyunSimulator, secret: str) -> DysmsClient:
    return DysmsClient(
        openapi_models.Config(
            access_key_id=simulator.access_key_id,
            access_key_secret=secret,
            endpoint=f"127.0.0.1:{simulator.port}",
            protocol="http",
            region_id="cn-hangzhou",
        )
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_simulator_takes_what_alibabas_sdk_signs(aliyun: AliyunSimulator) -> None:
    """A text of any characters arrives; with another secret it does not."""
    request = dysms_models.SendSmsRequest(
        phone_numbers="13800138000",
        sign_name="小店",
        template_code="SMS_1",
        template_param=json.dumps({"code": "a b+c/~*&=%号"}, ensure_ascii=False),
        out_id="msg_1",
    )
    answer = await asyncio.to_thread(dysms(aliyun, aliyun.access_key_secret).send_sms, request)
    assert answer.body.code == "OK"
    assert aliyun.sent[0]["text"] == "【小店】您的验证码是a b+c/~*&=%号。"
    with pytest.raises(Exception, match="SignatureDoesNotMatch"):
        await asyncio.to_thread(dysms(aliyun, "another").send_sms, request)


@given(st.dictionaries(st.text("ABab", min_size=1, max_size=6), TEXT, max_size=5))
def test_alibabas_sdk_signs_as_we_do(params: dict[str, str]) -> None:
    """The same headers and query give the same signature."""
    headers = {"host": "dysmsapi.aliyuncs.com", "x-acs-action": "SendSms", "x-acs-version": "1"}
    request = DaraRequest()
    request.method, request.pathname = "POST", "/"
    request.query, request.headers = dict(params), dict(headers)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    theirs = Utils.get_authorization(request, "ACS3-HMAC-SHA256", empty, "id", "secret")
    _names, ours = acs3("secret", "POST", "/", canonical_query(params), headers)
    assert theirs.endswith(f"Signature={ours}")


# --- Tencent Cloud ----------------------------------------------------------------------------------


@pytest.fixture
async def tencent() -> AsyncIterator[TencentSimulator]:
    simulator = TencentSimulator()
    simulator.templates = {"1": "您的验证码是{1}。"}
    await simulator.start()
    yield simulator
    await simulator.stop()


def sms_client(simulator: TencentSimulator, secret: str) -> SmsClient:
    http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{simulator.port}")
    made = credential.Credential(simulator.secret_id, secret)
    return SmsClient(made, "ap-guangzhou", ClientProfile(httpProfile=http))


async def test_the_simulator_takes_what_tencents_sdk_signs(tencent: TencentSimulator) -> None:
    """A text arrives; with another key it does not."""
    request = tencent_models.SendSmsRequest()
    request.PhoneNumberSet = ["+8613800138000"]
    request.SmsSdkAppId, request.SignName = tencent.sdk_app_id, tencent.sign_name
    request.TemplateId, request.TemplateParamSet = "1", ["你好 & 123"]
    answer = await asyncio.to_thread(sms_client(tencent, tencent.secret_key).SendSms, request)
    assert answer.SendStatusSet[0].Code == "Ok"
    assert tencent.sent[0]["text"] == "【小店】您的验证码是你好 & 123。"
    with pytest.raises(TencentCloudSDKException, match="SignatureFailure"):
        await asyncio.to_thread(sms_client(tencent, "another").SendSms, request)
    assert len(tencent.sent) == 1


@given(TEXT, st.integers(1_600_000_000, 1_900_000_000))
def test_tencents_sdk_signs_as_we_do(text: str, at: int) -> None:
    """The same bytes at the same second, whatever the day is on the wall."""
    body = json.dumps({"a": text}).encode()
    headers = {"content-type": "application/json", "host": "sms.tencentcloudapi.com"}
    names, ours = tc3("key", "sms", at, headers, body)
    day = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    told = f"TC3-HMAC-SHA256\n{at}\n{day}/sms/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    assert Sign.sign_tc3("key", day, "sms", told) == ours
    assert f"id/{day}/sms/tc3_request" in tc3_authorization("id", "sms", at, names, ours)


# --- segments ---------------------------------------------------------------------------------------


@given(st.text("ab^€{}中😀’ é\n", max_size=400))
def test_segments_as_smsutil_counts_them(text: str) -> None:
    """Alphabet and number, for any text."""
    ours = count_segments(text)
    theirs = smsutil.split(text)
    if text:
        assert ours.segments == len(theirs.parts)
        assert (ours.encoding == "GSM-7") == smsutil.is_valid_gsm(text)


# --- MessageBird ------------------------------------------------------------------------------------


@given(st.binary(max_size=60), st.sampled_from(["", "?b=1&a=2", "?x=%2F"]), st.booleans())
def test_we_judge_tokens_as_messagebird_does(body: bytes, query: str, genuine: bool) -> None:
    """Its own package says the same of any body and query, with the right key and another."""
    key, url = "k" * 32, f"https://hub.example.com/in/sms_http/bird{query}"
    at = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": "MessageBird",
        "nbf": at - 10,
        "exp": at + 50,
        "jti": "1",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }
    if body:
        claims["payload_hash"] = hashlib.sha256(body).hexdigest()
    token = jwt.encode(claims, key if genuine else "x" * 32, algorithm="HS256")
    settings = Signature(kind="jwt", secret=Secret(key), issuer="MessageBird")
    headers = {"messagebird-signature-jwt": token}
    request = IntakeRequest("POST", "/in", "", headers, body, datetime.now(UTC))
    verdicts = []
    for judge in (
        lambda: BirdValidator(key).validate_signature(token, url, body),
        lambda: prove(settings, request, url, {}),
    ):
        try:
            judge()
            verdicts.append(True)
        except (BirdError, NotAuthentic):
            verdicts.append(False)
    assert verdicts == [genuine, genuine]
