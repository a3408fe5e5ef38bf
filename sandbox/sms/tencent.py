"""Tencent Cloud SMS on this machine.

Sources: https://cloud.tencent.com/document/product/382/55981 (SendSms),
https://cloud.tencent.com/document/api/382/52071 (signature),
https://cloud.tencent.com/document/product/382/5809, …/59178 (callbacks)
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

from aiohttp import web

from sandbox.sms.platform import Callback, Pushed, Refusal, SmsPlatform

__all__ = ["TencentSimulator"]

BEIJING = timezone(timedelta(hours=8))
CLOCK_SECONDS = 300


class TencentSimulator(SmsPlatform):
    """The platform, as one application with one signature meets it.

    ``templates`` are those that are approved: id → text with {1}, {2}. The same text goes to a number
    once in ``repeat_seconds``; ``blacklist`` holds those who have opted out.
    """

    RETRY_PAUSES: Sequence[float] = (1.0, 1.0)

    def __init__(
        self, *, sign_name: str = "小店", repeat_seconds: float = 30.0, **more: Any
    ) -> None:
        super().__init__(**more)
        self.sign_name = sign_name
        self.repeat_seconds = repeat_seconds
        self.secret_id = f"AKID{secrets.token_hex(16)}"
        self.secret_key = secrets.token_hex(16)
        self.sdk_app_id = "1400006666"
        self.templates: dict[str, str] = {}
        self.blacklist: set[str] = set()
        self.sent: list[dict[str, Any]] = []

    # -- what people do ------------------------------------------------------------------------------

    async def text(self, person: str, words: str, *, extend: str = "") -> Pushed:
        """*person* (in E.164) answers."""
        self.show(person, "user", words)
        reply = {
            "extend": extend,
            "mobile": person.removeprefix("+86"),
            "nationcode": "86",
            "sign": self.sign_name,
            "text": words,
            "time": int(self.clock()),
        }
        return await self._push(reply, "push")

    async def _push(self, said: Any, kind: str) -> Pushed:
        if self.callback_url is None:
            raise ValueError("no callback URL: set callback_url")
        body = json.dumps(said, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        return await self.carry(Callback("POST", self.callback_url, headers, body), kind)

    def acknowledges(self, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        try:
            return status == 200 and json.loads(body).get("result") == 0
        except (ValueError, AttributeError):
            return False

    def tries_again(self, status: int | None) -> bool:
        return True

    # -- its API -------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/", self.call(self._act))]

    def refused(self, refusal: Refusal) -> web.Response:
        """Errors of the whole call; those of a number stand in its status."""
        error = {"Code": refusal.code, "Message": refusal.message}
        return _answer({"Error": error})

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._check(request, body)
        asked = json.loads(body)
        acts = {
            "SendSms": self._send,
            "PullSmsSendStatusByPhoneNumber": self._status,
            "DescribeSmsTemplateList": self._templates,
        }
        act = acts.get(request.headers.get("X-TC-Action", ""))
        if act is None:
            raise Refusal("InvalidAction", "no such action")
        return _answer(act(asked))

    def _check(self, request: web.Request, body: bytes) -> None:
        """The signature, as the platform works it out from what it received; the day is that of UTC."""
        given = re.fullmatch(
            r"TC3-HMAC-SHA256 Credential=([^/]+)/(\d{4}-\d\d-\d\d)/sms/tc3_request, "
            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
            request.headers.get("Authorization", ""),
        )
        if given is None or given[1] != self.secret_id:
            raise Refusal("AuthFailure.SecretIdNotFound", "The SecretId is not found")
        at = int(request.headers.get("X-TC-Timestamp", "0"))
        if abs(at - self.clock()) > CLOCK_SECONDS:
            raise Refusal("AuthFailure.SignatureExpire", "The provided credentials have expired")
        day = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
        names = given[3].split(";")
        lines = "".join(
            f"{name}:{request.headers.get(name, '').strip().lower()}\n" for name in names
        )
        digest = hashlib.sha256(body).hexdigest()
        whole = "\n".join(["POST", "/", "", lines, given[3], digest])
        scope = f"{day}/sms/tc3_request"
        hashed = hashlib.sha256(whole.encode()).hexdigest()
        told = f"TC3-HMAC-SHA256\n{at}\n{scope}\n{hashed}"
        key = f"TC3{self.secret_key}".encode()
        for part in (day, "sms", "tc3_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        wanted = hmac.new(key, told.encode(), hashlib.sha256).hexdigest()
        if given[2] != day or not hmac.compare_digest(wanted, given[4]):
            raise Refusal("AuthFailure.SignatureFailure", "The provided credentials are wrong")

    def _send(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        statuses = []
        for number in asked["PhoneNumberSet"]:
            status = {
                "SerialNo": "",
                "PhoneNumber": number,
                "Fee": 0,
                "SessionContext": asked.get("SessionContext", ""),
                "Code": "Ok",
                "Message": "send success",
                "IsoCode": "CN",
            }
            try:
                status |= {"SerialNo": self._send_one(number, asked), "Fee": 1}
            except Refusal as refusal:
                self.journal.write("refused", code=refusal.code)
                status |= {"Code": refusal.code, "Message": refusal.message}
            statuses.append(status)
        return {"SendStatusSet": statuses}

    def _send_one(self, number: str, asked: Mapping[str, Any]) -> str:
        if not re.fullmatch(r"\+861[3-9]\d{9}", number):
            raise Refusal("InvalidParameterValue.IncorrectPhoneNumber", "incorrect phone number")
        if asked.get("SmsSdkAppId") != self.sdk_app_id:
            raise Refusal("UnauthorizedOperation.SmsSdkAppIdVerifyFail", "SdkAppId")
        if asked.get("SignName") != self.sign_name:
            raise Refusal("FailedOperation.SignatureIncorrectOrUnapproved", "signature")
        if number in self.blacklist:
            raise Refusal("FailedOperation.PhoneNumberInBlacklist", "phone number in blacklist")
        text = self._filled(asked)
        for one in self.sent:
            same = one["to"] == number and one["text"] == text
            if same and one["at"] > self.clock() - self.repeat_seconds:
                raise Refusal("LimitExceeded.PhoneNumberThirtySecondLimit", "30 s")
        serial = f"5000:{secrets.randbelow(10**30):030}"
        sms = {"to": number, "at": self.clock(), "text": text, "serial": serial, "done": None}
        sms |= {"context": asked.get("SessionContext", ""), "extend": asked.get("ExtendCode")}
        self.sent.append(sms)
        self.show(number, "account", text)
        self.journal.write("send", **sms)
        self.report_later([partial(self._report, sms)])
        return serial

    def _filled(self, asked: Mapping[str, Any]) -> str:
        text = self.templates.get(asked.get("TemplateId", ""))
        if text is None:
            raise Refusal("FailedOperation.TemplateIncorrectOrUnapproved", "template")
        values = asked.get("TemplateParamSet") or []
        if len(values) != len(set(re.findall(r"\{(\d+)\}", text))):
            raise Refusal("FailedOperation.TemplateParamSetNotMatchApprovedTemplate", "count")
        for number, value in enumerate(values, 1):
            if not isinstance(value, str):
                raise Refusal("InvalidParameterValue.TemplateParameterFormatError", "type")
            if "http" in value:
                raise Refusal("InvalidParameterValue.ProhibitedUseUrlInTemplateParameter", "url")
            text = text.replace(f"{{{number}}}", value)
        return f"【{self.sign_name}】{text}"

    async def _report(self, sms: dict[str, Any]) -> None:
        failed = self.reports == "failed"
        sms["done"] = "FAIL" if failed else "SUCCESS"
        report = {
            "user_receive_time": datetime.fromtimestamp(self.clock(), BEIJING).strftime(
                "%Y-%m-%d %H:%M:%S"
            ),
            "nationcode": "86",
            "mobile": sms["to"].removeprefix("+86"),
            "report_status": sms["done"],
            "errmsg": "MK:0001" if failed else "DELIVRD",
            "description": "空号" if failed else "用户短信送达成功",
            "sid": sms["serial"],
            "ext": sms["context"],
        }
        await self._push([report], "report")

    def _status(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = [
            {
                "PhoneNumber": one["to"],
                "SerialNo": one["serial"],
                "ReportStatus": one["done"] or "",
                "SessionContext": one["context"],
            }
            for one in self.sent
            if one["to"] == asked.get("PhoneNumber") and one["at"] >= asked.get("BeginTime", 0)
        ]
        return {"PullSmsSendStatusSet": found}

    def _templates(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = [
            {"TemplateId": one, "StatusCode": 0, "TemplateContent": self.templates[str(one)]}
            for one in asked.get("TemplateIdSet", [])
            if str(one) in self.templates
        ]
        return {"DescribeTemplateStatusSet": found}


def _answer(said: Mapping[str, Any]) -> web.Response:
    """Without a charset: the platform's own package looks for errors under this very type only."""
    body = json.dumps({"Response": {**said, "RequestId": secrets.token_hex(16)}}).encode()
    return web.Response(body=body, headers={"Content-Type": "application/json"})
