"""What the cases do not say: writing first, and what the hub itself found out."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters._onebot_link import event_of
from adapters.onebot import OneBotSettings
from hub.channel import Account
from hub.model import Address, InboundEvent, Message, Notice, Secret
from normalizers.onebot import GAP, HUB, OFFLINE, ONLINE, normalize, opens

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = OneBotSettings(self_id=10001000, access_token=Secret("t"), groups="all")
ACCOUNT: Account[Any] = Account("shop", "onebot", SETTINGS)
BASE = {"self_id": 10001000, "post_type": "message", "message_id": 12, "time": 1767323000}


@pytest.mark.parametrize(
    "to, where",
    [
        ("12345678", {"message_type": "private", "user_id": 12345678}),
        ("private:12345678", {"message_type": "private", "user_id": 12345678}),
        ("group:20002000", {"message_type": "group", "user_id": 1, "group_id": 20002000}),
    ],
)
def test_writing_first_opens_the_conversation_that_answers_come_to(
    to: str, where: dict[str, Any]
) -> None:
    """The same address and the same conversation as of a message from there."""
    fields = BASE | where | {"message": "hi"}
    event = event_of(msgspec.json.encode(fields), fields, NOW, "websocket")
    (said,) = normalize(event, ACCOUNT)
    assert isinstance(said, Message)
    home = said.group.address if said.group else said.sender.address
    assert opens(Address("onebot", "", to), ACCOUNT) == (home, said.conversation)


@pytest.mark.parametrize("kind", [GAP, OFFLINE, ONLINE])
def test_what_the_hub_found_out_is_a_notice_of_nobody(kind: str) -> None:
    """Only by its header: an implementation cannot say it."""
    body = msgspec.json.encode({"since": "yesterday", "until": "now", "reason": "none"})
    made = InboundEvent(
        dedupe_key="k", order_key="account", body=body, received_at=NOW, headers={HUB: kind}
    )
    (notice,) = normalize(made, ACCOUNT)
    assert isinstance(notice, Notice)
    assert notice.text.endswith("(from yesterday to now): none")
    assert notice.conversation is None
    (other,) = normalize(msgspec.structs.replace(made, headers={}), ACCOUNT)
    assert isinstance(other, Message)
    assert other.kind == "unsupported"
