"""A OneBot v11 implementation on this machine."""

from sandbox.onebot.people import Group, Refused, Said, World
from sandbox.onebot.simulator import OneBotCredentials, OneBotSimulator

__all__ = ["Group", "OneBotCredentials", "OneBotSimulator", "Refused", "Said", "World"]
