"""What a pulled item of WeChat customer service is made of; shared by its listener and normalizer."""

import hashlib
from collections.abc import Mapping
from typing import Any

from normalizers._wechat_fields import text_of

__all__ = ["customer_of", "desk_of", "item_key", "order_of"]

Fields = Mapping[str, Any]

_MAX_ID = 128


def _named(fields: Fields, name: str) -> str:
    """The id *name*, which an event carries inside ``event`` only."""
    happened = fields.get("event")
    inside = text_of(happened, name) if isinstance(happened, dict) else ""
    return (text_of(fields, name) or inside).strip()[:_MAX_ID]


def desk_of(fields: Fields) -> str:
    """The customer-service account (``open_kfid``); empty when the item does not say."""
    return _named(fields, "open_kfid")


def customer_of(fields: Fields) -> str:
    """The customer (``external_userid``); empty when the item is about none."""
    return _named(fields, "external_userid")


def item_key(fields: Fields | None, body: bytes) -> str:
    """What makes an item the same item: its ``msgid``, else the sha256 of *body*."""
    msgid = text_of(fields, "msgid").strip() if fields else ""
    if 0 < len(msgid) <= _MAX_ID and msgid.isprintable():
        return f"kf:{msgid}"
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def order_of(fields: Fields | None, desk: str) -> str:
    """What must stay in order: one customer at one desk; *desk* where the item names none."""
    if fields is None:
        return desk
    customer = customer_of(fields)
    return f"{desk_of(fields) or desk}:{customer}" if customer else desk_of(fields) or desk
