"""Settings that all connectors have."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from hub.model import Secret

__all__ = ["DeskSettings", "OnReopen", "TimeZone", "wrong_time_zone"]

OnReopen = Annotated[
    Literal["same_ticket", "new_ticket"],
    Meta(description="What a customer who writes to a resolved conversation gets"),
]
TimeZone = Annotated[str, Meta(description="Time zone of its agents, e.g. Asia/Shanghai")]


class DeskSettings(Struct, frozen=True, kw_only=True):
    """What every helpdesk with an API has."""

    base_url: Annotated[
        str, Meta(description="Where the helpdesk is, e.g. https://desk.example.com")
    ]
    callback_secret: Annotated[
        Secret,
        Meta(description="Last part of the path that it calls; 16 or more of A-Z a-z 0-9 - _"),
    ]
    poll_s: Annotated[
        float,
        Meta(
            ge=1, le=3600, description="An active ticket is looked at so often without a callback"
        ),
    ] = 60.0
    on_reopen: OnReopen = "same_ticket"
    time_zone: TimeZone = "UTC"

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            yield "base_url", f"found {self.base_url!r}, wants an absolute http(s) URL"
        if "@" in parts.netloc:
            yield "base_url", "wants no user name in it"
        secret = self.callback_secret.reveal()
        plain = secret.replace("-", "").replace("_", "")
        if len(secret) < 16 or not (plain.isascii() and plain.isalnum()):
            yield (
                "callback_secret",
                "wants 16 or more of A-Z a-z 0-9 - _; make it: openssl rand -hex 16",
            )
        yield from wrong_time_zone(self.time_zone)


def wrong_time_zone(time_zone: str) -> Iterator[tuple[str, str]]:
    """Whether there is such a time zone."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield "time_zone", f"found {time_zone!r}, wants a name such as Asia/Shanghai"
