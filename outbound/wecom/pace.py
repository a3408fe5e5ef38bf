"""How often a member may be written to: the platform drops what is too much without a word.

30 a minute and 1000 an hour for each member.

Source: https://developer.work.weixin.qq.com/document/path/90236
"""

from collections import deque
from datetime import datetime, timedelta

from hub.errors import RateLimited

__all__ = ["MemberPace"]

LIMITS = ((30, timedelta(minutes=1)), (1000, timedelta(hours=1)))
_HOUR = timedelta(hours=1)
_MOST_MEMBERS = 50_000


class MemberPace:
    """Counts what each member was sent, in this process.

    The replies of a conversation are said by one process at a time, and it seldom changes; a process
    that takes over begins to count anew.
    """

    def __init__(self) -> None:
        self._sent: dict[str, deque[datetime]] = {}

    def take(self, member: str, now: datetime) -> None:
        """Count one message to *member*.

        Raises:
            RateLimited: the platform would drop it; nothing is counted.
        """
        if len(self._sent) > _MOST_MEMBERS:
            self._forget(now)
        sent = self._sent.setdefault(member.lower(), deque())
        while sent and sent[0] <= now - _HOUR:
            sent.popleft()
        for most, span in LIMITS:
            if len(sent) >= most and sent[-most] > now - span:
                wait = (sent[-most] + span - now).total_seconds()
                raise RateLimited(
                    f"{member} has had {most} messages in {_spoken(span)}; the platform would drop more",
                    external_code="member_pace",
                    retry_after=wait,
                )
        sent.append(now)

    def _forget(self, now: datetime) -> None:
        """Whoever has had nothing for an hour."""
        self._sent = {who: sent for who, sent in self._sent.items() if sent[-1] > now - _HOUR}


def _spoken(span: timedelta) -> str:
    return "a minute" if span <= timedelta(minutes=1) else "an hour"
