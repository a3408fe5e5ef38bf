"""Typed settings, from ``config/hub.toml`` and the environment.

A mistake is one line: file, key, what was found and what is allowed; all mistakes are told at once.
Any string may hold ``${NAME}`` (from the environment); a secret may also be ``file:/path``.
"""

from hub.settings.loading import ENVIRONMENT, channel_part, load
from hub.settings.reader import read_table
from hub.settings.shapes import (
    AccountCore,
    AccountPlan,
    ClosedTemplate,
    DestinationCore,
    DestinationPlan,
    HubSettings,
    QueueSettings,
    Route,
    Settings,
    WhenClosed,
)

__all__ = [
    "ENVIRONMENT",
    "AccountCore",
    "AccountPlan",
    "ClosedTemplate",
    "DestinationCore",
    "DestinationPlan",
    "HubSettings",
    "QueueSettings",
    "Route",
    "Settings",
    "WhenClosed",
    "channel_part",
    "load",
    "read_table",
]
