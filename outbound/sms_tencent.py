"""Tencent Cloud SMS: how replies leave, by templates only, and what the account can be asked.

Source: https://cloud.tencent.com/document/product/382/55981
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hub.channel import Account, Check, HttpAnswer, Tools
from hub.errors import (
    Ambiguous,
    BadCredentials,
    NeedsTemplate,
    OptedOut,
    QuotaUsedUp,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
    Unsupported,
)
from hub.model import Allowance, Draft, Quota, Receipt, Reply
from hub.text import single_line
from outbound._plain import noted
from outbound._sms import HIDDEN, check_status, shown_segments, unsigned_check
from outbound._sms_mainland import DAY, HOUR, MINUTE, callback_checks, extend_of
from outbound._sms_templates import Chosen, SmsTemplate, TemplateBook
from outbound._tc3 import authorization, signature

__all__ = ["API_BASE", "ERRORS", "TencentChecker", "TencentSender"]

API_BASE = "https://sms.tencentcloudapi.com"
_SERVICE = "sms"
_VERSION = "2021-01-11"
_JSON = "application/json; charset=utf-8"  # signed, so it goes out exactly so

# The longest beginning that fits decides. Sources: https://cloud.tencent.com/document/api/382/55981
# (error codes of SendSms), https://cloud.tencent.com/document/api/382/52067 (of every call)
ERRORS: Mapping[str, type[SendError]] = {
    "LimitExceeded": QuotaUsedUp,
    "LimitExceeded.DeliveryFrequencyLimit": RateLimited,
    "LimitExceeded.PhoneNumberThirtySecondLimit": RateLimited,
    "LimitExceeded.PhoneNumberOneHourLimit": RateLimited,
    "FailedOperation.PhoneNumberInBlacklist": OptedOut,  # they have opted out
    "FailedOperation.InsufficientBalanceInSmsPackage": BadCredentials,
    "FailedOperation.MarketingSendTimeConstraint": RateLimited,  # at the hours for it
    "InvalidParameterValue.IncorrectPhoneNumber": RecipientGone,
    "UnauthorizedOperation": BadCredentials,  # address, arrears, application of another account
    "AuthFailure": BadCredentials,  # secret, rights, clock more than 5 minutes off
    "RequestLimitExceeded": RateLimited,
    "InternalError": Ambiguous,  # nothing is said about whether it went out
}
_PAUSES: Mapping[str, float] = {
    "LimitExceeded.PhoneNumberThirtySecondLimit": 30.0,
    "LimitExceeded.PhoneNumberOneHourLimit": HOUR,
    "LimitExceeded.DeliveryFrequencyLimit": MINUTE,
    "FailedOperation.MarketingSendTimeConstraint": HOUR,
}


class _Api:
    """Signed calls."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self.base: str = settings.api_base.rstrip("/")
        self._host = urlsplit(self.base).netloc
        self._secret_id: str = settings.secret_id
        self._secret_key = settings.secret_key
        self._region: str = settings.region
        self._http = tools.http
        self._clock = tools.clock

    async def call(self, action: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """The ``Response`` that *action* answers with; the signed bytes are those that are sent.

        Raises:
            SendError: it is an error.
        """
        body = msgspec.json.encode(asked)
        at = int(self._clock().timestamp())
        signed = {"content-type": _JSON, "host": self._host, "x-tc-action": action}
        names, made = signature(self._secret_key.reveal(), _SERVICE, at, signed, body)
        headers = {
            **signed,
            "x-tc-version": _VERSION,
            "x-tc-timestamp": str(at),
            "x-tc-region": self._region,
            "authorization": authorization(self._secret_id, _SERVICE, at, names, made),
        }
        return judge(await self._http("POST", f"{self.base}/", headers=headers, data=body))

    async def ask(self, action: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same for a question; never Ambiguous."""
        try:
            return await self.call(action, asked)
        except Ambiguous as error:
            raise Unreachable(error.detail, external_code=error.external_code) from error


def judge(answer: HttpAnswer) -> Mapping[str, Any]:
    """The ``Response`` in *answer*; errors come inside HTTP 200.

    Raises:
        SendError: it is one.
    """
    check_status(answer)
    try:
        facts = answer.json()
    except (ValueError, RecursionError):
        facts = None
    response = facts.get("Response") if isinstance(facts, dict) else None
    if not isinstance(response, dict):
        if answer.status >= 400:
            raise Rejected(f"HTTP {answer.status}", external_code=answer.status)
        raise Ambiguous("the answer cannot be read")
    error = response.get("Error")
    if isinstance(error, dict):
        raise error_of(str(error.get("Code")), str(error.get("Message")), response)
    return response


def error_of(code: str, message: str, response: Mapping[str, Any]) -> SendError:
    """The error behind *code*; one that we do not know is a refusal that names it."""
    kind: type[SendError] = Rejected
    for beginning in sorted(ERRORS, key=len):
        if code == beginning or code.startswith(f"{beginning}."):
            kind = ERRORS[beginning]
    trace = response.get("RequestId")
    return kind(
        single_line(message, 300),
        external_code=code,
        trace_id=trace if isinstance(trace, str) else None,
        retry_after=_PAUSES.get(code),
    )


class TencentSender:
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
        """The call that says *reply*, to one number; see :class:`hub.channel.Sender`."""
        if reply.to.scheme != "tel" or not reply.to.value.startswith("+"):
            raise Unsupported(f"{reply.to.value} is not a phone number")
        chosen = self._book.choose(reply)
        asked: dict[str, Any] = {
            "PhoneNumberSet": [reply.to.value],
            "SmsSdkAppId": self._settings.sdk_app_id,
            "TemplateId": chosen.template.id,
            "SignName": self._settings.sign_name,
            "TemplateParamSet": _ordered(chosen),
        }
        if extend := extend_of(reply, self._account):
            asked["ExtendCode"] = extend
        if reply.message_id:
            asked["SessionContext"] = reply.message_id
        made_at = reply.created_at or self._clock()
        draft = Draft(
            method="POST",
            url=f"{self._api.base}/",
            headers={"content-type": _JSON, "x-tc-action": "SendSms", "authorization": HIDDEN},
            json=asked,
            text=chosen.text,
            quotas=tuple(self._quotas(reply, chosen)),
            shown=shown_segments(chosen.text, mainland=True) if chosen.template.text else {},
            extra={"made_at": made_at.isoformat()},
        )
        return noted([draft], chosen.notes)

    def _quotas(self, reply: Reply, chosen: Chosen) -> Iterator[Quota]:
        """What the platform lets one number have, as it is set by default.

        Source: https://cloud.tencent.com/document/product/382/13303
        """
        number = reply.to.value
        if self._settings.repeat_pause_s:
            same = hashlib.sha256(
                f"{chosen.template.id}\n{sorted(chosen.values.items())}".encode()
            ).hexdigest()[:16]
            yield Quota(f"same:{number}:{same}", 1, float(self._settings.repeat_pause_s))
        if self._settings.daily_quota:
            yield Quota(f"day:{number}", self._settings.daily_quota, DAY)

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; each number has a status of its own, here the only one."""
        response = await self._api.call("SendSms", draft.json)
        listed = response.get("SendStatusSet")
        status = listed[0] if isinstance(listed, list) and listed else None
        if not isinstance(status, dict):
            raise Ambiguous("the answer names no number")
        if status.get("Code") != "Ok":
            raise error_of(str(status.get("Code")), str(status.get("Message")), response)
        serial = status.get("SerialNo")
        return Receipt(
            status="sent",
            external_id=str(serial) if serial else None,
            occurred_at=self._clock(),
        )

    async def reconcile(self, draft: Draft) -> Receipt | None:
        """Look for our id among the reports of the number; see :class:`hub.channel.Reconciler`.

        The platform opens this call on request only; without it the pushed report decides.
        Source: https://cloud.tencent.com/document/product/382/55970
        """
        asked = draft.json or {}
        made = datetime.fromisoformat(draft.extra["made_at"])
        response = await self._api.ask(
            "PullSmsSendStatusByPhoneNumber",
            {
                "BeginTime": int(made.timestamp()) - 2,
                "Offset": 0,
                "Limit": 100,
                "PhoneNumber": asked["PhoneNumberSet"][0],
                "SmsSdkAppId": asked["SmsSdkAppId"],
            },
        )
        listed = response.get("PullSmsSendStatusSet")
        for one in listed if isinstance(listed, list) else ():
            ours = asked.get("SessionContext")
            if isinstance(one, dict) and ours and one.get("SessionContext") == ours:
                delivered = one.get("ReportStatus") == "SUCCESS"
                serial = str(one.get("SerialNo") or "") or None
                return Receipt(status="delivered" if delivered else "sent", external_id=serial)
        return None


def _ordered(chosen: Chosen) -> list[str]:
    """The values in the order of their numbers, {1} first; of a template without text as given.

    Raises:
        NeedsTemplate: some variables are called by numbers and some are not.
    """
    numbered = [name for name in chosen.values if name.isascii() and name.isdigit()]
    if numbered and len(numbered) < len(chosen.values):
        raise NeedsTemplate("variables are called 1, 2, … here")
    names = sorted(numbered, key=int) if numbered else list(chosen.values)
    return [chosen.values[name] for name in names]


# --- hub check --------------------------------------------------------------------------------------


class TencentChecker:
    """Tries the credentials, compares the templates, and warns of unsigned callbacks."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._api = _Api(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        yield unsigned_check(self._account)
        for one in callback_checks(
            self._account,
            public_url,
            "应用管理 → the application → 短信回复事件回调",
            "应用管理 → the application → 短信下发状态回调",
        ):
            yield one
        templates = self._account.settings.templates
        ids = [int(one.id) for one in templates.values() if one.id.isdigit()]
        asked = {"TemplateIdSet": ids or [0], "International": 0}
        try:
            found = await self._api.ask("DescribeSmsTemplateList", asked)
        except SendError as error:
            detail = f"{error.sentence} {error.external_code or ''} {error.detail}"
            yield Check(False, "credentials", detail, _advice(error))
            return
        yield Check(True, "credentials", "the platform takes what they sign")
        listed = found.get("DescribeTemplateStatusSet")
        known = {
            str(one.get("TemplateId")): one
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, dict)
        }
        for name, template in templates.items():
            yield _checked(f"template {name}", template, known.get(template.id))


def _checked(name: str, template: SmsTemplate, there: Mapping[str, Any] | None) -> Check:
    """0 is approved, 1 under review, -1 refused."""
    own = template.id
    if there is None:
        return Check(False, name, f"the platform knows no template {own}")
    if there.get("StatusCode") != 0:
        reason = single_line(str(there.get("ReviewReply") or ""), 100)
        return Check(False, name, f"{own} is not approved {reason}".strip())
    approved = str(there.get("TemplateContent") or "")
    if template.text and approved and not template.says(approved):
        detail = "its approved text is another than in the settings"
        return Check(False, name, detail, f'set text = "{approved}"')
    return Check(True, name, f"{own} is approved")


def _advice(error: SendError) -> str:
    if error.external_code == "AuthFailure.SignatureExpire":
        return "set this machine's clock: it may be 5 minutes off at most"
    if isinstance(error, BadCredentials):
        return "look at the SecretId of the CAM user, its rights for SMS, and the package's balance"
    return "see the channel's page under docs/channels"
