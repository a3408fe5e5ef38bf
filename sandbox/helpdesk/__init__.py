"""A small demo helpdesk: webhooks in, replies out, and a page to see both sides."""

from sandbox.helpdesk.desk import Helpdesk
from sandbox.helpdesk.faults import DeskFault, Misbehaviour
from sandbox.helpdesk.hub_client import HubClient, HubError
from sandbox.helpdesk.inbox import Conversation, Inbox
from sandbox.helpdesk.order import OrderKeeper
from sandbox.helpdesk.pages import HelpdeskSite
from sandbox.helpdesk.phone import PEOPLE, Phone
from sandbox.helpdesk.webhooks import Refused, Verifier, Webhook, new_webhook_secret, sign

__all__ = [
    "PEOPLE",
    "Conversation",
    "DeskFault",
    "Helpdesk",
    "HelpdeskSite",
    "HubClient",
    "HubError",
    "Inbox",
    "Misbehaviour",
    "OrderKeeper",
    "Phone",
    "Refused",
    "Verifier",
    "Webhook",
    "new_webhook_secret",
    "sign",
]
