"""How WeChat signs and encrypts what it pushes.

Written from the platform's description and independent of the hub's own code,
because the simulator is the judge of the hub.

Source: https://developers.weixin.qq.com/doc/subscription/guide/dev/push/encryption
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import string

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK_BYTES = 32
"""PKCS#7 here pads to 32 bytes, not to the 16 of AES itself."""

RANDOM_BYTES = 16
LENGTH_BYTES = 4


class BadEnvelope(Exception):
    """The encrypted text does not open with this key, or is meant for another account."""


def signature_of(*parts: str) -> str:
    """SHA-1 over the parts, sorted as text and joined with nothing between them."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def new_aes_key() -> str:
    """A fresh EncodingAESKey: 43 characters that stand for 32 bytes."""
    return (
        base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=").translate(_ALPHANUMERIC_ONLY)
    )


_ALPHANUMERIC_ONLY = str.maketrans("+/", "xy")


def new_token() -> str:
    """A fresh callback token, as an owner would type it: letters and digits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(24))


class Envelope:
    """Seals and opens messages between the platform and one account.

    Args:
        token: the callback token, 3 to 32 letters and digits.
        aes_key: the EncodingAESKey, 43 characters.
        receive_id: whom the message is for: the official account's app id.
    """

    def __init__(self, token: str, aes_key: str, receive_id: str) -> None:
        key = base64.b64decode(aes_key + "=")
        if len(key) != 32:
            raise ValueError(f"an EncodingAESKey stands for 32 bytes, this one for {len(key)}")
        self._token = token
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))
        self._receive_id = receive_id.encode()

    def sign(self, timestamp: str, nonce: str, *encrypted: str) -> str:
        """``signature`` of a request, or ``msg_signature`` when *encrypted* is given."""
        return signature_of(self._token, timestamp, nonce, *encrypted)

    def verify(self, signature: str, timestamp: str, nonce: str, *encrypted: str) -> bool:
        return hmac.compare_digest(
            signature.encode(), self.sign(timestamp, nonce, *encrypted).encode()
        )

    def seal(self, message: bytes, random: bytes | None = None) -> str:
        """The ``Encrypt`` text for *message*; *random* is fixed by tests only."""
        start = random if random is not None else secrets.token_bytes(RANDOM_BYTES)
        plain = start + len(message).to_bytes(LENGTH_BYTES, "big") + message + self._receive_id
        pad = BLOCK_BYTES - len(plain) % BLOCK_BYTES
        encryptor = self._cipher.encryptor()
        return base64.b64encode(
            encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()
        ).decode()

    def open(self, encrypted: str) -> bytes:
        """The message inside an ``Encrypt`` text.

        Raises:
            BadEnvelope: wrong key, damaged text, or another receiver.
        """
        plain = _without_padding(self._decrypt(encrypted))
        head = RANDOM_BYTES + LENGTH_BYTES
        end = head + int.from_bytes(plain[RANDOM_BYTES:head], "big")
        if end > len(plain):
            raise BadEnvelope("the stated length is larger than the text")
        if plain[end:] != self._receive_id:
            raise BadEnvelope("meant for another account")
        return plain[head:end]

    def _decrypt(self, encrypted: str) -> bytes:
        try:
            data = base64.b64decode(encrypted, validate=True)
            decryptor = self._cipher.decryptor()
            return decryptor.update(data) + decryptor.finalize()
        except (binascii.Error, ValueError) as error:
            raise BadEnvelope("not the output of AES-CBC in base64") from error


def _without_padding(padded: bytes) -> bytes:
    pad = padded[-1] if padded else 0
    if not 1 <= pad <= BLOCK_BYTES or padded[-pad:] != bytes([pad]) * pad:
        raise BadEnvelope("the padding is wrong")
    return padded[:-pad]
