"""What happened to one message."""

from hub import trace as traces
from hub.web.problems import not_found
from hub.web.routes import Call, Nothing, RouteTable
from hub.web.shapes import own_id

table = RouteTable()


@table.add(
    "GET",
    "/v1/messages/{id}/trace",
    tag="Messages",
    scope="read",
    answer=traces.Trace,
    problems=(404,),
)
async def trace_message(call: Call[Nothing, Nothing]) -> traces.Trace:
    """Read everything that happened to a message.

    In both directions: the raw event (redacted), events, deliveries and their failed tries, the drafts
    of a reply, what the platform reported, and the HTTP exchanges.
    """
    found = await traces.trace(call.core.db, own_id("msg", call.path["id"]), call.queues)
    if found is None:
        raise not_found()
    return found
