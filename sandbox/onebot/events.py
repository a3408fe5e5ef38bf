"""Events as an implementation makes them.

Source: https://github.com/botuniverse/onebot-11 (event/*.md); further fields as NapCat has them
"""

from typing import Any, Literal

from sandbox.onebot.people import Said, World
from sandbox.onebot.wire import cq_string

__all__ = ["Events"]

Event = dict[str, Any]


class Events:
    """Makes events; *format* is how messages are written, which every account can set."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.format: Literal["array", "string"] = "array"

    def _common(self, post_type: str, at: int | None = None) -> Event:
        when = int(self._world.clock()) if at is None else at
        return {"time": when, "self_id": self._world.self_id, "post_type": post_type}

    def message(self, said: Said) -> Event:
        """What somebody said, or what the account itself did (``message_sent``)."""
        world = self._world
        own = said.user_id == world.self_id
        text = cq_string(said.segments)
        event = self._common("message_sent" if own else "message", said.at) | {
            "message_type": "group" if said.is_group else "private",
            "sub_type": "normal" if said.is_group else "friend",
            "message_id": said.number,
            "message_seq": said.number,
            "user_id": said.user_id,
            "message": [dict(one) for one in said.segments] if self.format == "array" else text,
            "message_format": self.format,
            "raw_message": text,
            "font": 14,
            "sender": {"user_id": said.user_id, "nickname": world.name_of(said.user_id)},
        }
        if said.is_group:
            group = world.groups[said.peer]
            more = {"group_id": said.peer, "group_name": group.name, "anonymous": None}
            card = group.members.get(said.user_id, "")
            event |= more
            event["sender"] |= {"card": card, "role": "member", "level": "1", "title": ""}
        elif said.user_id not in world.friends and not own:
            shared = next((g.number for g in world.groups.values() if said.user_id in g.members), 0)
            event["sub_type"] = "group"
            event["sender"]["group_id"] = shared
        return event

    def notice(self, kind: str, **fields: Any) -> Event:
        return self._common("notice") | {"notice_type": kind} | fields

    def request(self, kind: str, **fields: Any) -> Event:
        return self._common("request") | {"request_type": kind} | fields

    def lifecycle(self, kind: str) -> Event:
        return self._common("meta_event") | {"meta_event_type": "lifecycle", "sub_type": kind}

    def heartbeat(self, interval_s: float, *, online: bool) -> Event:
        return self._common("meta_event") | {
            "meta_event_type": "heartbeat",
            "status": {"online": online, "good": True},
            "interval": int(interval_s * 1000),
        }
