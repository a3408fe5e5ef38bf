"""Connected helpdesks: their connectors as one process runs them, and what is put into their tickets."""

from hub.tickets.desks import Desks, RunningDesk, desk_token
from hub.tickets.handing import Unsure, hand_over

__all__ = ["Desks", "RunningDesk", "Unsure", "desk_token", "hand_over"]
