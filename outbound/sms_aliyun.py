"""Alibaba Cloud SMS: how replies leave, by templates only, and what the account can be asked.

Source: https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms
"""

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hub.channel import Account, Check, HttpAnswer, Tools
from hub.errors import (
    Ambiguous,
    BadCredentials,
    QuotaUsedUp,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
    Unsupported,
)
from hub.model import Allowance, Draft, Quota, Receipt, ReceiptStatus, Reply
from hub.text import single_line
from outbound._acs3 import authorization, canonical_query, signature
from outbound._plain import noted
from outbound._sms import HIDDEN, check_status, shown_segments, unsigned_check
from outbound._sms_mainland import BEIJING, DAY, HOUR, MINUTE, callback_checks, extend_of, national
from outbound._sms_templates import Chosen, SmsTemplate, TemplateBook, as_written

__all__ = ["API_BASE", "ERRORS", "AliyunChecker", "AliyunSender"]

API_BASE = "https://dysmsapi.aliyuncs.com"
_VERSION = "2017-05-25"
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# Sources: [D] https://help.aliyun.com/zh/sms/developer-reference/api-error-codes,
# [G] general codes of the gateway, https://api.aliyun.com/document/Dysmsapi/2017-05-25/errorCode
ERRORS: Mapping[str, type[SendError]] = {
    "isv.BUSINESS_LIMIT_CONTROL": RateLimited,  # [D] of a minute or an hour; of a day see below
    "isv.DAY_LIMIT_CONTROL": QuotaUsedUp,  # [D]
    "isv.MONTH_LIMIT_CONTROL": QuotaUsedUp,  # [D]
    "isv.MOBILE_NUMBER_ILLEGAL": RecipientGone,  # [D] not a number
    "isv.AMOUNT_NOT_ENOUGH": BadCredentials,  # [D] no money left
    "isv.OUT_OF_SERVICE": BadCredentials,  # [D] stopped for want of money
    "isv.ACCOUNT_ABNORMAL": BadCredentials,  # [D]
    "isv.ACCOUNT_NOT_EXISTS": BadCredentials,  # [D]
    "isv.DENY_IP_RANGE": BadCredentials,  # [D] our address is not allowed
    "isp.RAM_PERMISSION_DENY": BadCredentials,  # [D] the user may not send
    "isv.PRODUCT_UN_SUBSCRIPT": BadCredentials,  # [D] SMS is not switched on
    "isp.SYSTEM_ERROR": Ambiguous,  # [D] nothing is said about whether it went out
    "InvalidAccessKeyId.NotFound": BadCredentials,  # [G]
    "InvalidAccessKeyId.Inactive": BadCredentials,  # [G]
    "SignatureDoesNotMatch": BadCredentials,  # [G] the secret is another one
    "InvalidTimeStamp.Expired": BadCredentials,  # [G] our clock is more than 15 minutes off
    "SignatureNonceUsed": RateLimited,  # [G] not acted on; the next try has another nonce
    "Throttling": RateLimited,  # [G]
    "Throttling.User": RateLimited,  # [G]
    "Throttling.Api": RateLimited,  # [G]
    "ServiceUnavailable": Ambiguous,  # [G]
}
_STATES: Mapping[str, ReceiptStatus] = {"1": "sent", "2": "failed", "3": "delivered"}


class _Api:
    """Signed calls."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self.base: str = settings.api_base.rstrip("/")
        self._host = urlsplit(self.base).netloc
        self._key_id: str = settings.access_key_id
        self._secret = settings.access_key_secret
        self._http = tools.http
        self._clock = tools.clock

    async def call(self, action: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        """The facts that *action* answers with.

        Raises:
            SendError: it did not say OK.
        """
        query = canonical_query(params)
        headers = self._headers(action, query)
        return judge(await self._http("POST", f"{self.base}/?{query}", headers=headers))

    async def ask(self, action: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        """The same for a question; never Ambiguous."""
        try:
            return await self.call(action, params)
        except Ambiguous as error:
            raise Unreachable(error.detail, external_code=error.external_code) from error

    def _headers(self, action: str, query: str) -> Mapping[str, str]:
        """Everything is in the query, the body is empty; each try has a nonce of its own."""
        headers = {
            "host": self._host,
            "x-acs-action": action,
            "x-acs-content-sha256": _EMPTY,
            "x-acs-date": self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-version": _VERSION,
        }
        names, made = signature(self._secret.reveal(), "POST", "/", query, headers)
        return {**headers, "authorization": authorization(self._key_id, names, made)}


def judge(answer: HttpAnswer) -> Mapping[str, Any]:
    """The facts in *answer*; success is ``Code`` "OK", whatever the status says.

    Raises:
        SendError: it is none.
    """
    facts = _facts(answer)
    code = facts.get("Code") if facts else None
    if code == "OK" and facts is not None and answer.status == 200:
        return facts
    known = isinstance(code, str) and (code in ERRORS or answer.status < 500)
    if not known or facts is None:
        check_status(answer)
        raise Ambiguous("the answer cannot be read")
    raise _error_of(str(code), single_line(str(facts.get("Message", "")), 300), facts)


def _error_of(code: str, message: str, facts: Mapping[str, Any]) -> SendError:
    """The error behind *code*; one that we do not know is a refusal that names it."""
    kind = ERRORS.get(code) or (RateLimited if code.startswith("Throttling") else Rejected)
    retry_after = None
    if code == "isv.BUSINESS_LIMIT_CONTROL":
        retry_after = MINUTE if "分钟" in message else HOUR
        kind = QuotaUsedUp if "天" in message else kind
    trace = facts.get("RequestId")
    return kind(
        message,
        external_code=code,
        trace_id=trace if isinstance(trace, str) else None,
        retry_after=retry_after,
    )


def _facts(answer: HttpAnswer) -> Mapping[str, Any] | None:
    try:
        facts = answer.json()
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


class AliyunSender:
    """Says replies by the account's templates."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self._account = account
        self._settings = settings
        self._api = _Api(account, tools)
        self._book = TemplateBook(
            settings.templates, settings.fallback_template, settings.sign_name
        )
        self._clock = tools.clock

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The call that says *reply*; see :class:`hub.channel.Sender`."""
        if reply.to.scheme != "tel" or not reply.to.value.startswith("+"):
            raise Unsupported(f"{reply.to.value} is not a phone number")
        chosen = self._book.choose(reply)
        params = {
            "PhoneNumbers": national(reply.to.value),
            "SignName": self._settings.sign_name,
            "TemplateCode": chosen.template.id,
        }
        if chosen.values:
            params["TemplateParam"] = msgspec.json.encode(chosen.values).decode()
        if extend := extend_of(reply, self._account):
            params["SmsUpExtendCode"] = extend
        if reply.message_id:
            params["OutId"] = reply.message_id
        made_at = reply.created_at or self._clock()
        draft = Draft(
            method="POST",
            url=f"{self._api.base}/",
            headers={"x-acs-action": "SendSms", "authorization": HIDDEN},
            form=params,
            text=chosen.text,
            quotas=tuple(self._quotas(reply, chosen)),
            shown=shown_segments(chosen.text, mainland=True) if chosen.template.text else {},
            extra={"made_at": made_at.isoformat()},
        )
        return noted([draft], chosen.notes)

    def _quotas(self, reply: Reply, chosen: Chosen) -> Iterator[Quota]:
        """What the platform lets one number have.

        Source: https://help.aliyun.com/zh/sms/product-overview/limits
        """
        sign, number = self._settings.sign_name, reply.to.value
        if chosen.template.kind == "code":
            for limit, seconds in ((1, MINUTE), (5, HOUR), (10, DAY)):
                yield Quota(f"code:{sign}:{number}", limit, seconds)
        elif self._settings.daily_quota:
            key = f"{sign}:{chosen.template.id}:{number}"
            yield Quota(key, self._settings.daily_quota, DAY)

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that the platform took it, its report says more."""
        facts = await self._api.call("SendSms", draft.form or {})
        biz_id = facts.get("BizId")
        return Receipt(
            status="sent",
            external_id=str(biz_id) if biz_id else None,
            occurred_at=self._clock(),
        )

    async def reconcile(self, draft: Draft) -> Receipt | None:
        """Look for our id among what was sent to the number; see :class:`hub.channel.Reconciler`.

        Source: https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-querysenddetails
        """
        form = draft.form or {}
        made = datetime.fromisoformat(draft.extra["made_at"])
        days = {at.astimezone(BEIJING).strftime("%Y%m%d") for at in (made, self._clock())}
        for day in sorted(days):
            asked = {
                "PhoneNumber": form["PhoneNumbers"],
                "SendDate": day,
                "PageSize": "50",
                "CurrentPage": "1",
            }
            for one in _details(await self._api.ask("QuerySendDetails", asked)):
                if form.get("OutId") and one.get("OutId") == form["OutId"]:
                    return _found(one)
        return None


def _details(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    outer = facts.get("SmsSendDetailDTOs")
    listed = outer.get("SmsSendDetailDTO") if isinstance(outer, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _found(detail: Mapping[str, Any]) -> Receipt | None:
    """What the detail says; a failure is left to the report, since nothing more went out."""
    status = _STATES.get(str(detail.get("SendStatus")), "sent")
    return None if status == "failed" else Receipt(status=status)


# --- hub check --------------------------------------------------------------------------------------


class AliyunChecker:
    """Tries the credentials, compares signature and templates, and warns of unsigned callbacks."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._api = _Api(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        settings = self._account.settings
        yield unsigned_check(self._account)
        for one in callback_checks(
            self._account,
            public_url,
            "通用设置 → 国内消息 → SmsUp (上行短信) → HTTP 批量推送",
            "通用设置 → 国内消息 → SmsReport (状态报告) → HTTP 批量推送",
        ):
            yield one
        sign = await self._asked("signature", "QuerySmsSign", {"SignName": settings.sign_name})
        if isinstance(sign, Check):
            yield sign
            return
        yield _approved("signature", settings.sign_name, sign.get("SignStatus"), sign)
        for name, template in settings.templates.items():
            yield await self._template(name, template)

    async def _asked(
        self, name: str, action: str, params: Mapping[str, str]
    ) -> Mapping[str, Any] | Check:
        try:
            return await self._api.ask(action, params)
        except SendError as error:
            code = f"{error.external_code}: " if error.external_code else ""
            return Check(False, name, f"{error.sentence} {code}{error.detail}", _advice(error))

    async def _template(self, name: str, template: SmsTemplate) -> Check:
        shown = f"template {name}"
        found = await self._asked(shown, "QuerySmsTemplate", {"TemplateCode": template.id})
        if isinstance(found, Check):
            return found
        there = str(found.get("TemplateContent") or "")
        if template.text and there and not template.says(there):
            advice = f'set text = "{as_written(there)}"'
            return Check(False, shown, "its approved text is another than in the settings", advice)
        return _approved(shown, template.id, found.get("TemplateStatus"), found)


def _approved(name: str, what: str, status: Any, facts: Mapping[str, Any]) -> Check:
    """0 is under review, 1 approved, 2 refused, 10 withdrawn."""
    if str(status) == "1":
        return Check(True, name, f"{what} is approved")
    reason = str(facts.get("Reason") or "")
    return Check(False, name, f"{what} is not approved (status {status}) {reason}".strip())


def _advice(error: SendError) -> str:
    if error.external_code == "InvalidTimeStamp.Expired":
        return "set this machine's clock: it may be 15 minutes off at most"
    if isinstance(error, BadCredentials):
        return (
            "look at the AccessKey of the RAM user, its rights for SMS, and the account's balance"
        )
    return "see the channel's page under docs/channels"
