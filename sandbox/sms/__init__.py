"""SMS providers to run at home: their APIs, their callbacks with retries, phones, reports, faults.

Each speaks its provider's wire format and judges it with code of its own; ``platform.py`` holds what
they have in common.
"""

from sandbox.sms.aliyun import AliyunSimulator
from sandbox.sms.gateway import GatewaySimulator
from sandbox.sms.platform import Pushed, Reports, SmsPlatform
from sandbox.sms.tencent import TencentSimulator
from sandbox.sms.twilio import TwilioSimulator

__all__ = [
    "AliyunSimulator",
    "GatewaySimulator",
    "Pushed",
    "Reports",
    "SmsPlatform",
    "TencentSimulator",
    "TwilioSimulator",
]
