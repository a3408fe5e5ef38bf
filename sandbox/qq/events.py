"""The events of the platform, as they come over the wire.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/event.html,
…/user/manage/event.html, …/group/manage/event.html, …/message/trans/msg-btn.html, …/message/audit.html
"""

import secrets
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

__all__ = ["Event", "attachment", "frame", "group_message", "private_message", "tap"]

Event = dict[str, Any]

_CHINA = timezone(timedelta(hours=8))


def frame(kind: str, data: Event, number: int) -> Event:
    """An event: its outer id is what an ``event_id`` names."""
    return {"id": f"{kind}:{uuid4()}", "op": 0, "s": number, "t": kind, "d": data}


def time_text(at: float) -> str:
    """Local time of the platform."""
    return datetime.fromtimestamp(at, _CHINA).isoformat(timespec="seconds")


def _message(own: str, content: str, at: float, more: Event) -> Event:
    quoted = more.pop("quoted", None)
    entries = [f"msg_idx=REFIDX_{own[9:25]}=="]
    if quoted:
        entries.insert(secrets.randbelow(2), f"ref_msg_idx={quoted}")
    return {
        "id": own,
        "content": content,
        "timestamp": time_text(at),
        "message_type": 103 if quoted else 0,
        "message_scene": {"source": "default", "ext": entries},
        **more,
    }


def private_message(openid: str, own: str, content: str, at: float, **more: Any) -> Event:
    """What a person writes to the bot alone."""
    author = {
        "id": openid,
        "user_openid": openid,
        "union_openid": "",
        "username": "",
        "bot": False,
    }
    return {**_message(own, content, at, more), "author": author}


def group_message(
    group: str, member: str, name: str, own: str, content: str, at: float, **more: Any
) -> Event:
    """What a member writes in a group; blanks stand where the bot was mentioned."""
    message = _message(own, content, at, more)
    message["message_scene"]["ext"].append(f"auth_token={secrets.token_hex(16)}")
    author = {
        "id": member,
        "member_openid": member,
        "member_role": "member",
        "username": name,
        "bot": False,
    }
    # group_id is what it was called at first; both are still sent.
    return {**message, "author": author, "group_openid": group, "group_id": group}


def tap(button: str, openid: str, at: float, **place: Any) -> Event:
    """A button is tapped; *place* says in which chat."""
    return {
        "id": str(uuid4()),
        "type": 11,
        "timestamp": time_text(at),
        "version": 1,
        "application_id": "1",
        "data": {
            "type": 11,
            "resolved": {"button_data": button, "button_id": "1", "user_id": openid},
        },
        **place,
    }


def attachment(url: str, kind: str, name: str, size: int) -> Event:
    """A file of a message, at an address that anybody can read."""
    return {"content_type": kind, "filename": name, "url": url, "size": size}
