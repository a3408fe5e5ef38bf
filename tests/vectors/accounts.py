"""Accounts of the three channels, as the checks need them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from adapters.wechat import WeChatAdapter, WeChatSettings
from adapters.wechat_kefu import KefuSettings
from adapters.wecom import WeComAdapter, WeComSettings
from hub.channel import Account, IntakeRequest
from hub.model import Secret
from hub.testing import Workbench

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = "Zm9vYmFyYmF6cXV1eDAxMjM0NTY3ODlhYmNkZWZnaGk"
APP_ID, CORP_ID, TOKEN = "wx0123456789abcdef", "ww0123456789abcdef", "vectors"


def wechat(
    app_id: str = APP_ID, token: str = TOKEN, key: str | None = KEY, **rest: Any
) -> Account[Any]:
    settings = WeChatSettings(
        app_id=app_id,
        token=Secret(token),
        app_secret=Secret("s"),
        aes_key=Secret(key) if key else None,
        **rest,
    )
    return Account("shop", "wechat", settings)


def wecom(corp_id: str = CORP_ID, token: str = TOKEN, key: str = KEY) -> Account[Any]:
    settings = WeComSettings(
        corp_id=corp_id,
        agent_id=1000002,
        secret=Secret("s"),
        token=Secret(token),
        aes_key=Secret(key),
        receive_id=corp_id,
    )
    return Account("shop", "wecom", settings)


def kefu() -> Account[Any]:
    settings = KefuSettings(
        corp_id=CORP_ID, secret=Secret("s"), token=Secret(TOKEN), aes_key=Secret(KEY)
    )
    return Account("shop", "wechat_kefu", settings)


def adapter_of(case: dict[str, Any]) -> WeChatAdapter | WeComAdapter:
    """The door that a vector of cryptography knocks at."""
    token, key = case["token"], case.get("encoding_aes_key")
    if case["platform"] == "wecom":
        return WeComAdapter(
            wecom(case.get("receive_id", CORP_ID), token, key or KEY), bench().tools
        )
    return WeChatAdapter(wechat(case.get("receive_id", APP_ID), token, key), bench().tools)


def bench() -> Workbench:
    return Workbench()


def push(query: dict[str, str], body: bytes, method: str = "POST") -> IntakeRequest:
    return IntakeRequest(method, "/in/vectors", urlencode(query), {}, body, NOW)
