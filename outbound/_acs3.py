"""Alibaba Cloud's request signature, version 3.

Source: https://help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

__all__ = ["authorization", "canonical_query", "signature"]

ALGORITHM = "ACS3-HMAC-SHA256"


def canonical_query(params: Mapping[str, str]) -> str:
    """*params* by name, each escaped as RFC 3986 says."""
    return "&".join(f"{_escaped(name)}={_escaped(params[name])}" for name in sorted(params))


def _escaped(text: str) -> str:
    return quote(text, safe="~")


def signature(
    secret: str,
    method: str,
    uri: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> tuple[str, str]:
    """(names of the signed headers, signature in hex); *headers* have lower-case names.

    ``host``, ``content-type`` and all ``x-acs-*`` are signed.
    """
    signed = {
        name: value.strip()
        for name, value in sorted(headers.items())
        if name in ("host", "content-type") or name.startswith("x-acs-")
    }
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"{method}\n{uri}\n{query}\n{lines}\n{names}\n{digest}"
    told = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return names, hmac.new(secret.encode(), told.encode(), hashlib.sha256).hexdigest()


def authorization(key_id: str, names: str, made: str) -> str:
    """The value of the Authorization header."""
    return f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={made}"
