"""The platform's error answers, in the platform's words.

Source: https://developers.weixin.qq.com/doc/oplatform/developers/errCode/errCode.html
"""

import secrets
from collections.abc import Mapping

MESSAGES: Mapping[int, str] = {
    -1: "system error",
    0: "ok",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40005: "invalid file type",
    40006: "invalid meida size",  # sic: the platform's own spelling
    40007: "invalid media_id",
    40008: "invalid message type",
    40009: "invalid image size",
    40010: "invalid voice size",
    40011: "invalid video size",
    40012: "invalid thumb size",
    40013: "invalid appid",
    40037: "invalid template_id",
    40033: r"invalid charset. please check your request, if include \uxxxx will create fail!",
    40125: "invalid appsecret",
    40164: "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
    41001: "access_token missing",
    41005: "media data missing",
    42001: "access_token expired",
    43002: "require POST method",
    43004: "require subscribe",
    43101: "user refuse to accept the msg",
    44002: "empty post data",
    44004: "empty content",
    45002: "content size out of limit",
    45008: "article size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit mustslower retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45047: "out of response count limit",
    45072: "command in request not supported",
    45080: "no user message in the last 30 seconds",
    45081: "already typing",
    46004: "user not exist",
    47001: "data format error",
    47003: "argument invalid!",
    48001: "api unauthorized",
}


class PlatformError(Exception):
    """An answer with an ``errcode`` other than 0, in HTTP 200 as the platform does it."""

    def __init__(self, code: int, hint: str = "") -> None:
        super().__init__(f"{code} {hint}".strip())
        self.code = code
        self.hint = hint

    def answer(self, now: float) -> dict[str, object]:
        text = MESSAGES.get(self.code, "unknown error")
        hint = f" hint: [{self.hint}]" if self.hint else ""
        return {"errcode": self.code, "errmsg": f"{text}{hint} rid: {request_id(now)}"}


def request_id(now: float) -> str:
    """A ``rid`` as the platform appends it: time, and two random parts, in hex."""
    return f"{int(now):x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
