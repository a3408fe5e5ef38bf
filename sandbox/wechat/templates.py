"""Template messages (模板消息) and subscribe messages (订阅通知), outside of every reply allowance.

Sources: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html
and …/doc/offiaccount/Subscription_Messages/api.html; the cut to 20 characters: developers' forum, 2023-05.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sandbox.journal import Clock
from sandbox.wechat.customers import Bubble, Customer, Customers
from sandbox.wechat.errors import PlatformError

FIELD_CHARACTERS = 20
REPEATS_DROPPED_SECONDS = 600

FIELD_LIMITS = {
    "thing": 20,
    "number": 32,
    "letter": 32,
    "symbol": 5,
    "character_string": 32,
    "phone_number": 17,
    "car_number": 8,
    "phrase": 5,
}
"""What a field of a subscribe message takes, by the kind that its name begins with; more is 47003."""

Kind = Literal["template", "subscribe"]


class Said(NamedTuple):
    """A message that was taken: its id, how it looks, and whether it is a repeat that was dropped."""

    message_id: int
    openid: str
    template_id: str
    bubble: Bubble | None


class Templates:
    """The templates of the account, the grants of its users, and what was sent by them."""

    def __init__(self, customers: Customers, clock: Clock) -> None:
        self.known: dict[str, Kind] = {}
        self._customers = customers
        self._clock = clock
        self._grants: Counter[tuple[str, str]] = Counter()
        self._sent: dict[tuple[str, str], tuple[float, int]] = {}
        self._number = 200_228_331

    def grant(self, openid: str, template_id: str) -> None:
        """The user accepts one message of the template."""
        self._grants[openid, template_id] += 1

    def send(self, asked: Mapping[str, Any]) -> Said:
        """``template/send``: every field on one line, cut to 20 characters without a word.

        Raises:
            PlatformError: 40003, 43004 not following, 40037 template, 47001.
        """
        customer, template_id, fields = self._read(asked, "template")
        if not customer.is_following:
            raise PlatformError(43004)
        own = str(asked.get("client_msg_id") or "")
        sent = self._sent.get((customer.openid, own)) if own else None
        if sent is not None and sent[0] + REPEATS_DROPPED_SECONDS > self._clock():
            return Said(sent[1], customer.openid, template_id, None)
        lines = [text.split("\n")[0][:FIELD_CHARACTERS] for text in fields.values()]
        said = self._show(customer, template_id, lines, asked)
        if own:
            self._sent[customer.openid, own] = (self._clock(), said.message_id)
        return said

    def send_subscribed(self, asked: Mapping[str, Any]) -> Said:
        """``subscribe/bizsend``: uses up one grant; a field that is too long is refused.

        Raises:
            PlatformError: 40003, 40037 template, 43101 no grant, 47003 field, 47001.
        """
        customer, template_id, fields = self._read(asked, "subscribe")
        if not self._grants[customer.openid, template_id]:
            raise PlatformError(43101)
        for name, text in fields.items():
            if len(text) > FIELD_LIMITS.get(re.sub(r"\d+$", "", name), len(text)):
                raise PlatformError(47003, f"argument invalid! data.{name}.value invalid")
        self._grants[customer.openid, template_id] -= 1
        return self._show(customer, template_id, list(fields.values()), asked)

    def _read(self, asked: Mapping[str, Any], kind: Kind) -> tuple[Customer, str, dict[str, str]]:
        customer = self._customers.get(asked.get("touser"))
        template_id = asked.get("template_id")
        if not isinstance(template_id, str) or self.known.get(template_id) != kind:
            raise PlatformError(40037)
        data = asked.get("data")
        if not isinstance(data, dict) or not all(isinstance(one, dict) for one in data.values()):
            raise PlatformError(47001, "data")
        return (
            customer,
            template_id,
            {name: str(one.get("value", "")) for name, one in data.items()},
        )

    def _show(
        self, customer: Customer, template_id: str, lines: list[str], asked: Mapping[str, Any]
    ) -> Said:
        self._number += 1
        leads = asked.get("miniprogram") or asked.get("url") or asked.get("page") or ""
        details = {"template_id": template_id, "leads_to": leads}
        text = "\n".join(lines)
        bubble = self._customers.show(customer.openid, "account", "template", text, details=details)
        return Said(self._number, customer.openid, template_id, bubble)
