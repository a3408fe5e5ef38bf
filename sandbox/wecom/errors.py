"""The error answers of enterprise WeChat, in the platform's words.

Source: https://developer.work.weixin.qq.com/document/path/90313
"""

import secrets
from collections.abc import Mapping

from sandbox.wechat.errors import MESSAGES as COMMON
from sandbox.wechat.errors import PlatformError

__all__ = ["PlatformError", "answer_of"]

MESSAGES: Mapping[int, str] = {
    **COMMON,
    40001: "invalid credential",
    40003: "invalid userid",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40056: "invalid agentid",
    40058: "invalid parameter",
    40096: "invalid external userid",
    45009: "reach max api daily quota limit",
    45033: "api concurrent out of limit",
    48002: "api forbidden",
    60020: "not allow to access from your ip",
    81013: "user & party & tag all invalid",
    82001: "user & party & tag all empty",
    95000: "invalid open_kfid",
    95001: "send msg count limit",
    95002: "send msg time limit",
    95004: "open_kfid not in corp",
    95007: "invalid msg token",
    95008: "menu item count exceed limit",
    95013: "session is already end",
    95016: "invalid service state transition",
    95018: "send msg session status invalid",
    95033: "repeated msgid",
}


def answer_of(error: PlatformError) -> dict[str, object]:
    """The answer with ``errcode``, inside HTTP 200 as the platform does it."""
    text = MESSAGES.get(error.code, "unknown error")
    asked = f" {error.hint}" if error.hint else ""
    hint = f"{secrets.randbelow(10**10)}_{secrets.token_hex(8)}"
    more = f"more info at https://open.work.weixin.qq.com/devtool/query?e={error.code}"
    return {
        "errcode": error.code,
        "errmsg": f"{text}{asked}, hint: [{hint}], from ip: 127.0.0.1, {more}",
    }
