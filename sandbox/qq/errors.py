"""How the platform refuses a call.

Source: https://bot.q.qq.com/wiki/develop/api-v2/openapi/error/error.html
"""

import secrets
from typing import Any

__all__ = ["Refused"]

_SAID: dict[int, str] = {
    11241: "token错误",
    11244: "token过期或不存在",
    11298: "接口访问源IP不在白名单",
    11255: "url错误",
    22009: "消息发送超频",
    50006: "消息为空",
    304023: "push message is waiting for audit now",
    304080: "file_info无效",
    340069: "消息类型错误",
    40011000: "参数错误",
    40034005: "被动回复次数超限",
    40034024: "请求参数msg_id无效或越权",
    40034025: "请求参数event_id无效或越权",
    40034026: "msg_id已过期",
    40034027: "event_id已过期",
    40034029: "键盘参数错误",
    40034105: "主动消息失败，无权限",
    40054005: "消息被去重，请检查请求msgseq",
    40054007: "消息过长",
    40054013: "用户拒绝接收主动消息",
    100001: "请求过于频繁",
    100016: "appid或secret错误",
}


class Refused(Exception):
    """The platform's answer to a call that it does not take."""

    def __init__(self, code: int, *, status: int = 400, data: Any = None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.data = data

    def body(self) -> dict[str, Any]:
        """As JSON."""
        said = _SAID.get(self.code, "error")
        body = {"message": said, "code": self.code, "err_code": self.code}
        body["trace_id"] = secrets.token_hex(16)
        return body | ({"data": self.data} if self.data is not None else {})
