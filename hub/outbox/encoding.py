"""JSON that PostgreSQL takes."""

from typing import Any

import msgspec

from hub.text import clean

__all__ = ["to_json"]


def to_json(value: object) -> str:
    """*value* as JSON, with NUL and lone surrogates shown as U+FFFD."""
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = ""
    if not text or "\\u0000" in text:
        text = msgspec.json.encode(_deep_clean(msgspec.to_builtins(value))).decode()
    return text


def _deep_clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_deep_clean(key): _deep_clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_deep_clean(item) for item in value]
    return value
