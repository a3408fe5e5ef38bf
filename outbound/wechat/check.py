"""``hub check`` for an official account: does it work, and what to paste where."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from hub.channel import Account, Check, Tools
from hub.errors import SendError
from outbound._calls import callback_check
from outbound.wechat.api import Api, Call

__all__ = ["WeChatChecker"]

_WHERE = "设置与开发 → 基本配置 → 服务器配置"
_MODES = {"safe": "安全模式", "compatible": "兼容模式", "plain": "明文模式"}
_NO_RIGHT = "48001"


class WeChatChecker:
    """Tries the credentials and the account's rights, and says what to paste into the console."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._settings = account.settings
        self._api = Api(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        yield self._callback(public_url)
        yield self._secrets()
        yield self._mode()
        credentials = await self._credentials()
        yield credentials
        if credentials.ok:
            yield await self._right_to_send()
            if public_url and (network := await self._network()):
                yield network

    def _callback(self, public_url: str | None) -> Check:
        advice = f"paste it under {_WHERE} → URL"
        takes = "port 80 or 443 only"
        return callback_check(self._account, public_url, advice, takes, _port_is_usual)

    def _secrets(self) -> Check:
        """Their lengths only: what is wrong in form is a mistake of the settings, told at the start."""
        token, key = self._settings.token.reveal(), self._settings.aes_key
        detail = f"Token of {len(token)} characters"
        if key is not None:
            detail += f", EncodingAESKey of {len(key.reveal())}"
        advice = (
            f"paste the same two under {_WHERE} → 令牌 (Token), 消息加解密密钥 (EncodingAESKey)"
        )
        return Check(True, "token and key", detail, advice)

    def _mode(self) -> Check:
        mode = self._settings.mode
        advice = f"choose {_MODES[mode]} under {_WHERE} → 消息加解密方式"
        if mode != "safe":
            advice = "choose 安全模式 in the console and mode = 'safe' here"
        return Check(mode != "plain", "encryption", f"mode {mode}", advice)

    async def _credentials(self) -> Check:
        name = "app id and secret"
        try:
            await self._api.fetch_token()
        except SendError as error:
            detail = f"{error.sentence} {error.detail}"
            return Check(False, name, detail, error.advice or "see docs/channels/wechat.md")
        known = f"{self._settings.app_id} {self._settings.original_id or ''}".strip()
        return Check(True, name, f"the platform gives a token for {known}")

    async def _right_to_send(self) -> Check:
        """By a call that reads only: the list of the agents in the platform's own tool."""
        name, passive = "customer-service messages", self._settings.passive
        try:
            await self._ask(Call("GET", "customservice/getkflist", {}, None))
        except SendError as error:
            if error.external_code != _NO_RIGHT:
                told = f"not known: {error.sentence} {error.detail}"
                return Check(True, name, told, error.advice)
            if passive:
                return Check(True, name, "none (48001); replies go into answers (passive = true)")
            return Check(False, name, f"none: {error.detail}", error.advice)
        if passive:
            advice = "passive = true is not needed: replies could go out at any time in the window"
            return Check(True, name, "the account has the right", advice)
        return Check(True, name, "the account has the right")

    async def _network(self) -> Check | None:
        """What the platform says of its way to the callback; None when it does not say.

        Source: https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/Network_Detection.html
        """
        asked = {"action": "all", "check_operator": "DEFAULT"}
        try:
            facts = await self._ask(Call("POST", "callback/check", {}, asked))
        except SendError:
            return None
        probes = [one for one in facts.get("ping") or () if isinstance(one, dict)]
        lost = [one for one in probes if str(one.get("package_loss")) == "100%"]
        shown = ", ".join(f"{one.get('ip')} lost {one.get('package_loss')}" for one in probes)
        advice = "let the platform's addresses through (getcallbackip lists them)" if lost else None
        all_lost = bool(probes) and len(lost) == len(probes)
        return Check(not all_lost, "from the platform to the callback", shown or "no probe", advice)

    async def _ask(self, call: Call) -> Mapping[str, Any]:
        url = call.url(self._api.base)
        return await self._api.call(call.method, url, json=call.json, speaks=False)


def _port_is_usual(url: str) -> bool:
    return bool(re.fullmatch(r"(?:http://[^/:]+(?::80)?|https://[^/:]+(?::443)?)/.*", url))
