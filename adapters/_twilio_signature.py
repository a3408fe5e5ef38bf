"""Twilio's ``X-Twilio-Signature``.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

__all__ = ["is_body_hash", "is_signed", "sign", "urls_of"]

Pairs = Sequence[tuple[str, str]]

_PORTS = {"http": 80, "https": 443}


def sign(token: str, url: str, pairs: Pairs) -> str:
    """The signature, base64 of 20 bytes, over *url* and the decoded form fields *pairs*.

    Keys in ASCII order, each followed by its value, empty ones too; of several values under one key
    every different one counts once, in order.
    """
    said = "".join(f"{key}{value}" for key, value in sorted(set(pairs)))
    mac = hmac.new(token.encode(), f"{url}{said}".encode("utf-8", "surrogatepass"), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode("ascii")


def is_signed(signature: str, tokens: Iterable[str], urls: Iterable[str], pairs: Pairs) -> bool:
    """Whether *signature* was made with one of *tokens* over one of *urls*; constant time for each."""
    given = signature.encode("utf-8", "surrogateescape")
    genuine = False
    for token in tokens:
        for url in urls:
            genuine |= hmac.compare_digest(sign(token, url, pairs).encode(), given)
    return genuine


def is_body_hash(claimed: str, body: bytes) -> bool:
    """Whether *claimed*, ``bodySHA256`` of the query, is the hash of *body*."""
    real = hashlib.sha256(body).hexdigest()
    return hmac.compare_digest(real.encode(), claimed.encode("utf-8", "surrogateescape"))


def urls_of(url: str) -> Iterator[str]:
    """*url* as Twilio may have signed it: as it is, without its port, with the port written out.

    Which one it is differs between Twilio's own services. User and password stay.
    """
    yield url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return
    user, at, host = parts.netloc.rpartition("@")
    bare = host.rpartition(":")[0] if port is not None else host
    wanted = [bare] if port is not None else [f"{host}:{_PORTS.get(parts.scheme, 443)}"]
    for netloc in wanted:
        yield url.replace(parts.netloc, f"{user}{at}{netloc}", 1)
