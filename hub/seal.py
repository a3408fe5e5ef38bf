"""Seals small values at rest: AES-256-GCM, with keys derived from HUB_SECRET_KEY.

Each purpose has a key of its own (HKDF-SHA256), and the place where a value lies goes in as associated
data, so that a sealed value moved elsewhere does not open.
"""

import contextlib
import os
import secrets
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.errors import ConfigError, HubError
from hub.model import Secret

__all__ = ["CannotOpen", "Sealer", "secret_key"]

VERSION = 1
KEY_ID_BYTES = 4
NONCE_BYTES = 12
MIN_SECRET = 32
_HEAD = 1 + KEY_ID_BYTES + NONCE_BYTES


class CannotOpen(HubError):
    """The value was sealed with another HUB_SECRET_KEY, for another place, or is damaged."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _Key:
    def __init__(self, secret: Secret) -> None:
        self._secret = secret.reveal().encode()
        self.id = self.derive("key-id")[:KEY_ID_BYTES]
        self.cipher = lru_cache(maxsize=16)(lambda purpose: AESGCM(self.derive(f"seal:{purpose}")))

    def derive(self, purpose: str) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=f"hub:{purpose}".encode()).derive(self._secret)


class Sealer:
    """Seals with one key, opens with that and with previous ones."""

    def __init__(self, secret: Secret, previous: Iterable[Secret] = ()) -> None:
        self._key = _Key(secret)
        self._keys = {key.id: key for key in (*map(_Key, previous), self._key)}

    def __repr__(self) -> str:
        return f"Sealer({self._key.id.hex()})"

    def derive(self, purpose: str) -> bytes:
        """32 bytes for another use, such as signing links."""
        return self._key.derive(purpose)

    def seal(self, purpose: str, data: bytes, aad: str) -> bytes:
        """*data*, to be opened for the same *purpose* and *aad* only: version, key id, nonce, text."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._key.cipher(purpose).encrypt(nonce, data, aad.encode())
        return bytes([VERSION]) + self._key.id + nonce + sealed

    def open(self, purpose: str, sealed: bytes, aad: str) -> bytes:
        """What :meth:`seal` was given.

        Raises:
            CannotOpen: with the reason.
        """
        if len(sealed) < _HEAD or sealed[0] != VERSION:
            raise CannotOpen("it is not a sealed value")
        key = self._keys.get(sealed[1 : 1 + KEY_ID_BYTES])
        if key is None:
            raise CannotOpen("it was sealed with another HUB_SECRET_KEY")
        try:
            return key.cipher(purpose).decrypt(
                sealed[1 + KEY_ID_BYTES : _HEAD], sealed[_HEAD:], aad.encode()
            )
        except InvalidTag as error:
            raise CannotOpen("it was sealed for another place, or is damaged") from error


def secret_key(configured: Secret | None, data_dir: Path, *, production: bool) -> Secret:
    """The hub's secret: the *configured* one, else one made under *data_dir* at first start.

    The file is readable by its owner only; several processes that start at once agree on one.

    Raises:
        ConfigError: it is too short, or in *production* there is none.
    """
    if configured:
        if len(configured.reveal()) < MIN_SECRET:
            raise ConfigError(
                [
                    f"HUB_SECRET_KEY: has {len(configured.reveal())} characters, wants {MIN_SECRET} or more"
                ]
            )
        return configured
    if production:
        raise ConfigError(["HUB_SECRET_KEY: is missing; make one with: openssl rand -base64 32"])
    return _kept(data_dir / "secret_key")


def _kept(path: Path) -> Secret:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            os.link(draft, path)
        draft.unlink()
    text = path.read_text().strip()
    if len(text) < MIN_SECRET:
        raise ConfigError(
            [f"{path}: is damaged; put its backup there, or remove it to make a new key"]
        )
    return Secret(text)
