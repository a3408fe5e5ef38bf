"""How gateways without a channel of their own prove a callback, by settings.

Sources: https://developer.vonage.com/en/getting-started/concepts/signing-messages (sorted parameters),
https://developers.messagebird.com/api/#verifying-http-requests (signed token)
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import jwt
from msgspec import Meta, Struct

from hub.channel import IntakeRequest
from hub.errors import NotAuthentic
from hub.model import Secret

__all__ = ["Signature", "prove", "sorted_digest"]

_HASHES = {
    "md5": hashlib.md5,
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
}
_JWT_LEEWAY_S = 1.0


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.signature]``: what proves a callback."""

    kind: Annotated[
        Literal["none", "hmac_header", "sorted_params", "jwt"],
        Meta(description="hmac_header: of the body; sorted_params: as Vonage; jwt: as MessageBird"),
    ] = "none"
    secret: Annotated[Secret | None, Meta(description="The signature secret or signing key")] = None
    algorithm: Annotated[
        Literal["md5hash", "md5", "sha1", "sha256", "sha512"],
        Meta(description="Hash of the HMAC; md5hash: MD5 with the secret behind the text"),
    ] = "sha256"
    name: Annotated[
        str | None, Meta(description="Header, or parameter, that carries the signature")
    ] = None
    prefix: Annotated[str, Meta(description="What stands before it in a header: sha256=")] = ""
    encoding: Annotated[Literal["hex", "base64"], Meta(description="How it is written")] = "hex"
    timestamp: Annotated[
        str | None, Meta(description="Parameter with the Unix time of the callback, with max_age_s")
    ] = None
    max_age_s: Annotated[
        int,
        Meta(
            ge=0, description="How old a callback may be, 0: any; longer than the gateway retries"
        ),
    ] = 0
    issuer: Annotated[str | None, Meta(description="iss of the token, where it must be one")] = None


def prove(settings: Signature, request: IntakeRequest, url: str, params: Mapping[str, Any]) -> None:
    """Raises NotAuthentic unless *request*, called at *url* with *params*, is signed as it should be."""
    if settings.kind == "none":
        return
    if settings.secret is None:
        raise NotAuthentic("no secret is set")
    if settings.kind == "hmac_header":
        _prove_header(settings, request)
    elif settings.kind == "sorted_params":
        _prove_params(settings, params)
    else:
        _prove_token(settings, request, url)
    _check_age(settings, request, params)


def _prove_header(settings: Signature, request: IntakeRequest) -> None:
    given = request.headers.get((settings.name or "x-signature").lower(), "")
    if not given.startswith(settings.prefix) or settings.algorithm == "md5hash":
        raise NotAuthentic("the signature is missing")
    if not request.body:  # what stands in the query is not signed
        raise NotAuthentic("there is no body that could be signed")
    mac = hmac.new(_key(settings), request.body, _HASHES[settings.algorithm])
    made = (
        mac.hexdigest() if settings.encoding == "hex" else base64.b64encode(mac.digest()).decode()
    )
    _compare(made, given.removeprefix(settings.prefix).strip())


def _prove_params(settings: Signature, params: Mapping[str, Any]) -> None:
    name = settings.name or "sig"
    given = params.get(name)
    if not isinstance(given, str) or not given:
        raise NotAuthentic("the signature is missing")
    texts = {key: str(value) for key, value in params.items() if key != name}
    _compare(sorted_digest(_key(settings), texts, settings.algorithm), given.lower())


def sorted_digest(secret: bytes, params: Mapping[str, str], algorithm: str) -> str:
    """The digest of *params* by name; ``&`` and ``=`` inside a value are written as ``_``."""
    text = "".join(
        f"&{name}={params[name].replace('&', '_').replace('=', '_')}" for name in sorted(params)
    ).encode()
    if algorithm == "md5hash":
        return hashlib.md5(text + secret, usedforsecurity=False).hexdigest()
    return hmac.new(secret, text, _HASHES[algorithm]).hexdigest()


def _prove_token(settings: Signature, request: IntakeRequest, url: str) -> None:
    """The token holds hashes of the URL and of the body; a body without a hash proves nothing."""
    token = request.headers.get((settings.name or "messagebird-signature-jwt").lower(), "")
    try:
        claims = jwt.decode(
            token,
            _key(settings),
            algorithms=["HS256", "HS384", "HS512"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError as error:
        raise NotAuthentic("the token is missing or not signed with the key") from error
    if settings.issuer is not None and claims.get("iss") != settings.issuer:
        raise NotAuthentic("the token is of another issuer")
    _check_times(claims, request.received_at)
    _compare(hashlib.sha256(url.encode()).hexdigest(), str(claims.get("url_hash")))
    wanted = hashlib.sha256(request.body).hexdigest() if request.body else None
    if (claims.get("payload_hash") is None) != (wanted is None):
        raise NotAuthentic("the token is of another body")
    if wanted is not None:
        _compare(wanted, str(claims.get("payload_hash")))


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    at = now.timestamp()
    begins, ends = claims.get("nbf"), claims.get("exp")
    if not isinstance(begins, int | float) or not isinstance(ends, int | float):
        raise NotAuthentic("the token has no time")
    if not begins - _JWT_LEEWAY_S <= at <= ends + _JWT_LEEWAY_S:
        raise NotAuthentic("the token is not good now: is the clock right?")


def _check_age(settings: Signature, request: IntakeRequest, params: Mapping[str, Any]) -> None:
    if settings.timestamp is None or not settings.max_age_s:
        return
    stated = str(params.get(settings.timestamp, ""))
    if not (stated.isascii() and stated.isdigit() and len(stated) <= 12):
        raise NotAuthentic("the time is missing or malformed")
    if abs(request.received_at.timestamp() - int(stated)) > settings.max_age_s:
        raise NotAuthentic("the callback is too old")


def _key(settings: Signature) -> bytes:
    return settings.secret.reveal().encode() if settings.secret else b""


def _compare(made: str, given: str) -> None:
    if not hmac.compare_digest(made.encode(), given.encode("utf-8", "surrogateescape")):
        raise NotAuthentic("the signature does not fit")
