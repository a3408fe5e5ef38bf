"""OpenAPI 3.1 and AsyncAPI 3 documents, made from the table of routes and the catalogue of events."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import Struct

from hub import __version__
from hub.apitokens import SCOPES
from hub.ids import id_pattern
from hub.web.catalogue import EVENTS, EventKind
from hub.web.problems import ProblemDetails
from hub.web.routes import Nothing, Route

__all__ = ["asyncapi", "event_schemas", "openapi"]

_REF = "#/components/schemas/{name}"
_PREFIXES: Mapping[str, str] = {
    "attachments": "att",
    "contacts": "cnt",
    "conversations": "cnv",
    "deliveries": "dlv",
    "messages": "msg",
}
_PARAMETER = re.compile(r"{(\w+)}")
_REASONS: Mapping[int, str] = {
    400: "The body is not JSON, or broken",
    401: "No token, or none that is good",
    403: "The token lacks the scope",
    404: "Nothing of that id is here, or not for this token",
    408: "The body was too slow",
    409: "Not possible in this state",
    410: "Too old, or gone for good; for a feed, `oldest` is the cursor to go on from",
    412: "It has changed since `If-Match` was read",
    413: "Too large",
    415: "The content type is not the one that is wanted",
    422: "A field or parameter is unknown or wrong; `errors` says which",
    429: "Too many requests; see Retry-After",
    503: "Not now; see Retry-After",
}
_RETRY_AFTER: Mapping[str, Any] = {
    "description": "Seconds to wait",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}
_PACE_HEADERS: Mapping[str, Any] = {
    "RateLimit": {
        "description": 'What is left for this token: `"token";r=199;t=1`, all of it again in `t` seconds',
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": 'What a token has: `"token";q=200;w=2`, `q` requests in `w` seconds',
        "schema": {"type": "string"},
    },
}
_TAGS: Mapping[str, str] = {
    "Contacts": "People and groups; several addresses of one person.",
    "Queues": "Lines of work: what waits in each, pause and resume.",
    "Conversations": "One contact, group or mail thread with one account over time.",
    "Messages": "What was said; and saying something.",
    "Attachments": "Files that go with messages.",
    "Events": "What happened, to be pulled instead of (or beside) webhooks.",
    "Deliveries": "Events on their way to destinations, and the dead letters.",
    "Hub": "What is configured and installed, and how it is doing.",
    "Documents": "This description, for programs and for people; open to everyone.",
}
_ABOUT = """\
The hub stands between the platforms where customers write and your helpdesk. Events reach you by signed \
webhook (see `/v1/asyncapi.json`) or are pulled from the feed; replies go the other way through this API.

Send `Authorization: Bearer hub_live_…`, a token made by `hub token create`. A token has scopes and a list \
of queues; what belongs to other queues is not there for it. Errors are problem details (RFC 9457), lists \
have cursors, times are RFC 3339 in UTC, ids are opaque.\
"""


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _schemas(kinds: Sequence[Any], ref: str = _REF) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The schemas of *kinds*, and those of the structs that they refer to.

    Beyond what msgspec writes: times say that they are, and a struct's ``schema_extra`` is added.
    """
    found, components = msgspec.json.schema_components(kinds, ref_template=ref)
    for one in _structs(msgspec.inspect.multi_type_info(kinds)):
        schema = components[one.cls.__name__]
        for each in one.fields:
            if _holds_time(each.type):
                _mark_time(schema["properties"][each.encode_name])
        schema.update(getattr(one.cls, "schema_extra", {}))
    return list(found), components


def _structs(kinds: Iterable[Any]) -> Iterator[msgspec.inspect.StructType]:
    """The structs among *kinds* and below them, each once."""
    waiting, seen = list(kinds), set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, msgspec.inspect.StructType):
            if one.cls in seen:
                continue
            seen.add(one.cls)
            yield one
            waiting += [each.type for each in one.fields]
        elif isinstance(one, msgspec.inspect.Type):
            for inner in (getattr(one, name) for name in one.__struct_fields__):
                waiting += inner if isinstance(inner, tuple) else [inner]


def _holds_time(kind: msgspec.inspect.Type) -> bool:
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(map(_holds_time, kind.types))
    if isinstance(kind, msgspec.inspect.Metadata):
        return _holds_time(kind.type)
    return isinstance(kind, msgspec.inspect.DateTimeType)


def _mark_time(schema: dict[str, Any]) -> None:
    for one in [schema, *schema.get("anyOf", ())]:
        if one.get("type") == "string":
            one["format"] = "date-time"


@cache
def openapi(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The OpenAPI document of *routes*."""
    kinds: list[Any] = [ProblemDetails]
    for route in routes:
        kinds += [
            one for one in (route.body, route.answer) if _is_struct(one) and one is not Nothing
        ]
    _, components = _schemas(list(dict.fromkeys(kinds)))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    used = {route.tag for route in routes}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Messaging hub",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": n, "description": d} for n, d in _TAGS.items() if n in used],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "hub_live_…",
                    "description": f"Made by `hub token create`. Scopes: {', '.join(SCOPES)}; "
                    "`admin` includes the others.",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": route.description or route.summary + ".",
        "tags": [route.tag],
        "x-scope": route.scope,
        "security": [] if route.scope is None else [{"token": []}],
        "parameters": list(_parameters(route)),
        "responses": dict(_responses(route)),
    }
    if route.consumes:
        content = {one: {"schema": _file_schema(one)} for one in route.consumes}
        made["requestBody"] = {"required": True, "content": content}
    elif route.body is Nothing:
        made["requestBody"] = _json_body({"type": "object", "additionalProperties": False})
    elif route.body is not None:
        made["requestBody"] = _json_body({"$ref": _REF.format(name=route.body.__name__)})
    return made


def _file_schema(consumed: str) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    if not consumed.startswith("multipart/"):
        return binary
    return {
        "type": "object",
        "properties": {"file": binary},
        "required": ["file"],
        "additionalProperties": False,
    }


def _json_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in _PARAMETER.findall(route.path):
        schema: dict[str, Any] = {"type": "string"}
        if prefix := _PREFIXES.get(route.path.split("/")[2]) if name == "id" else None:
            schema["pattern"] = id_pattern(prefix)
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if route.query is not Nothing:
        _, components = _schemas([route.query])
        schema = components[route.query.__name__]
        for name, one in schema["properties"].items():
            yield _parameter(name, "query", one, required=name in schema.get("required", ()))
    if route.tagged and route.method == "GET":
        yield _parameter("If-None-Match", "header", {"type": "string"}, required=False)
    for name, kind in route.headers:
        yield _parameter(name, "header", msgspec.json.schema(kind), required=False)


def _parameter(
    name: str, place: str, schema: Mapping[str, Any], *, required: bool
) -> dict[str, Any]:
    """What is left out is not there: unlike in a body nothing can be null."""
    ways = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    shown = {name: one for name, one in schema.items() if name != "anyOf"}
    if shown.get("default", ...) is None:
        del shown["default"]
    if len(ways) == 1:
        shown |= ways[0]
    elif ways:
        shown["anyOf"] = ways
    about = shown.pop("description", "")
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": about,
        "schema": shown,
    }


def _responses(route: Route) -> Iterable[tuple[str, dict[str, Any]]]:
    answer: dict[str, Any] = {"description": route.summary}
    if route.status != 204:
        schema: dict[str, Any] = {"type": "string"}
        if _is_struct(route.answer):
            schema = {"$ref": _REF.format(name=route.answer.__name__)}
        elif route.answer is dict:
            schema = {"type": "object"}
        produced = get_args(route.answer) or (route.produces,)
        answer["content"] = {one: {"schema": schema} for one in produced}
    answer["headers"] = dict(_PACE_HEADERS) if route.scope is not None else {}
    if 300 <= route.status < 400:
        answer.pop("content")
        answer["headers"] |= {"Location": {"schema": {"type": "string"}}}
    if route.tagged:
        answer["headers"] |= {"ETag": {"schema": {"type": "string"}, "required": True}}
        if route.method == "GET":
            yield "304", {"description": "Not changed since `If-None-Match` was read"}
    yield str(route.status), answer
    statuses = set(route.problems) | {422, 503}
    if route.scope is not None:
        statuses |= {401, 403, 429}
    if route.body is not None:
        statuses |= {400, 413, 415}
    problem = {"$ref": _REF.format(name="ProblemDetails")}
    for status in sorted(statuses):
        content = {"application/problem+json": {"schema": problem}}
        told: dict[str, Any] = {"description": _REASONS[status], "content": content}
        if status == 429:
            told["headers"] = {"Retry-After": _RETRY_AFTER}
        yield str(status), told


# --- events -----------------------------------------------------------------------------------------


def _body_schema(event: EventKind) -> dict[str, Any]:
    """The schema of a webhook's body of that type."""
    return {
        "type": "object",
        "title": event.name,
        "description": event.description,
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": event.name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": _REF.format(name=event.data.__name__)},
        },
    }


@cache
def event_schemas() -> dict[str, Any]:
    """A JSON Schema of each event's body, by type; each stands alone."""
    made = {}
    for event in EVENTS:
        _, components = _schemas([event.data], "#/$defs/{name}")
        body = _body_schema(event)
        body["properties"]["data"] = {"$ref": f"#/$defs/{event.data.__name__}"}
        made[event.name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **body,
            "$defs": components,
        }
    return made


_HEADERS: Mapping[str, Any] = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {
            "type": "string",
            "description": "The same at each try and each replay: drop repeats by it",
        },
        "webhook-timestamp": {"type": "string", "description": "Unix seconds of this try"},
        "webhook-signature": {
            "type": "string",
            "description": "`v1,` and HMAC-SHA256 over `id.timestamp.body`; one per key during rotation",
        },
        "webhook-replayed": {"type": "string", "const": "true"},
        "traceparent": {
            "type": "string",
            "description": "W3C trace context: one trace id for all events of a message",
        },
    },
}


@cache
def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of the webhooks."""
    _, components = _schemas([event.data for event in EVENTS])
    names = {event.name: event.name.replace(".", "_") for event in EVENTS}
    channel = "#/channels/webhook"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Messaging hub: events",
            "version": __version__,
            "description": "Each event is an HTTP POST to your URL, signed as Standard Webhooks says. 2xx is "
            "success. In its lane (`data.order`) the next event comes only after the one before it.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhook": {
                "address": "{url}",
                "description": "The URL of a destination",
                "parameters": {"url": {"description": "As configured in [destinations.NAME]"}},
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in names.values()
                },
                "bindings": {"http": {}},
            }
        },
        "operations": {
            f"send_{name}": {
                "action": "send",
                "channel": {"$ref": channel},
                "messages": [{"$ref": f"{channel}/messages/{name}"}],
                "bindings": {"http": {"method": "POST"}},
            }
            for name in names.values()
        },
        "components": {
            "messages": {
                names[event.name]: {
                    "name": event.name,
                    "title": event.name,
                    "summary": event.description,
                    "contentType": "application/json",
                    "headers": _HEADERS,
                    "payload": _body_schema(event),
                }
                for event in EVENTS
            },
            "schemas": components,
        },
    }
