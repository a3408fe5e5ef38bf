"""The QQ bot platform to run at home: signed pushes, the gateway, the API with its rules, phones, faults."""

from sandbox.qq.chats import Chats
from sandbox.qq.push import PushResult
from sandbox.qq.simulator import QqCredentials, QqSimulator

__all__ = ["Chats", "PushResult", "QqCredentials", "QqSimulator"]
