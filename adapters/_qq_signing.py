"""Ed25519 as QQ uses it: the bot's secret is the seed, and one key signs events and handshakes.

Source: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/sign.html
"""

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["SigningKey"]

_SEED_BYTES = 32
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{128}")
_TIMESTAMP = re.compile(r"[0-9]{1,16}")
_TOKEN = re.compile(r"[A-Za-z0-9_\-+/=]{1,128}")


class SigningKey:
    """The key pair that a bot's secret stands for; both sides have all of it."""

    def __init__(self, secret: str) -> None:
        """*secret*, repeated until it has 32 bytes and then cut, is the seed."""
        raw = secret.encode()
        seed = (raw * (_SEED_BYTES // len(raw) + 1))[:_SEED_BYTES]
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key()

    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._public.public_bytes_raw()

    def is_signed(self, signature: str, timestamp: str, body: bytes) -> bool:
        """Whether *signature* (hex) is that of *timestamp* and *body*, with nothing between them."""
        if not _SIGNATURE.fullmatch(signature) or not _TIMESTAMP.fullmatch(timestamp):
            return False
        raw = bytes.fromhex(signature)
        if raw[63] & 0b1110_0000:
            return False
        try:
            self._public.verify(raw, timestamp.encode() + body)
        except InvalidSignature:
            return False
        return True

    def answer(self, event_ts: str, plain_token: str) -> str | None:
        """The signature that proves to the platform that we know the secret; None: it is not asked for.

        Events are signed by the same key in the same way, so whoever may choose what we sign here
        could forge one. What we sign has no ``{``, and no event is without.
        """
        if not _TIMESTAMP.fullmatch(event_ts) or not _TOKEN.fullmatch(plain_token):
            return None
        return self._private.sign(f"{event_ts}{plain_token}".encode()).hex()
