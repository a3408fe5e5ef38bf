"""Puts the results of earlier calls where later ones name them."""

import re
from collections.abc import Mapping
from typing import Any

from hub.errors import Rejected

__all__ = ["filled"]

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_FILES = frozenset({"media_id", "thumb_media_id", "MediaId"})


def filled(body: Any, results: Mapping[str, Any]) -> Any:
    """*body* with the results of earlier calls where it names a file; texts stay as they are.

    Raises:
        Rejected: it names a file that was not uploaded.
    """
    if not isinstance(body, Mapping):
        return body
    return {
        name: _result(value, results) if name in _FILES else filled(value, results)
        for name, value in body.items()
    }


def _result(value: Any, results: Mapping[str, Any]) -> Any:
    found = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[1] not in results:
        raise Rejected(f"the upload {found[1]} has not been made")
    return results[found[1]]
