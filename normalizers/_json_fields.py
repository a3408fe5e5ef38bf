"""Reads a JSON object that anybody may have written into plain, bounded fields."""

from typing import Any

import msgspec

from hub.text import clean

__all__ = ["cleaned", "read_object"]

_MAX_DEPTH = 12
_MAX_INTEGER = 1 << 63


def read_object(body: bytes) -> dict[str, Any] | None:
    """The object in *body*, such as a database can hold it; None when it is none."""
    try:
        decoded = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return cleaned(decoded) if isinstance(decoded, dict) else None


def cleaned(value: Any, depth: int = 0) -> Any:
    """*value* without what PostgreSQL or JSON refuse, and no deeper than they need be."""
    if isinstance(value, str):
        return clean(value)
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {clean(str(name)): cleaned(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [cleaned(item, depth + 1) for item in value]
    if isinstance(value, int) and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return "[number out of range]"
    return value
