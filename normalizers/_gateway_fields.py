"""What the fields of a gateway's callback are called, by settings, and how they are read."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import parse_qsl

from msgspec import Meta, Struct, field

from hub.model import ReceiptStatus
from hub.text import at_path, clean
from normalizers._sms import read_json

__all__ = ["Inbound", "Reports", "items_in", "named", "time_in"]

_MOST_FIELDS = 1000
_STATES: Mapping[str, ReceiptStatus] = {
    "delivered": "delivered",
    "failed": "failed",
    "sent": "sent",
}
_LATEST = 4_102_444_800  # 2100-01-01


class Inbound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.inbound]``: what the fields of a message are called; dots lead into objects."""

    items: Annotated[
        str | None, Meta(description="Where a list of messages stands; without it there is one")
    ] = None
    id: Annotated[str | None, Meta(description="Its id, the same at each try")] = "id"
    sender: Annotated[str, Meta(description="The customer's number")] = "from"
    recipient: Annotated[str, Meta(description="Our number")] = "to"
    text: Annotated[str, Meta(description="What was written")] = "text"
    time: Annotated[str | None, Meta(description="When")] = None
    time_format: Annotated[
        str, Meta(description="unix, unix_ms, iso, or a form such as %Y-%m-%d %H:%M:%S")
    ] = "iso"
    utc_offset_hours: Annotated[
        float, Meta(ge=-14, le=14, description="Zone of a time that does not say it")
    ] = 0.0
    part_key: Annotated[
        str | None, Meta(description="What the parts of one long message have in common")
    ] = None
    part_number: Annotated[str | None, Meta(description="Which part it is, from 1")] = None
    part_total: Annotated[str | None, Meta(description="How many parts there are")] = None


class Reports(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.reports]``: what the fields of a delivery report are called."""

    items: Annotated[
        str | None, Meta(description="Where a list of reports stands; without it there is one")
    ] = None
    id: Annotated[str, Meta(description="The gateway's id of our message")] = "id"
    our_id: Annotated[str | None, Meta(description="The {id} that we sent along")] = None
    status: Annotated[str, Meta(description="Its state; a callback that has it is a report")] = (
        "status"
    )
    code: Annotated[str | None, Meta(description="Why it failed")] = None
    recipient: Annotated[str | None, Meta(description="The customer's number")] = None
    states: Annotated[
        dict[str, ReceiptStatus], Meta(description="What each state means; others are left")
    ] = field(default_factory=lambda: dict(_STATES))


def items_in(query: str, body: bytes, *paths: str | None) -> list[dict[str, Any]]:
    """The messages or reports of a callback: from the query, a form or JSON, a list or one.

    Raises:
        ValueError: the body cannot be read.
    """
    found = _fields(query, body)
    for path in filter(None, paths):
        listed = at_path(found, path)
        if isinstance(listed, list):
            return [one for one in listed if isinstance(one, dict)]
    if isinstance(found, list):
        return [one for one in found if isinstance(one, dict)]
    return [found]


def _fields(query: str, body: bytes) -> Any:
    if body.lstrip()[:1] in (b"{", b"["):
        found = read_json(body)
        if not isinstance(found, dict | list):
            raise ValueError("neither an object nor a list")
        return found
    text = body.decode("utf-8", "replace") if body else query
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    return dict(reversed(pairs))  # of several values the first counts


def named(fields: Mapping[str, Any], path: str | None) -> str:
    """The text at *path*; a number is written out, anything else is empty."""
    value = at_path(fields, path) if path else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return clean(str(value))


def time_in(settings: Inbound, text: str) -> datetime | None:
    """The time in *text*, in UTC; None when it is none."""
    try:
        if settings.time_format in ("unix", "unix_ms"):
            seconds = float(text) / (1000 if settings.time_format == "unix_ms" else 1)
            return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LATEST else None
        if settings.time_format == "iso":
            found = datetime.fromisoformat(text)
        else:
            found = datetime.strptime(text, settings.time_format)  # noqa: DTZ007 - the zone follows
    except (ValueError, OverflowError):
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=timezone(timedelta(hours=settings.utc_offset_hours)))
    return found.astimezone(UTC) if 2000 <= found.year < 2100 else None
