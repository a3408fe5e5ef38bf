"""Alibaba Cloud SMS on this machine.

Sources: https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms,
https://help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature,
https://help.aliyun.com/document_detail/101847.html, …/101867.html
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
from urllib.parse import quote

from aiohttp import web

from sandbox.sms.platform import Callback, Pushed, Refusal, SmsPlatform

__all__ = ["AliyunSimulator"]

BEIJING = timezone(timedelta(hours=8))
CLOCK_MINUTES = 15
_STATUS = {"SignatureDoesNotMatch": 400, "InvalidAccessKeyId.NotFound": 404}


class AliyunSimulator(SmsPlatform):
    """The platform, as one RAM user with one signature meets it.

    ``templates`` are those that are approved: id → text. ``minute_limit`` texts go to a number in a
    minute from one template.
    """

    RETRY_PAUSES: Sequence[float] = (60.0, 300.0, 600.0)

    def __init__(self, *, sign_name: str = "小店", minute_limit: int = 50, **more: Any) -> None:
        super().__init__(**more)
        self.sign_name = sign_name
        self.minute_limit = minute_limit
        self.access_key_id = f"LTAI{secrets.token_hex(8)}"
        self.access_key_secret = secrets.token_hex(15)
        self.templates: dict[str, str] = {}
        self.sent: list[dict[str, Any]] = []
        self._nonces: set[str] = set()
        self._sequence = secrets.randbelow(10**9)

    # -- what people do ------------------------------------------------------------------------------

    async def text(self, person: str, content: str, *, dest_code: str = "") -> Pushed:
        """*person* (in E.164) answers."""
        return await self.push([self.reply(person, content, dest_code=dest_code)])

    def reply(self, person: str, content: str, *, dest_code: str = "") -> dict[str, Any]:
        """One element of a batch; its words stand on the phone."""
        self.show(person, "user", content)
        self._sequence += 1
        return {
            "phone_number": person.removeprefix("+86").removeprefix("+"),
            "content": content,
            "send_time": self._now(),
            "dest_code": dest_code,
            "sequence_id": str(self._sequence),
        }

    async def push(self, batch: Sequence[Mapping[str, Any]], kind: str = "push") -> Pushed:
        """Push a batch, and again after 1, 5 and 10 minutes while it is not taken."""
        if self.callback_url is None:
            raise ValueError("no callback URL: set callback_url")
        body = json.dumps(batch, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json;charset=utf-8"}
        callback = Callback("POST", self.callback_url, headers, body)
        return await self.carry(callback, kind, count=len(batch))

    def acknowledges(self, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Status 200 and any number under ``code``."""
        try:
            code = json.loads(body).get("code")
        except (ValueError, AttributeError):
            return False
        return status == 200 and isinstance(code, int)

    def tries_again(self, status: int | None) -> bool:
        return True

    def _now(self) -> str:
        return datetime.fromtimestamp(self.clock(), BEIJING).strftime("%Y-%m-%d %H:%M:%S")

    # -- its API -------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/", self.call(self._act))]

    def refused(self, refusal: Refusal) -> web.Response:
        said = {
            "Code": refusal.code,
            "Message": refusal.message,
            "RequestId": secrets.token_hex(16).upper(),
        }
        return web.json_response(said, status=_STATUS.get(str(refusal.code), 200))

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._check(request, body)
        acts = {
            "SendSms": self._send,
            "QuerySendDetails": self._details,
            "QuerySmsTemplate": self._template,
            "QuerySmsSign": self._sign,
        }
        act = acts.get(request.headers.get("x-acs-action", ""))
        if act is None:
            raise Refusal("InvalidAction.NotFound", "Specified api is not found")
        said = {"Code": "OK", "Message": "OK", "RequestId": secrets.token_hex(16).upper()}
        return web.json_response(said | act(dict(request.query)))

    def _check(self, request: web.Request, body: bytes) -> None:
        """The signature, as the platform works it out from what it received."""
        given = re.fullmatch(
            r"ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})",
            request.headers.get("Authorization", ""),
        )
        if given is None or given[1] != self.access_key_id:
            raise Refusal("InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        names = given[2].split(";")
        digest = hashlib.sha256(body).hexdigest()
        if request.headers.get("x-acs-content-sha256") != digest:
            raise Refusal("SignatureDoesNotMatch", "the body is another")
        query = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}"
            for name, value in sorted(request.query.items())
        )
        lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
        whole = "\n".join([request.method, "/", query, lines, given[2], digest])
        told = f"ACS3-HMAC-SHA256\n{hashlib.sha256(whole.encode()).hexdigest()}"
        wanted = hmac.new(self.access_key_secret.encode(), told.encode(), hashlib.sha256)
        if not hmac.compare_digest(wanted.hexdigest(), given[3]):
            raise Refusal("SignatureDoesNotMatch", "Specified signature does not match.")
        self._check_fresh(request)

    def _check_fresh(self, request: web.Request) -> None:
        stated = request.headers.get("x-acs-date", "")
        try:
            made = datetime.strptime(stated, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError as error:
            raise Refusal("InvalidTimeStamp.Format", stated) from error
        if abs(made.timestamp() - self.clock()) > CLOCK_MINUTES * 60:
            raise Refusal("InvalidTimeStamp.Expired", "Specified time stamp is expired.")
        nonce = request.headers.get("x-acs-signature-nonce", "")
        if not nonce or nonce in self._nonces:
            raise Refusal("SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces.add(nonce)

    def _send(self, asked: Mapping[str, str]) -> dict[str, Any]:
        number = asked.get("PhoneNumbers", "")
        if not re.fullmatch(r"1[3-9]\d{9}", number):
            raise Refusal("isv.MOBILE_NUMBER_ILLEGAL", f"{number}invalid mobile number")
        if asked.get("SignName") != self.sign_name:
            raise Refusal("isv.SMS_SIGNATURE_ILLEGAL", "该账号下找不到对应签名")
        text = self._filled(asked)
        person = f"+86{number}"
        recent = [one for one in self.sent if one["to"] == person and one["at"] > self.clock() - 60]
        if len(recent) >= self.minute_limit:
            limit = f"触发分钟级流控Permits:{self.minute_limit}"
            raise Refusal("isv.BUSINESS_LIMIT_CONTROL", limit)
        biz_id = f"{secrets.randbelow(10**18)}^0"
        sms = {"to": person, "at": self.clock(), "text": text, "biz_id": biz_id, "state": 1}
        sms |= {"out_id": asked.get("OutId"), "template": asked["TemplateCode"]}
        sms |= {"extend": asked.get("SmsUpExtendCode")}
        self.sent.append(sms)
        self.show(person, "account", text)
        self.journal.write("send", **sms)
        self.report_later([partial(self._report, sms)])
        return {"BizId": biz_id}

    def _filled(self, asked: Mapping[str, str]) -> str:
        text = self.templates.get(asked.get("TemplateCode", ""))
        if text is None:
            raise Refusal("isv.SMS_TEMPLATE_ILLEGAL", "该账号下找不到对应模板")
        try:
            params = json.loads(asked.get("TemplateParam") or "{}")
        except ValueError as error:
            raise Refusal("isv.INVALID_JSON_PARAM", "参数格式错误") from error
        for name in re.findall(r"\$\{(\w+)\}", text):
            value = params.get(name)
            if not isinstance(value, str) or not value:
                raise Refusal("isv.TEMPLATE_MISSING_PARAMETERS", f"模板变量缺少对应参数值:{name}")
            if len(value) > 35:
                raise Refusal("isv.PARAM_LENGTH_LIMIT", "参数超过长度限制")
            if "http" in value or "www." in value:
                raise Refusal("isv.PARAM_NOT_SUPPORT_URL", "变量不支持传入URL")
            text = text.replace(f"${{{name}}}", value)
        return f"【{self.sign_name}】{text}"

    async def _report(self, sms: dict[str, Any]) -> None:
        failed = self.reports == "failed"
        sms["state"] = 2 if failed else 3
        report = {
            "phone_number": sms["to"].removeprefix("+86"),
            "send_time": self._now(),
            "report_time": self._now(),
            "success": not failed,
            "err_code": "MK:0001" if failed else "DELIVERED",
            "err_msg": "空号" if failed else "用户接收成功",
            "sms_size": "1",
            "biz_id": sms["biz_id"],
            "out_id": sms["out_id"],
        }
        await self.push([report], "report")

    def _details(self, asked: Mapping[str, str]) -> dict[str, Any]:
        day = asked.get("SendDate", "")
        found = [
            {
                "OutId": one["out_id"],
                "PhoneNum": asked.get("PhoneNumber"),
                "SendStatus": one["state"],
                "TemplateCode": one["template"],
                "Content": one["text"],
            }
            for one in self.sent
            if one["to"] == f"+86{asked.get('PhoneNumber')}"
            and datetime.fromtimestamp(one["at"], BEIJING).strftime("%Y%m%d") == day
        ]
        return {"TotalCount": len(found), "SmsSendDetailDTOs": {"SmsSendDetailDTO": found}}

    def _template(self, asked: Mapping[str, str]) -> dict[str, Any]:
        text = self.templates.get(asked.get("TemplateCode", ""))
        if text is None:
            raise Refusal("isv.SMS_TEMPLATE_ILLEGAL", "模板不存在")
        return {"TemplateStatus": 1, "TemplateContent": text}

    def _sign(self, asked: Mapping[str, str]) -> dict[str, Any]:
        if asked.get("SignName") != self.sign_name:
            raise Refusal("isv.SMS_SIGNATURE_ILLEGAL", "签名不存在")
        return {"SignName": self.sign_name, "SignStatus": 1}
