"""The core of the hub: knows what a channel is, and no channel by name."""

__version__ = "0.1.0"
