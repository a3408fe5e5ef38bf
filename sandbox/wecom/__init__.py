"""A self-built app of enterprise WeChat to run at home: pushes, API, members with phones, faults."""

from sandbox.wecom.push import CorpCredentials, CorpPushBuilder
from sandbox.wecom.simulator import WeComSimulator

__all__ = ["CorpCredentials", "CorpPushBuilder", "WeComSimulator"]
