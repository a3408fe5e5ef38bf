"""SMS providers to run at home: their APIs, their callbacks with retries, phones, reports, faults.

Each speaks its provider's wire format and judges it with code of its own; ``platform.py`` holds what
they have in common.
"""

from sandbox.sms.platform import Pushed, Reports, SmsPlatform
from sandbox.sms.twilio import TwilioSimulator

__all__ = ["Pushed", "Reports", "SmsPlatform", "TwilioSimulator"]
