"""Twilio: SMS and MMS by webhook and API.

Source: https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated
from urllib.parse import parse_qsl

from msgspec import Meta, Struct

from adapters._twilio_signature import is_body_hash, is_signed, urls_of
from hub.channel import Account, Capabilities, Channel, Intake, IntakeRequest, Response, Tools
from hub.errors import NotAuthentic, NotRecognised
from hub.model import InboundEvent, Secret
from hub.phones import is_e164
from hub.text import clean
from normalizers._sms import opens
from normalizers.sms_twilio import normalize
from outbound.sms_twilio import TEXT_LIMIT, TwilioChecker, TwilioMedia, TwilioSender

__all__ = ["CHANNEL", "TwilioAdapter", "TwilioSettings"]

API_BASE = "https://api.twilio.com"
MAX_FIELDS = 1000
_FORM = "application/x-www-form-urlencoded"
_SID = re.compile(r"[A-Za-z]{2}[A-Za-z0-9]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,180}")

# A body of any other type is texted back to the sender as it stands.
# Source: https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application
TAKEN = Response(
    200,
    b'<?xml version="1.0" encoding="UTF-8"?><Response/>',
    {"content-type": "text/xml; charset=utf-8"},
)


class TwilioSettings(Struct, frozen=True, kw_only=True):
    """What a Twilio account needs; the SIDs and tokens stand in its console."""

    account_sid: Annotated[str, Meta(description="Account SID, AC and 32 hex digits")]
    auth_token: Annotated[Secret, Meta(description="Auth Token of that account or subaccount")]
    previous_auth_token: Annotated[
        Secret | None, Meta(description="The other Auth Token while they are being exchanged")
    ] = None
    api_key_sid: Annotated[
        str | None, Meta(description="API key to send with in place of the Auth Token, SK…")
    ] = None
    api_key_secret: Annotated[Secret | None, Meta(description="Secret of the API key")] = None
    from_number: Annotated[
        str | None, Meta(description="Number that replies come from, +14155550100")
    ] = None
    messaging_service_sid: Annotated[
        str | None, Meta(description="Messaging service that replies go through, MG…")
    ] = None
    public_url: Annotated[
        str | None,
        Meta(description="Where Twilio reaches the hub, as it is written in its console"),
    ] = None
    api_base: Annotated[str, Meta(description="Host of the platform's API")] = API_BASE
    proxy: Annotated[str | None, Meta(description="HTTP proxy towards the platform")] = None
    intake_secret: Annotated[
        Secret | None, Meta(description="A further, secret segment of the callback's path")
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        for name in ("account_sid", "api_key_sid", "messaging_service_sid"):
            value = getattr(self, name)
            if value is not None and not _SID.fullmatch(value):
                yield name, f"found {value!r}, wants two letters and hex digits"
        if self.from_number is not None and not _is_sender(self.from_number):
            yield "from_number", f"found {self.from_number!r}, wants a number such as +14155550100"
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            yield "api_key_secret", "wants both api_key_sid and api_key_secret, or neither"
        for name in ("public_url", "api_base"):
            url = getattr(self, name)
            if url is not None and not url.startswith(("https://", "http://")):
                yield name, f"found {url!r}, wants a URL such as {API_BASE}"


def _is_sender(text: str) -> bool:
    """A number, a short code, or a name of up to 11 characters."""
    return is_e164(text) or re.fullmatch(r"[0-9]{3,8}|[A-Za-z0-9 ]{1,11}", text) is not None


class TwilioAdapter:
    """The door of one account: messages, and reports about ours."""

    def __init__(self, account: Account[TwilioSettings], tools: Tools) -> None:
        settings = account.settings
        tokens = (settings.auth_token, settings.previous_auth_token)
        self._tokens = [one.reveal() for one in tokens if one]
        self._public_url = settings.public_url

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove one request genuine; see :class:`hub.channel.Adapter`."""
        if request.method not in ("POST", "GET"):
            raise NotRecognised(f"method {request.method}")
        posted = request.method == "POST"
        body = request.body if posted else request.query.encode("utf-8", "surrogateescape")
        if not body:
            raise NotRecognised("there is nothing in it")
        is_form = _is_form(request)
        pairs = read_pairs(request.body) if posted and is_form else []
        self._prove(request, pairs)
        if posted and not is_form:
            _prove_body(request)
        fields = pairs if posted else read_pairs(body)
        return Intake((_event(request, body, dict(fields[::-1])),), response=TAKEN)

    def _prove(self, request: IntakeRequest, pairs: Sequence[tuple[str, str]]) -> None:
        signature = request.headers.get("x-twilio-signature", "")
        if not signature:
            raise NotAuthentic("there is no X-Twilio-Signature")
        urls = [one for url in self._urls(request) for one in urls_of(url)]
        if not is_signed(signature, self._tokens, urls, pairs):
            raise NotAuthentic("the signature does not fit: check auth_token and public_url")

    def _urls(self, request: IntakeRequest) -> Iterator[str]:
        """The URL as Twilio knows it; nothing in it is ever decoded and encoded again."""
        query = f"?{request.query}" if request.query else ""
        if self._public_url is None:
            host = request.headers.get("host", "")
            yield f"https://{host}{request.path}{query}"
            yield f"http://{host}{request.path}{query}"
            return
        base = self._public_url.partition("#")[0].rstrip("/")
        yield f"{base}{request.path}{query}"
        if base.endswith(request.path):  # set to the whole callback
            yield f"{base}{query}"


def _is_form(request: IntakeRequest) -> bool:
    stated = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    return stated == _FORM


def _prove_body(request: IntakeRequest) -> None:
    """What is no form is not in the signature; its hash stands in the URL, which is."""
    claimed = request.single("bodySHA256")
    if claimed is None or not is_body_hash(claimed, request.body):
        raise NotAuthentic("bodySHA256 is missing or of another body")


def read_pairs(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form, decoded, empty ones too.

    Raises:
        NotRecognised: there are too many.
    """
    text = body.decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise NotRecognised("too many fields") from error


def _event(request: IntakeRequest, body: bytes, fields: dict[str, str]) -> InboundEvent:
    """Repeats carry the same SID; a report is one for each state of a message."""
    sid, status = fields.get("MessageSid", ""), fields.get("MessageStatus", "")
    known = _KEY.fullmatch(sid) is not None and len(status) <= 20
    key = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if known:
        key = clean(f"{sid}:{status}") if status else sid
    person = fields.get("To" if status else "From", "")
    ours = request.single("message_id") if request.method == "POST" else None
    return InboundEvent(
        dedupe_key=key,
        order_key=clean(person)[:200] or "unknown",
        body=body,
        received_at=request.received_at,
        headers={"message_id": ours[:64]} if ours else {},
        proof="x-twilio-signature",
    )


CHANNEL = Channel(
    key="sms_twilio",
    title="SMS by Twilio",
    settings=TwilioSettings,
    normalize=normalize,
    adapter=TwilioAdapter,
    sender=TwilioSender,
    media=TwilioMedia,
    checker=TwilioChecker,
    opens=opens,
    capabilities=Capabilities(
        max_text_characters=TEXT_LIMIT,
        proactive=True,
        receipts=("sent", "delivered", "read", "failed"),
    ),
    docs_url="https://www.twilio.com/docs/messaging",
)
