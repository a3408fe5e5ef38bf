"""A request: what is sent, and what is shown of it."""

import io
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

LARGE = 1 << 18
"""Bytes from which a body is sent in pieces."""


class Request:
    """One request, before it has a body that can be read only once."""

    def __init__(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        json: Any,
        form: Mapping[str, Any] | None,
        data: bytes | None,
        files: Mapping[str, tuple[str, bytes, str]] | None,
    ) -> None:
        self.method = method
        self.url = url
        self.params = params
        self.headers = dict(headers or {})
        self._form = form
        self._files = files
        self._data = data
        if json is not None:
            self._data = msgspec.json.encode(json)
            self.headers.setdefault("Content-Type", "application/json; charset=utf-8")

    @property
    def shown_url(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in (self.params or {}).items())
        return self.url + (("&" if "?" in self.url else "?") + query if query else "")

    @property
    def shown_body(self) -> Any:
        """Bytes, or a mapping for forms; of a file only what it is."""
        shown: dict[str, Any] = dict(self._form or {})
        for name, (filename, content, mime_type) in (self._files or {}).items():
            shown[name] = f"<{filename}, {mime_type}, {len(content)} bytes>"
        return shown or self._data or b""

    def content(self) -> Any:
        if self._files:
            return self._multipart(self._files)
        if self._form is not None:
            return aiohttp.FormData({name: str(value) for name, value in self._form.items()})
        if self._data is not None and len(self._data) > LARGE:
            return io.BytesIO(self._data)
        return self._data

    def _multipart(self, files: Mapping[str, tuple[str, bytes, str]]) -> aiohttp.FormData:
        # Unquoted names: platforms read raw UTF-8 as browsers send it, and not RFC 5987's percent form.
        body = aiohttp.FormData(quote_fields=False)
        for name, value in (self._form or {}).items():
            body.add_field(name, str(value))
        for name, (filename, content, mime_type) in files.items():
            body.add_field(
                name, io.BytesIO(content), filename=_safe_filename(filename), content_type=mime_type
            )
        return body


def _safe_filename(name: str) -> str:
    kept = "".join("_" if c in '\\/"' or ord(c) < 32 or ord(c) == 127 else c for c in name)
    return kept[-120:] or "file"
