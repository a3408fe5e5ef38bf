"""One configured presence on a channel."""

from typing import Generic, TypeVar

from msgspec import Struct

AccountSettings = TypeVar("AccountSettings", bound=Struct, covariant=True)


class Account(Struct, Generic[AccountSettings], frozen=True):
    """One configured presence on a channel; *settings* is the channel's own typed record."""

    name: str
    channel: str
    settings: AccountSettings
