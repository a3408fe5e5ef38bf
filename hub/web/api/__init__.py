"""The handlers of ``/v1``, by what they are about; together they are the table of routes."""

from hub.web.api import (
    accounts,
    attachments,
    contacts,
    conversations,
    deliveries,
    documents,
    events,
    messages,
    openings,
    queues,
    tracing,
    writing,
)
from hub.web.routes import Route

__all__ = ["ROUTES"]

_MODULES = (
    conversations,
    contacts,
    messages,
    openings,
    tracing,
    writing,
    attachments,
    events,
    deliveries,
    queues,
    accounts,
    documents,
)

ROUTES: tuple[Route, ...] = tuple(route for module in _MODULES for route in module.table.routes)
