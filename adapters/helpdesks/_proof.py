"""How helpdesks prove their callbacks, and what is none of theirs."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from hub.channel import IntakeRequest, NotAuthentic, NotRecognised
from hub.model import Secret
from outbound.helpdesks._requests import Algorithm, digest, encoded
from outbound.helpdesks._templates import fill_text, wrong_holes

__all__ = ["Proof", "proof_mistakes", "prove", "reading"]

_HOLES = frozenset({"body", "body_md5", "body_sha256", "nonce", "secret", "timestamp"})
_OVER_BODY = ("{body}", "{body_md5}", "{body_sha256}")


class Proof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.callback.signature]``: what proves a callback, over its raw bytes."""

    place: Annotated[str, Meta(description="Where it stands: header:X-Signature or query:checksum")]
    secret: Annotated[Secret, Meta(description="The signing secret")]
    previous_secrets: Annotated[
        tuple[Secret, ...], Meta(description="Secrets that also count while it is changed")
    ] = ()
    algorithm: Annotated[
        Algorithm, Meta(description="hmac-…: keyed with the secret; else over must hold {secret}")
    ] = "hmac-sha256"
    over: Annotated[
        str, Meta(description="What is hashed: {body} {body_md5} {timestamp} {nonce} {secret}")
    ] = "{body}"
    encoding: Annotated[
        Literal["hex", "base64"], Meta(description="How it is written; hex in either case")
    ] = "hex"
    prefix: Annotated[str, Meta(description="What stands before it, e.g. sha256=")] = ""
    timestamp: Annotated[
        str | None, Meta(description="Where the time stands: header:… or query:…")
    ] = None
    time_format: Annotated[
        Literal["unix", "unix_ms", "iso"], Meta(description="How the time is written")
    ] = "unix"
    max_age_s: Annotated[
        int, Meta(ge=1, description="An older callback is refused; longer than it is tried again")
    ] = 300
    nonce: Annotated[str | None, Meta(description="Where a random text stands")] = None

    @property
    def covers_body(self) -> bool:
        """Whether it says anything of what the callback says."""
        return any(hole in self.over for hole in _OVER_BODY)


@contextmanager
def reading(whose: str) -> Iterator[None]:
    """Raises NotRecognised for whatever a body that is none of theirs breaks."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotRecognised(f"not a callback of {whose}: {error!r}") from error


def prove(proof: Proof, request: IntakeRequest) -> None:
    """Raises NotAuthentic unless *request* is signed as it should be, and not too long ago."""
    given = _at(proof.place, request)
    if not given or not given.startswith(proof.prefix):
        raise NotAuthentic("the signature is missing")
    given = given.removeprefix(proof.prefix).strip()
    timestamp = _at(proof.timestamp, request) if proof.timestamp else ""
    values = {
        "timestamp": timestamp,
        "nonce": _at(proof.nonce, request) if proof.nonce else "",
        "body_md5": hashlib.md5(request.body, usedforsecurity=False).hexdigest(),
        "body_sha256": hashlib.sha256(request.body).hexdigest(),
    }
    made = [_digest(proof, secret, values, request.body) for secret in _secrets(proof)]
    text = given.lower() if proof.encoding == "hex" else given
    raw = text.encode("utf-8", "surrogateescape")
    if not any(hmac.compare_digest(one.encode(), raw) for one in made):
        raise NotAuthentic("the signature is another")
    if proof.timestamp is not None:
        _check_age(proof, timestamp, request.received_at)


def _secrets(proof: Proof) -> Iterator[bytes]:
    for one in (proof.secret, *proof.previous_secrets):
        yield one.reveal().encode()


def _digest(proof: Proof, secret: bytes, values: Mapping[str, str], body: bytes) -> str:
    """Pieces of text around the raw bytes of the body, which need not be UTF-8."""
    known = {**values, "secret": secret.decode()}
    pieces = (fill_text(piece, known).encode() for piece in proof.over.split("{body}"))
    return encoded(digest(proof.algorithm, body.join(pieces), secret), proof.encoding)


def _at(place: str, request: IntakeRequest) -> str:
    where, _, name = place.partition(":")
    if where == "query":
        return request.single(name) or ""
    return request.headers.get(name.lower(), "")


def _check_age(proof: Proof, text: str, now: datetime) -> None:
    try:
        if proof.time_format == "iso":
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        else:
            if not (text.isascii() and text.isdigit() and len(text) <= 16):
                raise ValueError(text)
            at = datetime.fromtimestamp(int(text) / (1000 if "ms" in proof.time_format else 1), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise NotAuthentic("the time is missing or malformed") from error
    if abs((now - at).total_seconds()) > proof.max_age_s:
        raise NotAuthentic("the callback is too old")


def proof_mistakes(proof: Proof) -> Iterator[tuple[str, str]]:
    """What cannot work: (setting, why)."""
    for setting in ("place", "timestamp", "nonce"):
        place = getattr(proof, setting)
        if place is not None and not place.startswith(("header:", "query:")):
            yield setting, f"found {place!r}, wants header:NAME or query:NAME"
    for wrong in wrong_holes(proof.over, _HOLES):
        yield "over", wrong
    if not proof.algorithm.startswith("hmac-") and "{secret}" not in proof.over:
        yield "over", "has no {secret}, so that anybody could sign"
    for setting in ("timestamp", "nonce"):
        if f"{{{setting}}}" in proof.over and getattr(proof, setting) is None:
            yield setting, "is missing; over has it"
    if proof.timestamp is not None and "{timestamp}" not in proof.over:
        yield "over", "has no {timestamp}, which anybody could then change"
    if not proof.secret:
        yield "secret", "is empty, so that anybody could sign"
