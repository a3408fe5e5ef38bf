"""Step 6, hear agents: from a connected helpdesk's tickets to replies and to the state of conversations.

Callbacks and the poller feed one table of seen agents' messages. Whoever holds a ticket's lease reads it
at the helpdesk, in its order, and handles each message once: the reply and the mark that it was made are
one transaction.
"""

from hub.agents.reading import AgentReply
from hub.agents.service import AgentService

__all__ = ["AgentReply", "AgentService"]
