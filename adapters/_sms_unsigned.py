"""Doors of SMS providers that sign nothing: only what is hard to guess keeps strangers out."""

import hashlib
import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from hub.channel import IntakeRequest
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Secret
from hub.phones import is_region
from normalizers._sms import read_json
from outbound._sms_templates import SmsTemplate, template_mistakes

__all__ = ["MOST_ELEMENTS", "MainlandSettings", "Sources", "digest", "elements", "fields_of"]


MOST_ELEMENTS = 1000
"""Of one callback; providers push 100 at most."""


class MainlandSettings(Struct, frozen=True, kw_only=True):
    """What an account with a provider in mainland China needs besides its keys."""

    sign_name: Annotated[
        str, Meta(description="Registered signature that stands before each text, without 【】")
    ]
    templates: Annotated[
        dict[str, SmsTemplate], Meta(description="Approved templates by a name of yours")
    ] = {}
    fallback_template: Annotated[
        str | None, Meta(description="Template for replies that no other fits: it points elsewhere")
    ] = None
    extend_code: Annotated[
        str | None, Meta(description="Digits behind the sender's number in what we write first")
    ] = None
    lines: Annotated[
        tuple[str, ...],
        Meta(description="Extension codes that are conversations of their own (one for each team)"),
    ] = ()
    opt_out_words: Annotated[
        tuple[str, ...], Meta(description="Words that alone in a message mean: write no more")
    ] = ("TD", "T", "R", "退订")
    country: Annotated[str, Meta(description="Country of numbers without country code")] = "CN"
    sources: Annotated[
        tuple[str, ...],
        Meta(description="Networks that callbacks may come from, 203.0.113.0/24; empty: any"),
    ] = ()
    proxy: Annotated[str | None, Meta(description="HTTP proxy towards the platform")] = None
    intake_secret: Annotated[
        Secret | None,
        Meta(description="Secret segment of the callback's path: all that proves a callback"),
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        if not self.sign_name.strip() or any(one in self.sign_name for one in "【】"):
            yield "sign_name", f"found {self.sign_name!r}, wants the signature without 【】"
        for code in filter(None, (self.extend_code, *self.lines)):
            if not (code.isascii() and code.isdecimal()):
                yield "extend_code", f"found {code!r}, wants digits"
        if not is_region(self.country):
            yield "country", f"found {self.country!r}, wants a code such as CN"
        for source in self.sources:
            try:
                ipaddress.ip_network(source)
            except ValueError as error:
                yield (
                    "sources",
                    f"found {source!r}, wants a network such as 203.0.113.0/24: {error}",
                )
        yield from template_mistakes(self.templates, self.fallback_template)


class Sources:
    """The networks that callbacks may come from."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(one) for one in networks]

    def check(self, request: IntakeRequest) -> None:
        """Raises NotAuthentic when the caller's address, where it is known, is in none of them."""
        if not self._networks or request.remote is None:
            return
        try:
            address = ipaddress.ip_address(request.remote.partition("%")[0])
        except ValueError as error:
            raise NotAuthentic("the caller has no address") from error
        mapped = getattr(address, "ipv4_mapped", None) or address
        if not any(mapped in one for one in self._networks if one.version == mapped.version):
            raise NotAuthentic(f"{mapped} is not among sources")


def elements(request: IntakeRequest) -> list[bytes]:
    """The JSON objects that a POST brings, in a list or alone, each as it stands in the body.

    Raises:
        NotRecognised: it brings anything else.
    """
    if request.method != "POST":
        raise NotRecognised(f"method {request.method}")
    try:
        found = _cut(request.body)
        for one in found[: MOST_ELEMENTS + 1]:
            fields_of(one)
    except (ValueError, RecursionError) as error:
        raise NotRecognised("the body is not JSON of objects") from error
    if len(found) > MOST_ELEMENTS:
        raise NotRecognised(f"{len(found)} elements, at most {MOST_ELEMENTS}")
    return found


def _cut(body: bytes) -> list[bytes]:
    """The elements of a list, or the one that is none, as they stand; else as they can be read."""
    if body.lstrip()[:1] != b"[":
        return [body]
    try:
        return [bytes(one) for one in msgspec.json.decode(body, type=list[Raw])]
    except ValueError:
        return [json.dumps(one).encode() for one in read_json(body)]


def fields_of(element: bytes) -> Mapping[str, Any]:
    """The object *element*; raises ValueError when it is none."""
    fields = read_json(element)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields


def digest(*parts: str) -> str:
    """A key for what has no id of its own."""
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
