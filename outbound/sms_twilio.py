"""Twilio: how replies leave, what the account can be asked, and how files are fetched.

Source: https://www.twilio.com/docs/messaging/api/message-resource
"""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from hub.channel import Account, Check, HttpAnswer, Tools
from hub.errors import (
    Ambiguous,
    BadCredentials,
    OptedOut,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
    Unsupported,
)
from hub.model import Allowance, Attachment, Draft, Receipt, ReceiptStatus, Reply
from hub.text import single_line, split_text
from outbound._plain import noted
from outbound._sms import (
    FORM,
    HIDDEN,
    callback_check,
    callback_path,
    check_status,
    form_bytes,
    plain_reply,
    shown_segments,
)

__all__ = ["ERRORS", "TEXT_LIMIT", "TwilioChecker", "TwilioMedia", "TwilioSender"]

TEXT_LIMIT = 1600
"""Characters of one message; Twilio cuts it into SMS and phones put it together again."""

# Source: https://www.twilio.com/docs/api/errors
ERRORS: Mapping[int, type[SendError]] = {
    20003: BadCredentials,  # wrong SID or token
    20404: BadCredentials,  # there is no such account
    20429: RateLimited,  # too many requests, none of them acted on
    21211: RecipientGone,  # not a number
    21408: Rejected,  # the account may not send to this country
    21606: Rejected,  # From cannot send, or not there
    21608: Rejected,  # a trial account writes to verified numbers only
    21610: OptedOut,  # the recipient has said STOP
    21611: RateLimited,  # the queue of From is full
    21612: Rejected,  # From and To do not reach one another
    21614: RecipientGone,  # no mobile number
    21617: Rejected,  # longer than 1600 characters
    21619: Rejected,  # nothing to say
    21635: RecipientGone,  # a landline
    30001: RateLimited,  # the queue is full
    30005: RecipientGone,  # nobody has this number
    30006: RecipientGone,  # a landline or a network that cannot be reached
    30007: Rejected,  # filtered
    63017: RateLimited,  # rate of the account
    63018: RateLimited,  # rate of the channel
}
_STATES: Mapping[str, ReceiptStatus] = {
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}
_REDIRECTS = 5
_LOOK_BACK = timedelta(seconds=2)


class _Api:
    """Calls to the account, with its credentials."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        settings = account.settings
        self.base: str = settings.api_base.rstrip("/")
        self.messages = f"{self.base}/2010-04-01/Accounts/{settings.account_sid}/Messages.json"
        self._sid: str = settings.account_sid
        user = settings.api_key_sid or settings.account_sid
        secret = settings.api_key_secret or settings.auth_token
        given = base64.b64encode(f"{user}:{secret.reveal()}".encode()).decode("ascii")
        self.authorization = {"authorization": f"Basic {given}"}
        self._http = tools.http

    async def ask(self, path: str, **params: str) -> Mapping[str, Any]:
        """The facts under *path* of the account; raises SendError, and never Ambiguous."""
        url = f"{self.base}/2010-04-01/Accounts/{self._sid}{path}"
        try:
            answer = await self._http("GET", url, params=params, headers=self.authorization)
            return judge(answer)
        except Ambiguous as error:
            raise Unreachable(error.detail) from error

    async def say(self, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """The message that the platform made of *form*."""
        answer = await self._http(
            "POST", self.messages, headers={**self.authorization, **FORM}, data=form_bytes(form)
        )
        return judge(answer)


def judge(answer: HttpAnswer) -> Mapping[str, Any]:
    """The facts in *answer*, which is a success.

    Raises:
        SendError: it is none.
    """
    check_status(answer)
    facts = _facts(answer)
    if answer.status >= 400:
        code = facts.get("code") if facts else None
        known = ERRORS.get(code) if isinstance(code, int) else None
        fallback = BadCredentials if answer.status in (401, 403) else Rejected
        detail = single_line(str(facts.get("message", "") if facts else ""), 300)
        raise (known or fallback)(
            detail or f"HTTP {answer.status}", external_code=code or answer.status
        )
    if facts is None:
        raise Ambiguous("the answer cannot be read")
    return facts


def _facts(answer: HttpAnswer) -> Mapping[str, Any] | None:
    try:
        facts = answer.json()
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


class TwilioSender:
    """Says replies as messages of the account's number or messaging service."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._settings = account.settings
        self._api = _Api(account, tools)
        self._clock = tools.clock

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        if reply.template:
            raise Unsupported("this channel has no templates")
        said = plain_reply(reply)
        drafts = [
            self._draft(reply, part) for part in split_text(said.text, TEXT_LIMIT, unit="utf-16")
        ]
        return noted(drafts, said.notes)

    def _draft(self, reply: Reply, text: str) -> Draft:
        form: dict[str, Any] = {"To": _recipient(reply), **self._sender(reply), "Body": text}
        if reply.message_id and self._settings.public_url:
            base = self._settings.public_url.partition("#")[0].rstrip("/")
            path = callback_path(self._account)
            whole = base if base.endswith(path) else f"{base}{path}"
            form["StatusCallback"] = f"{whole}?message_id={reply.message_id}"
        made_at = reply.created_at or self._clock()
        return Draft(
            method="POST",
            url=self._api.messages,
            headers={"authorization": HIDDEN, **FORM},
            form=form,
            text=text,
            shown=shown_segments(text),
            extra={"made_at": made_at.isoformat()},
        )

    def _sender(self, reply: Reply) -> Mapping[str, str]:
        """Whom the customer sees: the service, else the account's number, else the one written to."""
        settings = self._settings
        if settings.messaging_service_sid:
            return {"MessagingServiceSid": settings.messaging_service_sid}
        number = settings.from_number or str(reply.reply_context.get("to", ""))
        if not number:
            raise Unsupported("neither from_number nor messaging_service_sid is set")
        if reply.to.scheme != "tel" and ":" not in number:
            number = f"{reply.to.scheme}:{number}"
        return {"From": number}

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that Twilio queued it, its reports say more."""
        facts = await self._api.say(self._filled(draft.form or {}))
        sid = facts.get("sid")
        if not isinstance(sid, str) or not sid:
            raise Ambiguous("the answer names no message")
        return Receipt(status="sent", external_id=sid, occurred_at=self._clock())

    def _filled(self, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """*form* with the secret of our own callback, which no stored draft holds."""
        callback, hidden = form.get("StatusCallback"), callback_path(self._account)
        if not callback or HIDDEN not in hidden:
            return form
        real = callback_path(self._account, secret=True)
        return {**form, "StatusCallback": callback.replace(hidden, real)}

    async def reconcile(self, draft: Draft) -> Receipt | None:
        """Look for the message that nobody answered for; see :class:`hub.channel.Reconciler`.

        Only one of the same words to the same person since the reply was written is taken for it:
        with none or several the report of the message decides.
        """
        form = draft.form or {}
        since = datetime.fromisoformat(draft.extra["made_at"]) - _LOOK_BACK
        facts = await self._api.ask("/Messages.json", To=str(form.get("To", "")), PageSize="50")
        listed = facts.get("messages")
        found = [
            one
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, dict)
            and one.get("body") == form.get("Body")
            and str(one.get("direction", "")).startswith("outbound")
            and _made(one) >= since
        ]
        if len(found) != 1:
            return None
        status = _STATES.get(str(found[0].get("status")), "sent")
        code = found[0].get("error_code")
        if status == "failed":
            return None  # it reached Twilio and went no further: its report says why
        return Receipt(
            status=status, external_id=str(found[0].get("sid")), code=str(code) if code else None
        )


def _recipient(reply: Reply) -> str:
    to = reply.to
    return to.value if to.scheme == "tel" else f"{to.scheme}:{to.value}"


def _made(message: Mapping[str, Any]) -> datetime:
    try:
        made = parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return made if made.tzinfo else made.replace(tzinfo=UTC)


# --- files that customers sent ----------------------------------------------------------------------


class TwilioMedia:
    """Fetches the files of an MMS.

    They lie behind the account's credentials and a redirect, which gets none of them. Every hop goes
    through the guarded client: a name that leads inside is refused when it is connected to.
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = _Api(account, tools)
        self._home = urlsplit(self._api.base)
        self._http = tools.http

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The file.

        Raises:
            SendError: it cannot be had.
        """
        url = str(attachment.source.get("url") or "")
        for _ in range(_REDIRECTS):
            answer = await self._http("GET", url, headers=self._credentials(url), timeout=60.0)
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                break
            url = urljoin(url, location)
        if answer.status == 200:
            yield answer.body
            return
        if answer.status in (404, 410):
            raise RecipientGone("the file is no longer kept", external_code=answer.status)
        if answer.status in (401, 403):
            raise BadCredentials(f"HTTP {answer.status}", external_code=answer.status)
        kind = Unreachable if answer.status >= 500 or answer.status == 429 else Rejected
        raise kind(f"HTTP {answer.status}", external_code=answer.status)

    def _credentials(self, url: str) -> Mapping[str, str]:
        """The account's, for the platform's own host and no other."""
        asked = urlsplit(url)
        ours = (asked.scheme, asked.netloc) == (self._home.scheme, self._home.netloc)
        return self._api.authorization if ours else {}


# --- hub check --------------------------------------------------------------------------------------


class TwilioChecker:
    """Tries the credentials, looks at the number, and says what to paste into the console."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._settings = account.settings
        self._api = _Api(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        settings = self._settings
        where = "Phone Numbers → the number → Messaging → A message comes in (Webhook, HTTP POST)"
        callback = callback_check(self._account, settings.public_url or public_url, where)
        yield callback
        yield self._signed_url(public_url)
        try:
            account = await self._api.ask(".json")
        except SendError as error:
            advice = "copy account_sid and auth_token again from the console"
            yield Check(False, "credentials", f"{error.sentence} {error.detail}", advice)
            return
        status = str(account.get("status"))
        detail = f"the account is {status}: {account.get('friendly_name')}"
        yield Check(status == "active", "credentials", detail)
        if settings.from_number and not settings.messaging_service_sid:
            yield await self._number(settings.from_number, callback.detail)

    def _signed_url(self, public_url: str | None) -> Check:
        """The signature is over the URL that Twilio knows: guessing it behind a proxy fails."""
        name, known = "public_url", self._settings.public_url
        if known:
            return Check(True, name, f"signatures and reports are for {known}")
        advice = (
            f'set public_url = "{public_url or "https://…"}" in [accounts.{self._account.name}]'
        )
        detail = "not set: signatures are checked against the Host header, and no reports come"
        return Check(False, name, detail, advice)

    async def _number(self, number: str, callback: str) -> Check:
        name = f"number {number}"
        try:
            facts = await self._api.ask("/IncomingPhoneNumbers.json", PhoneNumber=number)
        except SendError as error:
            return Check(False, name, f"{error.sentence} {error.detail}")
        found = facts.get("incoming_phone_numbers")
        if not isinstance(found, list) or not found:
            return Check(False, name, "is not one of the account's", "set another from_number")
        there = str(found[0].get("sms_url") or "").partition("#")[0]
        same = there.split("?")[0].rpartition("/")[0] == callback.rpartition("/")[0]
        detail = f"messages to it go to {msgspec.json.encode(there).decode()}"
        return Check(same, name, detail, None if same else "paste the callback URL there")
