"""Ed25519 from a bot's secret, as the platform derives it.

Source: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/sign.html
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Signer"]


class Signer:
    """Signs pushes, and looks whether an address check was answered rightly."""

    def __init__(self, secret: str) -> None:
        seed = secret
        while len(seed) < 32:
            seed += seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed.encode()[:32])

    def sign(self, timestamp: str, body: bytes) -> str:
        """The value of ``X-Signature-Ed25519``."""
        return self._key.sign(timestamp.encode() + body).hex()
