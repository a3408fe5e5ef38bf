"""Twilio on this machine.

Sources: https://www.twilio.com/docs/messaging/api/message-resource,
https://www.twilio.com/docs/usage/webhooks/webhooks-security,
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from aiohttp import web

from sandbox.sms.platform import Callback, Pushed, Refusal, SmsPlatform

__all__ = ["TwilioSimulator"]

MAX_BODY = 1600
STOP_WORDS = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"}
)
START_WORDS = frozenset({"start", "yes", "unstop"})


class TwilioSimulator(SmsPlatform):
    """The platform, as one account with one number meets it.

    ``callback_url`` may end in connection overrides, ``#rc=3&rp=all``. Whoever texts STOP gets nothing
    more; the platform answers those words itself.
    """

    def __init__(self, *, number: str = "+15005550006", **more: Any) -> None:
        super().__init__(**more)
        self.number = number
        self.account_sid = f"AC{secrets.token_hex(16)}"
        self.auth_token = secrets.token_hex(16)
        self.messages: dict[str, dict[str, Any]] = {}
        self.media: dict[str, tuple[str, bytes]] = {}
        self.opted_out: set[str] = set()

    # -- what people do ------------------------------------------------------------------------------

    async def text(
        self, person: str, body: str, *, media: Sequence[tuple[str, bytes]] = (), sid: str = ""
    ) -> Pushed:
        """*person* writes *body*, with files (type, bytes); *sid* writes the same message again."""
        self.show(person, "user", body)
        sid = sid or f"{'MM' if media else 'SM'}{secrets.token_hex(16)}"
        fields = {
            "ToCountry": "US",
            "ToState": "",
            "SmsMessageSid": sid,
            "NumMedia": str(len(media)),
            "ToCity": "",
            "FromZip": "",
            "SmsSid": sid,
            "SmsStatus": "received",
            "Body": body,
            "To": self.number,
            "NumSegments": "1",
            "MessageSid": sid,
            "AccountSid": self.account_sid,
            "From": person,
            "ApiVersion": "2010-04-01",
        }
        for index, (mime_type, content) in enumerate(media):
            media_sid = f"ME{secrets.token_hex(16)}"
            self.media[media_sid] = (mime_type, content)
            fields[f"MediaUrl{index}"] = (
                f"{self.api_base}{self._path}/Messages/{sid}/Media/{media_sid}"
            )
            fields[f"MediaContentType{index}"] = mime_type
        self._note_wish(person, body)
        return await self._push(self._callback(), fields, "push", message_id=sid)

    def _callback(self) -> str:
        if self.callback_url is None:
            raise ValueError("no callback URL: set callback_url")
        return self.callback_url

    def _note_wish(self, person: str, body: str) -> None:
        word = body.strip().lower()
        if word in STOP_WORDS:
            self.opted_out.add(person)
        elif word in START_WORDS:
            self.opted_out.discard(person)

    async def _push(self, url: str, fields: Mapping[str, str], kind: str, **facts: Any) -> Pushed:
        """POST *fields*; the fragment of *url* says how often it is tried, and is not sent."""
        whole, _, overrides = url.partition("#")
        said = parse_qs(overrides)
        self.RETRY_PAUSES = (1.0,) * int(said.get("rc", ["1"])[0])
        self._retries_all = said.get("rp", ["ct"])[0] == "all"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": self.sign(whole, fields),
            "I-Twilio-Idempotency-Token": secrets.token_hex(16),
            "User-Agent": "TwilioProxy/1.1",
        }
        callback = Callback("POST", whole, headers, urlencode(fields).encode())
        return await self.carry(callback, kind, **facts)

    _retries_all = False

    def tries_again(self, status: int | None) -> bool:
        """Only a failed connection by default; everything that is no success with ``rp=all``."""
        return status is None or (self._retries_all and status >= 400)

    def received(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> None:
        """A plain text answer is texted back to whoever wrote."""
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        fields = parse_qs(callback.body.decode())
        if kind == "text/plain" and "Body" in fields and body:
            text = body.decode("utf-8", "replace")
            self.show(fields["From"][0], "account", text)

    def sign(self, url: str, fields: Mapping[str, str]) -> str:
        """The signature of a form that is posted to *url*."""
        text = url + "".join(name + fields[name] for name in sorted(fields))
        mac = hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1)
        return base64.b64encode(mac.digest()).decode()

    # -- its API -------------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return f"/2010-04-01/Accounts/{self.account_sid}"

    def routes(self) -> list[web.RouteDef]:
        account = "/2010-04-01/Accounts/{account}"
        return [
            web.post(f"{account}/Messages.json", self.call(self._create)),
            web.get(f"{account}/Messages.json", self.call(self._list)),
            web.get(f"{account}.json", self.call(self._account)),
            web.get(f"{account}/IncomingPhoneNumbers.json", self.call(self._numbers)),
            web.get(f"{account}/Messages/{{sid}}/Media/{{media}}", self.call(self._media)),
            web.get("/cdn/{media}", self.call(self._cdn)),
        ]

    def refused(self, refusal: Refusal) -> web.Response:
        status = {20003: 401, 20404: 404, 20429: 429}.get(int(refusal.code), refusal.status)
        more = f"https://www.twilio.com/docs/errors/{refusal.code}"
        return web.json_response(
            {
                "code": refusal.code,
                "message": refusal.message,
                "more_info": more,
                "status": status,
            },
            status=status,
        )

    def _check(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        wanted = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if not hmac.compare_digest(given, f"Basic {wanted}"):
            raise Refusal(20003, "Authenticate")
        if request.match_info["account"] != self.account_sid:
            raise Refusal(20404, "The requested resource was not found")

    async def _create(self, request: web.Request) -> web.Response:
        self._check(request)
        form = {name: str(value) for name, value in (await request.post()).items()}
        to, body = form.get("To", ""), form.get("Body", "")
        if not (to.startswith("+") and to[1:].isdigit() and 8 <= len(to) <= 16):
            raise Refusal(21211, f"The 'To' number {to} is not a valid phone number.")
        if form.get("From") != self.number and not form.get("MessagingServiceSid"):
            raise Refusal(21606, "The From phone number is not a valid, SMS-capable number")
        if not body and "MediaUrl" not in form:
            raise Refusal(21619, "A text message body or media urls must be specified.")
        if len(body.encode("utf-16-le")) // 2 > MAX_BODY:
            raise Refusal(21617, "The concatenated message body exceeds the 1600 character limit.")
        if to in self.opted_out:
            raise Refusal(21610, "Attempt to send to unsubscribed recipient")
        message = self._message(form)
        self.show(to, "account", body)
        self.journal.write("send", to=to, text=body, sid=message["sid"])
        if form.get("StatusCallback"):
            self._report_later(message, form["StatusCallback"])
        return web.json_response(message, status=201)

    def _message(self, form: Mapping[str, str]) -> dict[str, Any]:
        sid = f"SM{secrets.token_hex(16)}"
        message = {
            "sid": sid,
            "account_sid": self.account_sid,
            "status": "queued",
            "to": form["To"],
            "from": form.get("From"),
            "body": form.get("Body", ""),
            "direction": "outbound-api",
            "date_created": format_datetime(datetime.fromtimestamp(self.clock(), UTC)),
            "error_code": None,
            "error_message": None,
            "num_segments": "1",
        }
        self.messages[sid] = message
        return message

    def _report_later(self, message: dict[str, Any], url: str) -> None:
        end = "undelivered" if self.reports == "failed" else "delivered"
        self.report_later([partial(self._report, message, url, state) for state in ("sent", end)])

    async def _report(self, message: dict[str, Any], url: str, state: str) -> None:
        message["status"] = state
        fields = {
            "SmsSid": message["sid"],
            "SmsStatus": state,
            "MessageStatus": state,
            "To": message["to"],
            "MessageSid": message["sid"],
            "AccountSid": self.account_sid,
            "From": message["from"] or "",
            "ApiVersion": "2010-04-01",
        }
        if state == "undelivered":
            message["error_code"] = 30003
            fields["ErrorCode"] = "30003"
        await self._push(url, fields, "report", message_id=message["sid"], state=state)

    async def _list(self, request: web.Request) -> web.Response:
        self._check(request)
        to = request.query.get("To")
        found = [one for one in self.messages.values() if to in (None, one["to"])]
        return web.json_response({"messages": found[::-1], "page": 0})

    async def _account(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response({"status": "active", "friendly_name": "sandbox"})

    async def _numbers(self, request: web.Request) -> web.Response:
        self._check(request)
        asked = request.query.get("PhoneNumber")
        here = {"phone_number": self.number, "sms_url": self.callback_url, "sms_method": "POST"}
        return web.json_response({"incoming_phone_numbers": [here] if asked == self.number else []})

    async def _media(self, request: web.Request) -> web.Response:
        """Behind the credentials is a redirect to a store that wants none."""
        self._check(request)
        where = f"{self.api_base}/cdn/{quote(request.match_info['media'])}"
        return web.Response(status=307, headers={"Location": where})

    async def _cdn(self, request: web.Request) -> web.Response:
        self.journal.write("cdn", authorization=request.headers.get("Authorization"))
        found = self.media.get(request.match_info["media"])
        if found is None:
            raise Refusal(20404, "not found", 404)
        return web.Response(body=found[1], content_type=found[0])
