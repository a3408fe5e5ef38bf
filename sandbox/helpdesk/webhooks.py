"""Checking a webhook before believing it: Standard Webhooks, from the receiver's side.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.journal import Clock

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins
SECRET_BYTES = 32
TOLERANCE_SECONDS = 300
VERSION = "v1"


class Refused(Exception):
    """The webhook is not genuine, too old, or not readable; the text says which."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A genuine event of the hub."""

    id: str
    type: str
    timestamp: str
    data: dict[str, Any]
    is_replay: bool

    @property
    def message(self) -> dict[str, Any]:
        found = self.data.get("message")
        return found if isinstance(found, dict) else {}

    @property
    def lane(self) -> str | None:
        return _order(self.data).get("lane")

    @property
    def order_n(self) -> int | None:
        """The place in the lane; contiguous from 1 in each lane."""
        return _order(self.data).get("n")


def new_webhook_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    """One entry of ``webhook-signature``: ``v1,`` and the HMAC-SHA256 in base64."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.digest(_key_of(secret), signed, hashlib.sha256)
    return f"{VERSION},{base64.b64encode(digest).decode()}"


class Verifier:
    """Believes what is signed with the shared secret and not older than five minutes."""

    def __init__(self, secret: str, clock: Clock) -> None:
        _key_of(secret)
        self._secret = secret
        self._clock = clock

    def verify(self, headers: Mapping[str, str], body: bytes) -> Webhook:
        """
        Raises:
            Refused: and why.
        """
        webhook_id, timestamp, signatures = (
            headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
        )
        if not webhook_id or not timestamp or not signatures:
            raise Refused("a header is missing: webhook-id, webhook-timestamp or webhook-signature")
        expected = sign(self._secret, webhook_id, timestamp, body).encode()
        if not any(
            hmac.compare_digest(expected, given.encode()) for given in signatures.split(" ")
        ):
            raise Refused("the signature is wrong")
        self._check_age(timestamp)
        return _read(webhook_id, body, is_replay=headers.get("webhook-replayed") == "true")

    def _check_age(self, timestamp: str) -> None:
        if not timestamp.isdecimal():
            raise Refused("the timestamp is not a number")
        if abs(self._clock() - int(timestamp)) > TOLERANCE_SECONDS:
            raise Refused("the timestamp is more than five minutes away")


def _read(webhook_id: str, body: bytes, *, is_replay: bool) -> Webhook:
    try:
        document = json.loads(body)
        kind, timestamp, data = document["type"], document["timestamp"], document["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused('the body is not {"type", "timestamp", "data"}') from error
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise Refused('the body is not {"type", "timestamp", "data"}')
    return Webhook(webhook_id, kind, str(timestamp), data, is_replay)


def _key_of(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and base64") from error


def _order(data: Mapping[str, Any]) -> Mapping[str, Any]:
    order = data.get("order")
    return order if isinstance(order, dict) else {}
