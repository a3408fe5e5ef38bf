"""Events by webhook, exactly as Standard Webhooks says (https://www.standardwebhooks.com)."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from hub.destination import Destination, Event, OutCall, Target
from hub.model import Secret
from hub.signing import Signer, read_secret

__all__ = ["DESTINATION", "WebhookCourier", "WebhookSettings"]

_RESERVED = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "traceparent"}
)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "webhook"``."""

    url: Annotated[
        str, Meta(description="Where events are posted, e.g. https://desk.example.com/hub")
    ]
    secret: Annotated[
        Secret, Meta(description="Signs the events: whsec_ and 24 to 64 bytes in base64")
    ]
    previous_secrets: Annotated[
        list[Secret], Meta(description="Secrets that also sign while the receiver changes over")
    ] = field(default_factory=list)
    headers: Annotated[
        dict[str, Secret], Meta(description="Further headers, such as authorization")
    ] = field(default_factory=dict)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        if (wrong := _wrong_url(self.url)) is not None:
            yield "url", f"found {self.url!r}, {wrong}"
        named = [("secret", self.secret)]
        named += [(f"previous_secrets[{i}]", one) for i, one in enumerate(self.previous_secrets)]
        for name, secret in named:
            try:
                read_secret(secret.reveal())
            except ValueError as error:
                yield name, f"{error}; make one with: openssl rand -base64 32"
        for name, value in self.headers.items():
            if (
                not _HEADER.fullmatch(name)
                or name.lower() in _RESERVED
                or name.lower()[:8] == "webhook-"
            ):
                yield f"headers.{name}", "is not a header that can be set"
            elif not value.reveal().isprintable() or not value.reveal().isascii():
                yield f"headers.{name}", "its value is not one line of ASCII"


def _wrong_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"wants a URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "wants an absolute http(s) URL"
    if "@" in parts.netloc:
        return "wants no user name in it; use headers.authorization"
    if not url.isprintable() or " " in url:
        return "wants no spaces in it"
    return None


class WebhookCourier:
    """Signs events for one URL."""

    def __init__(self, target: Target) -> None:
        settings: WebhookSettings = target.settings
        self._url = settings.url
        self._signer = Signer(one.reveal() for one in (settings.secret, *settings.previous_secrets))
        self._headers = {
            "content-type": "application/json",
            **{name.lower(): value.reveal() for name, value in settings.headers.items()},
        }

    def request(self, event: Event, now: datetime) -> OutCall:
        """The signed request that carries *event*; the signature's time is *now*, its id the event's."""
        timestamp = int(now.timestamp())
        headers = {
            **self._headers,
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.sign(event.id, timestamp, event.body),
        }
        if event.replayed:
            headers["webhook-replayed"] = "true"
        if event.trace is not None:
            headers["traceparent"] = event.trace
        return OutCall(url=self._url, headers=headers, body=event.body)


DESTINATION = Destination(
    key="webhook",
    title="Webhook (Standard Webhooks)",
    settings=WebhookSettings,
    courier=WebhookCourier,
    docs_url="https://www.standardwebhooks.com",
)
