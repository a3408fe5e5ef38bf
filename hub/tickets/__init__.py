"""Connected helpdesks: their connectors as one process runs them, and what is put into their tickets."""

from hub.tickets.desks import Desks, RunningDesk, desk_token
from hub.tickets.handing import hand_over
from hub.tickets.posting import Unsure

__all__ = ["Desks", "RunningDesk", "Unsure", "desk_token", "hand_over"]
