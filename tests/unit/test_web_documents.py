"""The documents that the API shows of itself, and how what it knows is rendered."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from hub.destination import EVENT_TYPES
from hub.status import AccountStatus, DestinationStatus, ProcessStatus, StatusReport
from hub.status import render as render_status
from hub.trace import Entry, Trace
from hub.trace import render as render_trace
from hub.web.api import ROUTES
from hub.web.catalogue import EVENTS
from hub.web.openapi import asyncapi, event_schemas, openapi
from tests.webkit import raw, stage

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DOCUMENT: Any = json.loads(json.dumps(openapi(ROUTES)))


def test_the_openapi_document_is_valid() -> None:
    """By the specification's own schema."""
    openapi_spec_validator.validate(DOCUMENT)


def test_every_route_is_documented_and_nothing_else() -> None:
    """Method and path; each with a sentence of its own."""
    documented = {
        (method.upper(), path) for path, one in DOCUMENT["paths"].items() for method in one
    }
    assert documented == {(route.method, route.path) for route in ROUTES}
    summaries = [one["summary"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert all(summaries)
    assert len(set(summaries)) == len(summaries)


def test_operations_have_names_of_their_own() -> None:
    """So that clients can be generated."""
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names)


async def test_every_documented_route_is_served() -> None:
    """No path of the document is a 404 by itself."""
    async with stage() as made:
        served = {
            (route.method, route.resource.canonical)
            for route in made.web.admin.router.routes()
            if route.resource is not None
        }
    assert {(route.method, route.path) for route in made.web.routes} <= served


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(references(one) for one in node.values()))
    if isinstance(node, list):
        return set().union(*(references(one) for one in node))
    return set()


def test_the_asyncapi_document_hangs_together() -> None:
    """Every reference leads somewhere, and every event is there."""
    document = json.loads(json.dumps(asyncapi()))
    for reference in references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert {one["name"] for one in document["components"]["messages"].values()} == {
        event.name for event in EVENTS
    }


def test_every_event_that_a_destination_may_ask_for_is_described() -> None:
    """And no other."""
    assert {event.name for event in EVENTS} == EVENT_TYPES


@pytest.mark.parametrize("kind", sorted(event_schemas()))
def test_every_event_has_a_schema(kind: str) -> None:
    """Sound, and particular about the type."""
    schema = event_schemas()[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"type": "other", "timestamp": "x", "data": {}}, schema)


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    """And the policy would stop it."""
    async with stage() as made:
        ask = b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answers = [
            (await raw(made.port, ask % path)).decode()
            for path in (
                b"/v1/docs",
                b"/v1/docs/docs.css",
                b"/v1/docs/docs.js",
                b"/v1/docs/docs.svg",
            )
        ]
    for answer in answers:
        assert answer.startswith("HTTP/1.1 200")
        assert "default-src 'none'" in answer
        assert not re.search(r"(?:src|href)=\"https?:|\burl\(|@import|innerHTML", answer)


REPORT = StatusReport(
    at=AT,
    light="red",
    accounts=(
        AccountStatus(
            name="商店",
            channel="wechat",
            light="green",
            enabled=True,
            state="ok",
            last_message_at=AT - timedelta(minutes=5),
        ),
        AccountStatus(
            name="mailbox",
            channel="email",
            light="red",
            enabled=True,
            state="stopped",
            parked=2,
            advice="Do this.",
        ),
    ),
    destinations=(
        DestinationStatus(
            name="desk",
            type="webhook",
            light="yellow",
            enabled=True,
            breaker="open",
            waiting=1200,
        ),
    ),
    processes=(
        ProcessStatus(
            name="web@a",
            kind="web",
            version="1",
            started_at=AT,
            seen_at=AT,
            alive=True,
            settings_in_force=True,
        ),
    ),
    attachments_waiting=0,
    warnings=("Look here.",),
)


def test_status_stands_in_columns() -> None:
    """Also with Chinese names, which are twice as wide; advice stands below what it is about."""
    lines = render_status(REPORT).splitlines()
    assert lines[1].startswith("●  商店     wechat")
    assert lines[2].startswith("✗  mailbox  email")
    assert lines[3] == "   → Do this."
    assert "down" in lines[6]
    assert lines[-1] == "running: 1 web"


def test_a_trace_is_a_time_line() -> None:
    """When, what, and the facts below; what is not known is left out."""
    found = Trace(
        message_id="msg_1",
        conversation_id="cnv_1",
        account="shop",
        channel="wechat",
        direction="inbound",
        seq=1,
        queue="inbox",
        status=None,
        text="hello\nthere",
        entries=(
            Entry(
                at=AT, kind="filed", mood="good", summary="filed", facts={"a_b": 1, "error": None}
            ),
        ),
    )
    text = render_trace(found)
    assert "“hello there”" in text
    assert "03:04:05.000  ✓ filed\n" in text
    assert "a b: 1" in text
    assert "error" not in text
