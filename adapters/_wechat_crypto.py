"""The signature and the encryption that the WeChat family shares (official account, WeCom, kefu).

Signature: the lower-case hex SHA-1 of the parts, sorted as strings and joined without a separator.
Encryption: AES-256-CBC, the IV is the first half of the key; the plaintext is 16 random bytes, the
length of the message (4 bytes, big-endian), the message, and the id that it is meant for; padding is
PKCS#7 with a block of **32**, which ordinary 16-byte unpadders refuse.

Source: https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push
"""

import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from hub.errors import NotAuthentic

__all__ = ["Box", "is_aes_key", "is_signed", "open_by", "open_with", "sign"]

_BLOCK = 32
_HEAD = 20
_AES_KEY = re.compile(r"[A-Za-z0-9+/]{43}")


def is_aes_key(text: str) -> bool:
    """True when *text* can be an EncodingAESKey: base64 of 32 bytes without its ``=``."""
    return bool(_AES_KEY.fullmatch(text))


def sign(*parts: str) -> str:
    """The signature over *parts* (the token among them), in whatever order they are given."""
    return hashlib.sha1("".join(sorted(parts)).encode("utf-8", "replace")).hexdigest()  # noqa: S324


def is_signed(signature: str, *parts: str) -> bool:
    """True when *signature* is that of *parts*; takes the same time wherever it differs."""
    return hmac.compare_digest(sign(*parts).encode(), signature.encode("utf-8", "replace"))


class Box:
    """Opens and seals with one EncodingAESKey for one receiver (an app id or corp id)."""

    def __init__(self, aes_key: str, receive_id: str) -> None:
        key = b64decode(aes_key + "=")
        self._cipher = Cipher(AES(key), CBC(key[:16]))
        self._receive_id = receive_id.encode()

    def open(self, sealed: str | bytes) -> bytes:
        """The message inside; its signature must have been checked before.

        Raises:
            ValueError: it was not sealed with this key for this receiver.
        """
        decryptor = self._cipher.decryptor()
        data = decryptor.update(b64decode(sealed, validate=True)) + decryptor.finalize()
        pad = data[-1] if len(data) >= _BLOCK else 0
        if not 1 <= pad <= _BLOCK or data[-pad:] != bytes([pad]) * pad:
            raise ValueError("padding")
        end = _HEAD + int.from_bytes(data[16:_HEAD], "big")
        if len(data) - pad < end or data[end:-pad] != self._receive_id:
            raise ValueError("length or receiver")
        return data[_HEAD:end]

    def seal(self, message: bytes, random: bytes | None = None) -> str:
        """*message* sealed, as base64; *random* is 16 bytes, for tests."""
        data = (random or os.urandom(16)) + len(message).to_bytes(4, "big")
        data += message + self._receive_id
        pad = _BLOCK - len(data) % _BLOCK
        encryptor = self._cipher.encryptor()
        sealed = encryptor.update(data + bytes([pad]) * pad) + encryptor.finalize()
        return b64encode(sealed).decode()


def open_with(boxes: Iterable[Box], sealed: str | bytes) -> bytes:
    """The message in *sealed* by the first of *boxes* that opens it (current key, previous key).

    Raises:
        NotAuthentic: none of them does.
    """
    return open_by(boxes, sealed)[0]


def open_by(boxes: Iterable[Box], sealed: str | bytes) -> tuple[bytes, Box]:
    """The same, with the box that opened it: an answer is sealed with that one.

    Raises:
        NotAuthentic: none of them does.
    """
    for box in boxes:
        try:
            return box.open(sealed), box
        except ValueError:
            continue
    raise NotAuthentic("cannot be decrypted with the account's AES key for its app id")
