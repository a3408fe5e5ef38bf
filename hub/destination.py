"""The contract of a helpdesk: how events reach it.

A destination is one record, :class:`Destination`. Its courier turns an event into one HTTP call; the
core owns order, retries, the breaker and the dead letters.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

__all__ = ["Courier", "Destination", "Event", "OutCall", "Target"]


class Event(Struct, frozen=True, kw_only=True):
    """An event as it leaves: *body* is frozen when the event is made, so a repeat is identical."""

    id: str
    type: str
    body: bytes
    replayed: bool = False


class OutCall(Struct, frozen=True, kw_only=True):
    """One signed request."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


class Target(Struct, frozen=True):
    """One configured destination; *settings* is the kind's own typed record."""

    name: str
    kind: str
    settings: Any


class Courier(Protocol):
    """Makes the request for an event. Pure but for the clock that it is handed."""

    def request(self, event: Event, now: datetime) -> OutCall:
        """The signed request that carries *event*."""
        ...


class CourierMaker(Protocol):
    """Builds the courier of one configured destination."""

    def __call__(self, target: Target, /) -> Courier: ...


class Destination(Struct, frozen=True, kw_only=True):
    """What a kind of helpdesk is."""

    key: str
    title: str
    settings: type[Struct]
    courier: CourierMaker
    docs_url: str = ""
