"""A WeChat official account to run at home: pushes, API, users with phones, faults."""

from sandbox.faults import Fault, FaultKind
from sandbox.wechat.crypto import BadEnvelope, Envelope, new_aes_key, new_token, signature_of
from sandbox.wechat.customers import Bubble, Customer
from sandbox.wechat.errors import PlatformError
from sandbox.wechat.messages import StampedAction, UserAction
from sandbox.wechat.push import SERVICE_FAULT, Mode, PushResult, SignedPush, UrlCheck
from sandbox.wechat.simulator import WeChatCredentials, WeChatSimulator

__all__ = [
    "SERVICE_FAULT",
    "BadEnvelope",
    "Bubble",
    "Customer",
    "Envelope",
    "Fault",
    "FaultKind",
    "Mode",
    "PlatformError",
    "PushResult",
    "SignedPush",
    "StampedAction",
    "UrlCheck",
    "UserAction",
    "WeChatCredentials",
    "WeChatSimulator",
    "new_aes_key",
    "new_token",
    "signature_of",
]
