"""A gateway on this machine that speaks as the SMS API of Vonage does.

Sources: https://developer.vonage.com/en/messaging/sms/guides/inbound-sms,
https://developer.vonage.com/en/getting-started/concepts/signing-messages,
https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from sandbox.sms.platform import Callback, Pushed, Refusal, SmsPlatform

__all__ = ["GatewaySimulator"]

PART_CHARACTERS = 67


class GatewaySimulator(SmsPlatform):
    """One account with one number; long texts arrive in parts, each a callback of its own."""

    RETRY_PAUSES: Sequence[float] = (1.0, 1.0, 1.0, 1.0)

    def __init__(self, *, number: str = "447700900000", **more: Any) -> None:
        super().__init__(**more)
        self.number = number
        self.api_key = secrets.token_hex(4)
        self.api_secret = secrets.token_hex(8)
        self.signature_secret = secrets.token_hex(16)
        self.sent: list[dict[str, str]] = []

    # -- what people do ------------------------------------------------------------------------------

    async def text(self, person: str, words: str) -> Pushed:
        """*person* (in E.164) writes; the last of the callbacks that it takes."""
        self.show(person, "user", words)
        for callback in self.parts(person, words):
            pushed = await self.push(callback)
        return pushed

    def parts(self, person: str, words: str) -> list[dict[str, str]]:
        """The callbacks that *words* become, in order."""
        pieces = [
            words[start : start + PART_CHARACTERS]
            for start in range(0, max(len(words), 1), PART_CHARACTERS)
        ]
        long = {"concat": "true", "concat-ref": str(secrets.randbelow(256))}
        long["concat-total"] = str(len(pieces))
        return [
            {
                "msisdn": person.removeprefix("+"),
                "to": self.number,
                "messageId": secrets.token_hex(8).upper(),
                "text": piece,
                "type": "unicode",
                "keyword": "",
                "message-timestamp": self._now(),
            }
            | ({**long, "concat-part": str(number)} if len(pieces) > 1 else {})
            for number, piece in enumerate(pieces, 1)
        ]

    async def push(self, fields: Mapping[str, str], kind: str = "push") -> Pushed:
        """Push one callback, signed anew, until it is answered 2xx."""
        if self.callback_url is None:
            raise ValueError("no callback URL: set callback_url")
        signed = dict(fields) | {"timestamp": str(int(self.clock())), "nonce": secrets.token_hex(8)}
        signed["sig"] = self.sign(signed)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        callback = Callback("POST", self.callback_url, headers, urlencode(signed).encode())
        return await self.carry(callback, kind, message_id=fields.get("messageId"))

    def tries_again(self, status: int | None) -> bool:
        return True

    def sign(self, fields: Mapping[str, str]) -> str:
        """Upper-case hex of the HMAC over the sorted parameters."""
        made = hmac.new(self.signature_secret.encode(), digestmod=hashlib.sha256)
        for name in sorted(fields):
            made.update(f"&{name}={fields[name].translate({38: '_', 61: '_'})}".encode())
        return made.hexdigest().upper()

    def _now(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%d %H:%M:%S")

    # -- its API -------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/sms/json", self.call(self._send))]

    def refused(self, refusal: Refusal) -> web.Response:
        """A refusal is HTTP 200 with another status than 0."""
        message = {"status": str(refusal.code), "error-text": refusal.message}
        return web.json_response({"message-count": "1", "messages": [message]})

    async def _send(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if (form.get("api_key"), form.get("api_secret")) != (self.api_key, self.api_secret):
            raise Refusal("4", "Bad Credentials")
        if not form.get("to", "").isdecimal() or not form.get("text"):
            raise Refusal("2", "Missing to or text")
        sms = {**form, "message-id": secrets.token_hex(8).upper()}
        self.sent.append(sms)
        self.show(f"+{form['to']}", "account", form["text"])
        self.journal.write("send", to=form["to"], text=form["text"])
        self.report_later([partial(self._report, sms, state) for state in self._states()])
        said = {"status": "0", "message-id": sms["message-id"], "to": form["to"]}
        return web.json_response({"message-count": "1", "messages": [said]})

    def _states(self) -> list[str]:
        return ["accepted", "failed" if self.reports == "failed" else "delivered"]

    async def _report(self, sms: Mapping[str, str], state: str) -> None:
        report = {
            "msisdn": sms["to"],
            "to": sms.get("from", ""),
            "messageId": sms["message-id"],
            "status": state,
            "err-code": "1" if state == "failed" else "0",
            "message-timestamp": self._now(),
            "client-ref": sms.get("client-ref", ""),
        }
        await self.push(report, "report")
