"""Who a follower of an official account is, as ``user/info/batchget`` tells it.

Names and pictures are empty there since 2021-12-27; what counts is the ``unionid``.

Source: https://developers.weixin.qq.com/doc/offiaccount/User_Management/Get_users_basic_information_UnionID.html
"""

from typing import Any

from hub.channel import Account
from hub.model import Address, ConversationRef, Ignored, InboundEvent, Notice, Participant
from normalizers._wechat_fields import read_fields, same_person, text_of

__all__ = ["PROOF", "profile_of"]

PROOF = "user/info"
"""What proves an event of this kind: the hub itself has asked."""

_MAX_ID = 200


def profile_of(event: InboundEvent, account: Account[Any]) -> Notice | Ignored:
    """The notice of one profile; ignored when it names nobody."""
    fields = read_fields(event.body) or {}
    openid = text_of(fields, "openid").strip()[:_MAX_ID]
    same = same_person(fields)
    if not openid or not same:
        return Ignored("a profile that tells of no other address")
    app_id: str = account.settings.app_id
    return Notice(
        channel=account.channel,
        account=account.name,
        kind="customer_profile",
        text="[customer profile]",
        sender=Participant("contact", Address("wechat", app_id, openid)),
        conversation=ConversationRef(thread_key=openid),
        dedupe_key=event.dedupe_key,
        sent_at=event.received_at,
        received_at=event.received_at,
        same_as=same,
        extra={name: value for name, value in fields.items() if name != "openid"},
    )
