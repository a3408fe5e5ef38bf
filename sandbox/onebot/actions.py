"""The actions of an implementation, with NapCat's rules and words.

Sources: https://github.com/botuniverse/onebot-11 (api/public.md, api/hidden.md);
https://napneko.github.io/onebot/api
"""

import binascii
import mimetypes
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.files import File
from sandbox.journal import Journal
from sandbox.onebot.events import Events
from sandbox.onebot.people import Group, Refused, Said, World

__all__ = ["Actions"]

Params = Mapping[str, Any]
MAX_TEXT = 4500
MAX_FILE_BYTES = 100 << 20
_MEDIA = {"image": "image/png", "record": "audio/amr", "video": "video/mp4"}
_KNOWN = frozenset({"text", "face", "at", "reply", "json", "share", "location", "file", *_MEDIA})
_HISTORY = ("get_recent_contact", "get_friend_msg_history", "get_group_msg_history")


class Actions:
    """Does what is asked; every effect stands in the journal."""

    def __init__(
        self, world: World, events: Events, journal: Journal, url: Callable[[], str]
    ) -> None:
        """*url* is where files can be fetched."""
        self._world = world
        self._events = events
        self._journal = journal
        self._url = url
        self.tells_history = True
        self.gives_base64 = True
        self._table: dict[str, Callable[[Params], Any]] = {
            "send_private_msg": self._send_private,
            "send_group_msg": self._send_group,
            "send_msg": self._send,
            "upload_private_file": self._upload_private,
            "upload_group_file": self._upload_group,
            "delete_msg": self._delete,
            "get_msg": lambda params: self._events.message(world.get(params.get("message_id"))),
            "get_login_info": lambda _params: {"user_id": world.self_id, "nickname": "sandbox"},
            "get_status": lambda _params: {"online": True, "good": True},
            "get_version_info": self._version,
            "get_image": self._file,
            "get_record": self._file,
            "get_file": self._file,
            "get_group_file_url": self._file_url,
            "get_private_file_url": self._file_url,
            "get_recent_contact": self._recent,
            "get_friend_msg_history": self._friend_history,
            "get_group_msg_history": self._group_history,
            ".handle_quick_operation": self._quick,
        }

    def names(self) -> list[str]:
        """Every action there is."""
        gone = () if self.tells_history else _HISTORY
        return [name for name in self._table if name not in gone]

    def call(self, action: str, params: Params) -> Any:
        """Do *action*; what it answers as ``data``.

        Raises:
            Refused: it cannot be done.
        """
        name = action.removesuffix("_async").removesuffix("_rate_limited")
        if name not in self.names():
            raise Refused(1404, f"不支持的Api {action}")
        return self._table[name](params)

    def _version(self, _params: Params) -> Any:
        return {"app_name": "sandbox", "app_version": "1", "protocol_version": "v11"}

    # -- sending -------------------------------------------------------------------------------------

    def _send(self, params: Params) -> Any:
        kind = params.get("message_type") or ("group" if params.get("group_id") else "private")
        return self._send_group(params) if kind == "group" else self._send_private(params)

    def _send_private(self, params: Params) -> Any:
        user = self._user(params)
        return self._say(user, self._segments(params), is_group=False)

    def _send_group(self, params: Params) -> Any:
        return self._say(self._group(params).number, self._segments(params), is_group=True)

    def _say(self, peer: int, segments: Sequence[Mapping[str, Any]], *, is_group: bool) -> Any:
        said = self._world.say(self._world.self_id, peer, segments, is_group=is_group)
        text = "".join(one["data"]["text"] for one in segments if one["type"] == "text")
        quoted = [one["data"]["id"] for one in segments if one["type"] == "reply"]
        self._journal.write(
            "send", peer=peer, is_group=is_group, text=text, message_id=said.number, quoted=quoted
        )
        return {"message_id": said.number}

    def _user(self, params: Params) -> int:
        """Friends, and strangers through a group that both are in."""
        user = _number(params, "user_id")
        shared = self._world.groups.get(_number(params, "group_id", 0))
        if user not in self._world.friends and (shared is None or user not in shared.members):
            raise Refused(1200, "发送消息失败: 对方不是好友")
        return user

    def _group(self, params: Params) -> Group:
        group = self._world.groups.get(_number(params, "group_id"))
        if group is None:
            raise Refused(1200, f"群{params.get('group_id')}不存在")
        if group.is_muted:
            raise Refused(1200, "EventRet: 发送失败, 错误码: 120, 你已被禁言")
        return group

    def _segments(self, params: Params) -> list[Mapping[str, Any]]:
        message = params.get("message")
        if isinstance(message, str):
            if not params.get("auto_escape") and "[CQ:" in message:
                raise Refused(
                    1200, "the sandbox reads arrays; a CQ string of ours was made from text"
                )
            message = [{"type": "text", "data": {"text": message}}]
        listed = [message] if isinstance(message, Mapping) else message
        if not isinstance(listed, list) or not listed:
            raise Refused(1400, "message: 必须有内容")
        segments = [self._segment(one) for one in listed]
        length = sum(len(one["data"]["text"]) for one in segments if one["type"] == "text")
        if length > MAX_TEXT:
            raise Refused(1200, "消息过长")
        return segments

    def _segment(self, one: Any) -> Mapping[str, Any]:
        data = one.get("data") if isinstance(one, Mapping) else None
        if not isinstance(data, Mapping) or one.get("type") not in _KNOWN:
            raise Refused(1400, "message: 不是消息段")
        kind = one["type"]
        if kind == "text" and not isinstance(data.get("text"), str):
            raise Refused(1400, "text: 不是文本")
        if kind == "reply":
            self._world.get(data.get("id"))
        if kind in _MEDIA:
            return {"type": kind, "data": self._taken(data.get("file"), kind, _MEDIA[kind])}
        return {"type": kind, "data": dict(data)}

    def _taken(self, file: Any, name: str, mime_type: str) -> Mapping[str, Any]:
        """A file given as ``base64://``, stored; other ways would need a disk in common."""
        given = str(file or "")
        if not given.startswith("base64://"):
            raise Refused(1200, f"文件不存在: {given[:40]}")
        try:
            content = b64decode(given.removeprefix("base64://"), validate=True)
        except binascii.Error as error:
            raise Refused(1400, "base64 无法解码") from error
        if not content or len(content) > MAX_FILE_BYTES:
            raise Refused(1200, "文件大小不符")
        own = self._world.keep(File(name, mime_type, content))
        return {"file": name, "file_id": own, "file_size": str(len(content))}

    def _upload_private(self, params: Params) -> Any:
        return self._upload(self._user(params), params, is_group=False)

    def _upload_group(self, params: Params) -> Any:
        return self._upload(self._group(params).number, params, is_group=True)

    def _upload(self, peer: int, params: Params, *, is_group: bool) -> Any:
        name = str(params.get("name") or "")
        if not name:
            raise Refused(1400, "name: 必须有内容")
        mime_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        data = self._taken(params.get("file"), name, mime_type)
        self._say(peer, [{"type": "file", "data": data}], is_group=is_group)
        return {"file_id": data["file_id"]}

    def _delete(self, params: Params) -> Any:
        said = self._world.get(params.get("message_id"))
        self._journal.write("delete", message_id=said.number)

    # -- asking --------------------------------------------------------------------------------------

    def _file(self, params: Params) -> Any:
        own = str(params.get("file_id") or params.get("file") or "")
        file = self._world.files.get(own)
        if file is None:
            raise Refused(1200, "file not found")
        facts = {"file": f"/app/.config/QQ/{own}", "file_name": file.filename}
        facts["file_size"] = str(len(file.content))
        if self.gives_base64:
            facts["base64"] = b64encode(file.content).decode()
        return facts

    def _file_url(self, params: Params) -> Any:
        own = str(params.get("file_id") or "")
        if own not in self._world.files:
            raise Refused(1200, "file not found")
        return {"url": f"{self._url()}/files/{own}"}

    def _recent(self, params: Params) -> Any:
        recent = self._world.recent(_number(params, "count", 10))
        return [
            {
                "lastestMsg": self._events.message(one),
                "peerUin": str(one.peer),
                "msgTime": str(one.at),
                "chatType": 2 if one.is_group else 1,
                "msgId": f"74{one.number:017}",
            }
            for one in recent
        ]

    def _friend_history(self, params: Params) -> Any:
        return self._told(_number(params, "user_id"), params, is_group=False)

    def _group_history(self, params: Params) -> Any:
        return self._told(_number(params, "group_id"), params, is_group=True)

    def _told(self, peer: int, params: Params, *, is_group: bool) -> Any:
        found: Sequence[Said] = self._world.told(
            peer, _number(params, "count", 20), is_group=is_group
        )
        return {"messages": [self._events.message(one) for one in found]}

    # -- quick operations ----------------------------------------------------------------------------

    def _quick(self, params: Params) -> Any:
        self.operate(params.get("context") or {}, params.get("operation") or {})

    def operate(self, event: Mapping[str, Any], operation: Mapping[str, Any]) -> None:
        """What an answer to an event asks for is done at once, whether it was meant or not."""
        meant = {name: value for name, value in operation.items() if value is not None}
        self._journal.write("quick_operation", operation=meant)
        if reply := meant.get("reply"):
            self._send({**event, "message": reply})


def _number(params: Params, name: str, default: int | None = None) -> int:
    value = params.get(name, default)
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdigit():
        raise Refused(1400, f"{name}: 不是数字")
    return int(str(value))
