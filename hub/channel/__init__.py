"""The contract of a channel.

A channel is one record, :class:`Channel`, that ties three parts together: an adapter or listener (the
door), a normalizer (pure) and a sender. No base class, no string keys: a part is any object with the
right methods, built as ``Part(account, tools)``. Third parties import from here and below.
"""

from hub.channel.account import Account
from hub.channel.doors import (
    Adapter,
    AwaitReply,
    Bell,
    Connection,
    Emit,
    Intake,
    IntakeRequest,
    Listener,
    Response,
    Socket,
    Wake,
)
from hub.channel.parts import (
    Check,
    Checker,
    MediaSource,
    Normalizer,
    Reconciler,
    Restrained,
    Restraint,
    Sender,
    Typist,
)
from hub.channel.record import Capabilities, Channel, Maker, Opens
from hub.channel.tools import (
    Connect,
    Http,
    HttpAnswer,
    MediaStore,
    Question,
    Relay,
    Token,
    TokenStore,
    Tools,
)
from hub.channel.window import reply_state
from hub.errors import Closed, NotAuthentic, NotRecognised

__all__ = [
    "Account",
    "Adapter",
    "AwaitReply",
    "Bell",
    "Capabilities",
    "Channel",
    "Check",
    "Checker",
    "Closed",
    "Connect",
    "Connection",
    "Emit",
    "Http",
    "HttpAnswer",
    "Intake",
    "IntakeRequest",
    "Listener",
    "Maker",
    "MediaSource",
    "MediaStore",
    "Normalizer",
    "NotAuthentic",
    "NotRecognised",
    "Opens",
    "Question",
    "Reconciler",
    "Relay",
    "Response",
    "Restrained",
    "Restraint",
    "Sender",
    "Socket",
    "Token",
    "TokenStore",
    "Tools",
    "Typist",
    "Wake",
    "reply_state",
]
