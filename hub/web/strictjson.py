"""Reading JSON bodies and query strings strictly: what is not asked for is refused, by name."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from hub.text import clean
from hub.web.cursors import in_range
from hub.web.problems import Problem, invalid

__all__ = ["MAX_DEPTH", "read_json", "read_query"]

T = TypeVar("T", bound=Struct)

MAX_DEPTH = 32
_PLAIN = "application/json"
_EXACT = 2**53
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `(.*)`)?$", re.DOTALL)
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,99})")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def read_json(request: web.BaseRequest, body: bytes, kind: type[T]) -> T:
    """*body* as a *kind*.

    Raises:
        Problem: 415 for another content type, 400 for what is no JSON, 422 for a wrong field.
    """
    _check_type(request)
    try:
        value = msgspec.json.decode(body)
        if body.count(b":") != _count_fields(value):  # as many, and none can stand twice
            json.loads(body, object_pairs_hook=_without_repeats)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Problem(400, "not-json", f"the body is not JSON: {_short(error)}") from error
    value = _cleaned(value, MAX_DEPTH)
    try:
        made = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _mistake(str(error)) from error
    if unknown := tuple(_unknown(value, made, "")):
        raise invalid("unknown field", pointer=unknown[0], more=unknown[1:])
    return made


def _check_type(request: web.BaseRequest) -> None:
    if "Content-Encoding" not in request.headers and request.headers.get("Content-Type") == _PLAIN:
        return
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in ("utf-8", "utf8"):
        raise Problem(415, "not-json-type", "the Content-Type must be application/json, in UTF-8")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "encoded", "the body must not be compressed")


def _count_fields(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_fields, value.values()))
    return sum(map(_count_fields, value)) if isinstance(value, list) else 0


def _without_repeats(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field stands twice in an object")


def _short(error: Exception) -> str:
    return "too deep" if isinstance(error, RecursionError) else clean(str(error))[:200]


def _cleaned(value: Any, depth: int) -> Any:
    """*value* with what the database cannot hold replaced, and no deeper than *depth*.

    JSON knows one kind of number: 5.0 is an integer where one is wanted.
    """
    if depth == 0:
        raise Problem(400, "too-deep", f"the body is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {clean(name): _cleaned(item, depth - 1) for name, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def _unknown(value: Any, made: Any, pointer: str) -> Iterator[str]:
    """Where *value* has fields that *made*, which was read from it, does not know."""
    if isinstance(made, Struct) and isinstance(value, dict):
        known = _names(type(made))
        for name, item in value.items():
            if name not in known:
                yield f"{pointer}/{name}"
            else:
                yield from _unknown(item, getattr(made, known[name]), f"{pointer}/{name}")
    elif isinstance(made, list | tuple) and isinstance(value, list):
        for index, (item, one) in enumerate(zip(value, made, strict=False)):
            yield from _unknown(item, one, f"{pointer}/{index}")


@cache
def _names(kind: type[Struct]) -> Mapping[str, str]:
    """The fields of *kind*: the name in JSON → the attribute."""
    return {one.encode_name: one.name for one in _fields(kind)}


@cache
def _fields(kind: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of *kind*; to ask for them takes longer than to read a small body."""
    return msgspec.structs.fields(kind)


def _pointer(path: str) -> str:
    """msgspec's ``$.menu.choices[0]`` as the JSON pointer ``/menu/choices/0``."""
    return "".join(f"/{name or index}" for name, index in _STEP.findall(path))


def _mistake(text: str) -> Problem:
    if found := _UNKNOWN.match(text):
        return invalid("unknown field", pointer=f"{_pointer(found[2] or '$')}/{found[1]}")
    reason, _, path = text.partition(" - at `")
    return invalid(reason, pointer=_pointer(path.rstrip("`")) or "/")


def read_query(query: Mapping[str, str], kind: type[T]) -> T:
    """The query string as a *kind*.

    Raises:
        Problem: 422 for an unknown, repeated or wrong parameter.
    """
    values: dict[str, str] = {}
    known = _names(kind)
    for name, value in query.items():
        if name not in known:
            raise invalid("unknown parameter", parameter=clean(name)[:64])
        if name in values:
            raise invalid("given more than once", parameter=name)
        values[name] = clean(value)
    given = {}
    for one in _fields(kind):
        if one.encode_name in values:
            given[one.encode_name] = _parameter(one.encode_name, values[one.encode_name], one.type)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error), parameter="") from error


def _parameter(name: str, text: str, kind: Any) -> Any:
    """*text* as a *kind*; digits are a number where one is wanted, and never a time or null."""
    try:
        found = msgspec.convert(text, kind)
        if isinstance(found, datetime):
            in_range(found)
        return found
    except ValueError as error:  # msgspec's too
        mistake = invalid(str(error), parameter=name)
        if not _WHOLE.fullmatch(text):
            raise mistake from error
    try:
        return msgspec.convert(int(text), kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error), parameter=name) from error
