"""Any SMS gateway that calls back by HTTP, by settings; Vonage and MessageBird stand in the docs.

Sources: https://developer.vonage.com/en/messaging/sms/guides/inbound-sms,
https://developers.messagebird.com/api/sms-messaging/#receive-a-message
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from adapters._gateway_proof import Signature, prove
from adapters._sms_unsigned import MOST_ELEMENTS, Sources
from hub.channel import Account, Capabilities, Channel, Intake, IntakeRequest, Response, Tools
from hub.errors import NotAuthentic, NotRecognised
from hub.model import InboundEvent, Secret
from hub.phones import e164, is_region
from normalizers._gateway_fields import Inbound, Reports, items_in, named
from normalizers._sms import opens
from normalizers.sms_http import is_report, normalize
from outbound.sms_http import GatewayChecker, GatewaySender, Sending, sending_mistakes

__all__ = ["CHANNEL", "GatewayAdapter", "GatewaySettings"]

_LONGEST_ID = 100


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.answer]``: what the gateway wants to hear."""

    status: Annotated[int, Meta(ge=200, le=299, description="HTTP status")] = 200
    body: Annotated[str, Meta(description="Body of the answer")] = ""
    content_type: Annotated[str, Meta(description="Its type")] = "application/json"


class GatewaySettings(Struct, frozen=True, kw_only=True):
    """How a gateway speaks."""

    provider: Annotated[str, Meta(description="Name of the gateway, for people")] = "the gateway"
    number: Annotated[
        str | None, Meta(description="Sender of our texts; without it the one written to")
    ] = None
    inbound: Annotated[Inbound, Meta(description="Names of the fields of a message")] = Inbound()
    reports: Annotated[
        Reports | None, Meta(description="Names of the fields of a delivery report")
    ] = None
    signature: Annotated[Signature, Meta(description="What proves a callback")] = Signature()
    answer: Annotated[Answer, Meta(description="What the gateway wants to hear")] = Answer()
    send: Annotated[Sending | None, Meta(description="The request that sends one text")] = None
    country: Annotated[
        str | None,
        Meta(description="Country of numbers without country code; without it all have one"),
    ] = None
    opt_out_words: Annotated[
        tuple[str, ...],
        Meta(description="Words that alone in a message mean: write no more; empty for the usual"),
    ] = ()
    public_url: Annotated[
        str | None, Meta(description="Where the gateway reaches the hub; part of some signatures")
    ] = None
    sources: Annotated[
        tuple[str, ...], Meta(description="Networks that callbacks may come from; empty: any")
    ] = ()
    proxy: Annotated[str | None, Meta(description="HTTP proxy towards the gateway")] = None
    intake_secret: Annotated[
        Secret | None, Meta(description="A further, secret segment of the callback's path")
    ] = None

    @property
    def is_signed(self) -> bool:
        """Whether callbacks prove themselves; else their path has to be secret."""
        return self.signature.kind != "none"

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that cannot work, and why."""
        if self.signature.kind != "none" and self.signature.secret is None:
            yield "signature.secret", "is missing; wants the gateway's signing secret"
        if self.signature.kind == "jwt" and self.public_url is None:
            yield "public_url", "is missing; the token is over the URL that the gateway calls"
        if self.country is not None and not is_region(self.country):
            yield "country", f"found {self.country!r}, wants a code such as GB"
        if self.send is not None:
            yield from sending_mistakes(self.send)


class GatewayAdapter:
    """The door of one account: messages and reports, by GET, form or JSON."""

    def __init__(self, account: Account[GatewaySettings], tools: Tools) -> None:
        self._settings = account.settings
        self._sources = Sources(account.settings.sources)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove one callback genuine, and take what it brings; see the contract."""
        if request.method not in ("GET", "POST"):
            raise NotRecognised(f"method {request.method}")
        self._sources.check(request)
        settings = self._settings
        signed_by_params = settings.signature.kind == "sorted_params"
        if not signed_by_params:
            prove(settings.signature, request, self._url(request), {})
        items = self._items(request)
        if signed_by_params:
            _check_single(request)
            for fields in items:
                prove(settings.signature, request, "", fields)
        events = tuple(self._event(fields, request) for fields in items)
        answer = settings.answer
        headers = {"content-type": answer.content_type}
        return Intake(events, response=Response(answer.status, answer.body.encode(), headers))

    def _items(self, request: IntakeRequest) -> list[dict[str, Any]]:
        reports = self._settings.reports
        paths = (self._settings.inbound.items, reports.items if reports else None)
        try:
            found = items_in(request.query, request.body, *paths)
        except (ValueError, RecursionError) as error:
            raise NotRecognised("the callback cannot be read") from error
        if len(found) > MOST_ELEMENTS:
            raise NotRecognised(f"{len(found)} messages, at most {MOST_ELEMENTS}")
        if not any(found):
            raise NotRecognised("there is nothing in it")
        return found

    def _url(self, request: IntakeRequest) -> str:
        base = (self._settings.public_url or "").rstrip("/")
        query = f"?{request.query}" if request.query else ""
        return f"{base}{request.path}{query}"

    def _event(self, fields: Mapping[str, Any], request: IntakeRequest) -> InboundEvent:
        body = _kept(fields)
        settings = self._settings
        if is_report(fields, settings) and settings.reports:
            own = named(fields, settings.reports.id)
            key = f"report:{own}:{named(fields, settings.reports.status)}" if own else ""
            person = named(fields, settings.reports.recipient)
        else:
            key = named(fields, settings.inbound.id)
            person = named(fields, settings.inbound.sender)
        if not key or len(key) > _LONGEST_ID:
            key = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return InboundEvent(
            dedupe_key=key,
            order_key=e164(person, settings.country) or "unknown",
            body=body,
            received_at=request.received_at,
            proof=settings.signature.kind,
        )


def _check_single(request: IntakeRequest) -> None:
    """A field that stands twice could hide one of its values from the signature."""
    text = request.body.decode("utf-8", "replace") if request.body else request.query
    if text.lstrip()[:1] in ("{", "["):
        return
    names = [name for name, _ in parse_qsl(text, keep_blank_values=True)]
    if len(names) > len(set(names)):
        raise NotAuthentic("a field is given twice")


def _kept(fields: Mapping[str, Any]) -> bytes:
    """The fields as JSON, in the order of their names, without the proof's own value lost."""
    try:
        return msgspec.json.encode(fields, order="deterministic")
    except (ValueError, TypeError, OverflowError):
        return json.dumps(fields, sort_keys=True).encode()


CHANNEL = Channel(
    key="sms_http",
    title="SMS by any gateway",
    settings=GatewaySettings,
    normalize=normalize,
    adapter=GatewayAdapter,
    sender=GatewaySender,
    checker=GatewayChecker,
    opens=opens,
    capabilities=Capabilities(
        max_text_characters=1600,
        proactive=True,
        receipts=("sent", "delivered", "failed"),
    ),
    docs_url="https://developer.vonage.com/en/messaging/sms/guides/inbound-sms",
)
