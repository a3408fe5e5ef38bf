"""Finds installed channels and destinations by entry point; built-ins come the same way."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from hub.channel import Channel
from hub.destination import Destination

__all__ = ["Installed", "channels", "destinations", "installed"]

CHANNELS = "hub.channels"
DESTINATIONS = "hub.destinations"


class Installed(NamedTuple):
    """An installed channel or destination: where it comes from, or why it does not load."""

    key: str
    package: str
    version: str
    value: Channel | Destination | None
    error: str | None


def _load(point: EntryPoint, kind: type[Channel] | type[Destination]) -> Installed:
    package = point.dist.name if point.dist else "?"
    version = point.dist.version if point.dist else "?"
    try:
        value: object = point.load()
        if not isinstance(value, Channel | Destination) or not isinstance(value, kind):
            raise TypeError(f"{point.value} is {type(value).__name__}, not {kind.__name__}")
        if value.key != point.name:
            raise ValueError(
                f"{point.value} calls itself {value.key!r}, its entry point {point.name!r}"
            )
    except Exception as error:  # a broken plug-in must not take the others down
        return Installed(point.name, package, version, None, f"{type(error).__name__}: {error}")
    return Installed(point.name, package, version, value, None)


@cache
def installed() -> tuple[Installed, ...]:
    """Everything that is installed, sound or not, by key."""
    found = [_load(point, Channel) for point in entry_points(group=CHANNELS)]
    found += [_load(point, Destination) for point in entry_points(group=DESTINATIONS)]
    return tuple(sorted(found, key=lambda one: one.key))


@cache
def channels() -> dict[str, Channel]:
    """The installed channels that load, by key."""
    return {one.key: one.value for one in installed() if isinstance(one.value, Channel)}


@cache
def destinations() -> dict[str, Destination]:
    """The installed kinds of destination that load, by key."""
    return {one.key: one.value for one in installed() if isinstance(one.value, Destination)}
