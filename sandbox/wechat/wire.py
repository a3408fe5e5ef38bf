"""WeChat's two data formats: its XML dialect, and JSON with the same names."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

Field: TypeAlias = "str | int | float | Mapping[str, Field] | Sequence[Field]"
Fields = Mapping[str, Field]
DataFormat = Literal["xml", "json"]

_FORBIDDEN_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class BadBody(Exception):
    """The body is not the XML or JSON that WeChat would understand."""


def render(fields: Fields, data_format: DataFormat) -> bytes:
    """The body of a push: numbers stand bare, texts in CDATA; a list repeats its element."""
    if data_format == "json":
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return f"<xml>{_elements(fields)}\n</xml>".encode()


def _elements(fields: Fields) -> str:
    return "\n".join(_element(name, value) for name, value in fields.items())


def _element(name: str, value: Field) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_element(name, one) for one in value)
    return f"<{name}>{_value(value)}</{name}>"


def parse(body: bytes, data_format: DataFormat) -> dict[str, str]:
    """The top-level fields of an answer, as text.

    A nested element (``<Image><MediaId>``) appears under the path
    ``Image/MediaId``; of repeated ones the first counts.

    Raises:
        BadBody: neither a flat JSON object nor an ``<xml>`` document.
    """
    return _parse_json(body) if data_format == "json" else _parse_xml(body)


def _value(value: Field) -> str:
    if isinstance(value, Mapping):
        return _elements(value)
    return _cdata(value) if isinstance(value, str) else str(value)


def _cdata(text: str) -> str:
    clean = _FORBIDDEN_IN_XML.sub("", text).replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{clean}]]>"


def _parse_xml(body: bytes) -> dict[str, str]:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise BadBody("a document type is not allowed")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - no document type: nothing to expand
    except ElementTree.ParseError as error:
        raise BadBody(str(error)) from error
    if root.tag != "xml":
        raise BadBody(f"the root is <{root.tag}>, not <xml>")
    fields: dict[str, str] = {}
    for element in root:
        fields.setdefault(element.tag, element.text or "")
        for path, child in _descendants(element, element.tag):
            fields.setdefault(path, child.text or "")
    return fields


def _descendants(element: ElementTree.Element, path: str) -> list[tuple[str, ElementTree.Element]]:
    found = []
    for child in element:
        child_path = f"{path}/{child.tag}"
        found.append((child_path, child))
        found.extend(_descendants(child, child_path))
    return found


def _parse_json(body: bytes) -> dict[str, str]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadBody(str(error)) from error
    if not isinstance(document, dict):
        raise BadBody("not a JSON object")
    fields: dict[str, object] = document
    return {name: _as_text(value) for name, value in fields.items()}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
