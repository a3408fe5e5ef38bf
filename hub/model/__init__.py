"""The values that travel through the hub; the words are those of the glossary.

All of them are frozen. Times are aware UTC datetimes. What only the core can know (ids, ``seq``,
queue) is None until the core has filed the message.
"""

from hub.model.drafts import Allowance, Draft, Quota, Spoken
from hub.model.incoming import (
    Attachment,
    AttachmentState,
    Checkpoint,
    Choice,
    Ignored,
    InboundEvent,
    Location,
    Message,
    MessageKind,
    Notice,
    Part,
    Receipt,
    ReceiptStatus,
    ReplyState,
    Result,
)
from hub.model.people import Address, ConversationRef, Group, Participant
from hub.model.public import public_json
from hub.model.reply import Link, Menu, MenuChoice, MiniProgram, Reply, ReplyAttachment, Template
from hub.model.secret import Secret

__all__ = [
    "Address",
    "Allowance",
    "Attachment",
    "AttachmentState",
    "Checkpoint",
    "Choice",
    "ConversationRef",
    "Draft",
    "Group",
    "Ignored",
    "InboundEvent",
    "Link",
    "Location",
    "Menu",
    "MenuChoice",
    "Message",
    "MessageKind",
    "MiniProgram",
    "Notice",
    "Part",
    "Participant",
    "Quota",
    "Receipt",
    "ReceiptStatus",
    "Reply",
    "ReplyAttachment",
    "ReplyState",
    "Result",
    "Secret",
    "Spoken",
    "Template",
    "public_json",
]
