"""Tencent Cloud's request signature, version 3.

Source: https://cloud.tencent.com/document/api/382/52071
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

__all__ = ["authorization", "signature"]

ALGORITHM = "TC3-HMAC-SHA256"


def signature(
    secret_key: str, service: str, at: int, headers: Mapping[str, str], body: bytes
) -> tuple[str, str]:
    """(names of the signed headers, signature in hex) of a POST of exactly these bytes.

    *at* is in Unix seconds; the day in the key is that of UTC, whatever the clock on the wall says.
    All of *headers* are signed, in lower case, values too.
    """
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip().lower()}\n" for name in sorted(headers))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = _scope(service, at)
    told = f"{ALGORITHM}\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return names, hmac.new(key, told.encode(), hashlib.sha256).hexdigest()


def _scope(service: str, at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}/{service}/tc3_request"


def authorization(secret_id: str, service: str, at: int, names: str, made: str) -> str:
    """The value of the Authorization header."""
    credential = f"{secret_id}/{_scope(service, at)}"
    return f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={made}"
