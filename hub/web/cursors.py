"""Opaque cursors: where a page of a list ended, and where a reader of the feed stands."""

import base64
import binascii
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

from hub.web.problems import invalid

__all__ = ["FeedCursor", "Place", "Recent", "read_cursor", "show_cursor"]

T = TypeVar("T", bound=Struct)


class Place(Struct, frozen=True, array_like=True, tag="p"):
    """After (or before) the row *id*, a UUID in hex, or a number."""

    id: str


class Recent(Struct, frozen=True, array_like=True, tag="r"):
    """Before the row *id* (a UUID in hex) that changed *at*."""

    at: datetime
    id: str


class FeedCursor(Struct, frozen=True, array_like=True, tag="f"):
    """After the event at (*xid*, *position*); *made_at* is when the cursor was given out."""

    xid: int
    position: int
    made_at: datetime


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
