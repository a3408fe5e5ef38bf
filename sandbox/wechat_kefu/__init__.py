"""WeChat customer service to run at home: bells, feeds, sessions, phones, faults."""

from sandbox.wechat_kefu.desks import ENDED, HUBS, NOBODYS, QUEUED, SERVED, Desks
from sandbox.wechat_kefu.simulator import KefuSimulator

__all__ = ["ENDED", "HUBS", "NOBODYS", "QUEUED", "SERVED", "Desks", "KefuSimulator"]
