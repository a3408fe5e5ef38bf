"""Reads what WeChat pushes, XML or JSON, into plain fields; shared by the WeChat family."""

import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

import msgspec

from hub.model import Address
from normalizers._json_fields import cleaned

__all__ = ["identity", "integer", "listed", "number", "read_fields", "same_person", "text_of"]

Fields = Mapping[str, Any]

_MAX_DEPTH = 12
_MAX_KEY = 200


def read_fields(body: bytes) -> dict[str, Any] | None:
    """The fields of a push, names and nesting as the platform has them; None when it is unreadable.

    XML: an element that is repeated becomes a list, text is kept as it stands (the platform's blanks
    count). A document with a DTD is unreadable: the platform never sends one, attackers do.
    """
    try:
        text = body.decode("utf-8-sig")
        return _from_json(text) if text.lstrip()[:1] == "{" else _from_xml(text)
    except (ValueError, RecursionError, ElementTree.ParseError):
        return None


def _from_json(text: str) -> dict[str, Any] | None:
    decoded = msgspec.json.decode(text)
    return cleaned(decoded) if isinstance(decoded, dict) else None


class _WithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(f"document type {name!r}")


def _from_xml(text: str) -> dict[str, Any] | None:
    # A customer may write "<!DOCTYPE" in a message, so only the parser can tell; it is slower.
    parser = ElementTree.XMLParser(target=_WithoutDoctype()) if "<!DOCTYPE" in text else None  # noqa: S314
    root = ElementTree.fromstring(text.lstrip(), parser)  # noqa: S314
    fields = _children(root, 0)
    return fields if root.tag == "xml" and isinstance(fields, dict) else None


def _children(element: ElementTree.Element, depth: int) -> Any:
    if not len(element):
        return element.text or ""
    if depth > _MAX_DEPTH:
        return ""
    found: dict[str, Any] = {}
    for child in element:
        value = _children(child, depth + 1)
        if child.tag not in found:
            found[child.tag] = value
        elif isinstance(found[child.tag], list):
            found[child.tag].append(value)
        else:
            found[child.tag] = [found[child.tag], value]
    return found


def text_of(fields: Fields, name: str) -> str:
    """The field *name* as text; empty when it is absent or not a plain value.

    In JSON ``MsgId`` and ``CreateTime`` are numbers, in XML text.
    """
    value = fields.get(name)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)


def integer(text: str) -> int | None:
    """*text* as a whole number that is not negative, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def number(text: str) -> float | None:
    """*text* as a finite number, else None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if -1e15 < value < 1e15 else None


def listed(value: Any) -> list[Any]:
    """A node that may be absent, single or repeated, as a list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def identity(fields: Fields | None, body: bytes) -> str:
    """What makes a push the same push: sender and ``MsgId`` of a message, else the sha256 of *body*.

    ``MsgId`` alone is not unique between senders, and an event has none (its ``MsgID`` is that of
    our own send). The documented key of events, sender and second, is too coarse: two events of one
    second would be one.
    """
    if fields is not None and not text_of(fields, "MsgType").lower().endswith("event"):
        key = f"msg:{text_of(fields, 'FromUserName')}:{text_of(fields, 'MsgId')}"
        if not key.endswith(":") and len(key) <= _MAX_KEY and key.isprintable():
            return key
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def same_person(fields: Fields) -> tuple[Address, ...]:
    """The ``unionid``: one person has the same at every account of one subject (Open Platform account).

    It is there only where the subject has bound its accounts to one.

    Source: https://developers.weixin.qq.com/doc/subscription/guide/product/unionid.html
    """
    union = text_of(fields, "unionid").strip()
    return (Address("wechat_union", "", union),) if union else ()
