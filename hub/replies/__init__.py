"""Step 5, reply: accept → compose → send → receipt.

A reply is stored with its drafts in one transaction (:func:`accept`). A worker's :class:`ReplyService`
claims the conversation's lane and says the drafts in order; the intent to make a call is on disk before
the socket is opened, and whoever lost the lane meanwhile writes nothing more.
"""

from hub.replies.accept import Accepted, accept
from hub.replies.choosing import choose
from hub.replies.errors import (
    AccountRemoved,
    Cancelled,
    Expired,
    HeldTooLong,
    Incomplete,
    InvalidReply,
    NotNow,
    UnknownMessage,
)
from hub.replies.pace import Pace
from hub.replies.passive import await_reply
from hub.replies.people import cancel, resend
from hub.replies.request import (
    AskedIn,
    AttachmentRequest,
    Author,
    ReplyRequest,
    RoutedReply,
    Via,
    plain,
)
from hub.replies.service import ReplyService
from hub.replies.together import Asked, Together, UnderKey

__all__ = [
    "Accepted",
    "AccountRemoved",
    "Asked",
    "AskedIn",
    "AttachmentRequest",
    "Author",
    "Cancelled",
    "Expired",
    "HeldTooLong",
    "Incomplete",
    "InvalidReply",
    "NotNow",
    "Pace",
    "ReplyRequest",
    "ReplyService",
    "RoutedReply",
    "Together",
    "UnderKey",
    "UnknownMessage",
    "Via",
    "accept",
    "await_reply",
    "cancel",
    "choose",
    "plain",
    "resend",
]
