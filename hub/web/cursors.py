"""Opaque cursors: where a page of a list ended, and where a reader of the feed stands."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from hub.web.problems import invalid

__all__ = ["FeedCursor", "Place", "Recent", "in_range", "read_cursor", "show_cursor"]

T = TypeVar("T", bound=Struct)
Moment = Annotated[datetime, Meta(tz=True)]


class Place(Struct, frozen=True, array_like=True, tag="p"):
    """After (or before) the row *id*, a UUID in hex, or a number."""

    id: str


class Recent(Struct, frozen=True, array_like=True, tag="r"):
    """Before the row *id* (a UUID in hex) that changed *at*."""

    at: Moment
    id: str

    def __post_init__(self) -> None:
        in_range(self.at)


class FeedCursor(Struct, frozen=True, array_like=True, tag="f"):
    """After the event at (*xid*, *position*); nothing that was made before *until* comes after it."""

    xid: int
    position: int
    until: Moment

    def __post_init__(self) -> None:
        in_range(self.until)


def in_range(moment: datetime | None) -> None:
    """Raises ValueError for a time that no clock shows in UTC, such as the year 1 east of Greenwich."""
    try:
        if moment is not None:
            moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is out of range") from error


def show_cursor(cursor: Struct) -> str:
    """*cursor* as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).rstrip(b"=").decode("ascii")


def read_cursor(text: str, kind: type[T], parameter: str) -> T:
    """The cursor behind *text*.

    Raises:
        Problem: 422, it is none of ours or of another list.
    """
    try:
        data = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True
        )
        return msgspec.json.decode(data, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise invalid("is no cursor of this list", parameter=parameter) from error
