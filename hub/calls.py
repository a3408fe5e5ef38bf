"""A fetcher as channels and connectors get it: ``hub.channel.Http``, with its owner's limits."""

from collections.abc import Mapping
from typing import Any

from hub.channel import HttpAnswer
from hub.fetch import Fetcher

__all__ = ["Calls"]


class Calls:
    """Makes calls with *fetcher*; *max_bytes* limits answers (None: as the fetcher does).

    A call may take *at_least_s*, whatever its caller allows, or just *exactly_s*.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        max_bytes: int | None = None,
        at_least_s: float = 0.0,
        exactly_s: float | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._at_least_s = at_least_s
        self._exactly_s = exactly_s

    async def __call__(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        timeout: float = 15.0,
    ) -> HttpAnswer:
        """Make one call; see :class:`hub.channel.Http`."""
        answer = await self._fetcher(
            method,
            url,
            params=params,
            headers=headers,
            json=json,
            form=form,
            data=data,
            files=files,
            timeout=max(timeout, self._at_least_s) if self._exactly_s is None else self._exactly_s,
            max_bytes=self._max_bytes,
        )
        return HttpAnswer(*answer)
