"""Signatures that the hub makes itself: of webhooks, and of links that expire.

Webhooks are signed as https://www.standardwebhooks.com says: HMAC-SHA256 over ``id.timestamp.body``
with the bytes behind ``whsec_``, in base64 after ``v1,``; with several keys, all signatures stand in the
header, with spaces between them.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

__all__ = ["TOLERANCE", "Signer", "check_link", "new_secret", "read_secret", "sign_link", "verify"]

PREFIX = "whsec_"
TOLERANCE = 300
"""Seconds that a signature's time may be off, either way."""


def read_secret(text: str) -> bytes:
    """The key bytes of ``whsec_…``.

    Raises:
        ValueError: *text* has another form, or its key is not 24 to 64 bytes long.
    """
    if not text.startswith(PREFIX):
        raise ValueError("wants whsec_ and base64 after it")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("what stands after whsec_ is not base64") from error
    if not 24 <= len(key) <= 64:
        raise ValueError(f"its key has {len(key)} bytes, wants 24 to 64")
    return key


def new_secret(random: bytes) -> str:
    """*random* bytes (32 of them) as a webhook secret."""
    return PREFIX + base64.b64encode(random).decode("ascii")


class Signer:
    """Signs with one or several keys; the first is the newest."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Raises ValueError for a secret of another form."""
        self._keys = [hmac.new(read_secret(secret), digestmod=hashlib.sha256) for secret in secrets]

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The value of ``webhook-signature``; *timestamp* is in Unix seconds."""
        head = f"{message_id}.{timestamp}.".encode()
        made = []
        for key in self._keys:
            mac = key.copy()  # the key is hashed in once, not for each message
            mac.update(head)
            mac.update(body)
            made.append("v1," + base64.b64encode(mac.digest()).decode("ascii"))
        return " ".join(made)


def verify(
    secrets: Iterable[str],
    *,
    message_id: str,
    timestamp: str,
    signature: str,
    body: bytes,
    now: float,
    tolerance: float = TOLERANCE,
) -> bool:
    """True when one of *signature*'s parts was made with one of *secrets*, not longer ago than allowed."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now - int(timestamp)) > tolerance:
        return False
    genuine = False
    for secret in secrets:
        expected = Signer([secret]).sign(message_id, int(timestamp), body).encode()
        for part in signature.split(" ")[:20]:
            genuine |= hmac.compare_digest(expected, part.encode("utf-8", "surrogateescape"))
    return genuine


def _link_mac(key: bytes, path: str, expires: int) -> str:
    mac = hmac.new(key, f"link\n{path}\n{expires}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode("ascii")


def sign_link(key: bytes, path: str, expires: int) -> str:
    """*path* with ``?expires=…&signature=…``; good until the Unix second *expires*."""
    return f"{path}?expires={expires}&signature={_link_mac(key, path, expires)}"


def check_link(key: bytes, path: str, expires: str, signature: str, now: float) -> bool:
    """True when :func:`sign_link` made the link for *path* with *key*, and its time is not over."""
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        return False
    expected = _link_mac(key, path, int(expires))
    genuine = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape"))
    return genuine and now <= int(expires)
