"""A DKIM signature (RFC 6376, RFC 8463) on a mail that is ready to go; relaxed in header and body."""

import base64
import hashlib
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

__all__ = ["Signer", "load_key"]

# RFC 6376 section 5.4.1; each of them once more than it stands there, so that none can be added.
_SIGNED_FIELDS = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "reply-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "auto-submitted",
)


def load_key(pem: str) -> RSAPrivateKey | Ed25519PrivateKey:
    """The private key in *pem*.

    Raises:
        ValueError: it is none, or of a kind that DKIM does not know.
    """
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("wants a PEM private key without a passphrase") from error
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("wants an RSA or Ed25519 key")
    return key


class Signer:
    """Signs for one domain with one key."""

    def __init__(self, domain: str, selector: str, pem: str) -> None:
        """Raises ValueError for a key that is none."""
        self._domain = domain
        self._selector = selector
        self._key = load_key(pem)

    def signed(self, raw: bytes, at: int) -> bytes:
        """*raw* with a signature above it; *at* is the time in Unix seconds."""
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = _fields(head)
        names = [name for name in _SIGNED_FIELDS if name in fields]
        names += [name for name in ("from", "to", "subject") if name in fields]
        algorithm = "rsa-sha256" if isinstance(self._key, RSAPrivateKey) else "ed25519-sha256"
        digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
        value = (
            f" v=1; a={algorithm}; c=relaxed/relaxed; d={self._domain};\r\n"
            f" s={self._selector}; t={at}; h={':'.join(names)};\r\n bh={digest};\r\n b="
        )
        # A name that stands once more than its field signs that there is no second one.
        seen: set[str] = set()
        lines = []
        for name in names:
            if name not in seen:
                lines.append(_relaxed(name, fields[name]))
                seen.add(name)
        lines.append(_relaxed("dkim-signature", value.encode()).removesuffix(b"\r\n"))
        signature = base64.b64encode(self._sign(b"".join(lines))).decode()
        folded = "\r\n ".join(re.findall(r".{1,72}", signature))
        return f"DKIM-Signature:{value}{folded}\r\n".encode() + raw

    def _sign(self, content: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(content, PKCS1v15(), SHA256())
        return self._key.sign(hashlib.sha256(content).digest())


def _fields(head: bytes) -> dict[str, bytes]:
    """The fields by name; ours stand once each."""
    unfolded = re.split(rb"\r\n(?![ \t])", head)
    pairs = (line.partition(b":") for line in unfolded)
    return {name.decode("ascii").lower(): value for name, _, value in pairs}


def _relaxed(name: str, value: bytes) -> bytes:
    """A field in the relaxed form of section 3.4.2."""
    flat = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
    return name.encode() + b":" + flat + b"\r\n"


def _relaxed_body(body: bytes) -> bytes:
    """The body in the relaxed form of section 3.4.4."""
    tidy = re.sub(rb"[ \t]+(?=\r\n)", b"", re.sub(rb"[ \t]+", b" ", body))
    tidy = tidy.rstrip(b"\r\n")
    return tidy + b"\r\n" if tidy else b""
