"""schemathesis reads the served OpenAPI document and tries to catch the live API breaking it.

Among what it checks: no 5xx; only documented status codes, content types and shapes; what the document
forbids is refused and what it allows is not; a token is really asked for; other methods are a 405.

The long form, with a seed and as many cases for each operation as wanted:
``HUB_CONTRACT_SEED=7 HUB_CONTRACT_EXAMPLES=500 ./hubctl test tests/acceptance/test_openapi_contract.py``
"""

import asyncio
import copy
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hub.destination import EVENT_TYPES
from hub.web.api import documents
from hub.web.openapi import openapi
from hub.web.routes import Route
from tests.apikit import Api, api

EXAMPLES = int(os.environ.get("HUB_CONTRACT_EXAMPLES", "12"))
SEED = os.environ.get("HUB_CONTRACT_SEED")

STREAM = "/v1/events/stream"  # has no end; tests/integration/test_api_events.py reads it


def config(routes: Iterable[Route], known: Mapping[str, Sequence[str]]) -> str:
    """The tool's settings: what exists stands in for names and ids that nobody could guess."""
    lines = ["[generation]", "database = 'none'", "[dictionaries]"]
    lines += [f"'{name}' = {{ values = {list(values)} }}" for name, values in known.items()]
    for route in routes:
        name = f"{route.method} {route.path}"
        lines += ["[[operations]]", f"include-name = '{name}'"]
        lines += [f"parameters = {{ {', '.join(parameters(route, known))} }}"]
        if name in REFER:
            statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]
            lines += [f"checks.positive_data_acceptance.expected-statuses = {statuses}"]
    return "\n".join(lines)


def parameters(route: Route, known: Mapping[str, Sequence[str]]) -> list[str]:
    """What the tool puts where; what is fixed holds in all its phases."""
    name = f"{route.method} {route.path}"
    listed = dict(LISTED.get(name, {}))
    fixed = dict(FIXED.get(name, {}))
    if "{id}" in route.path:
        listed["path.id"] = route.path.split("/")[2]
    for one in ("after", "expires", "signature"):
        if one in route.query.__struct_fields__:
            fixed[f"query.{one}"] = known.get(f"{one} of {route.path}", ("oldest",))[0]
    return [
        *(f"'{one}' = {{ dictionary = '{values}' }}" for one, values in listed.items()),
        *(f"'{one}' = {value!r}" for one, value in fixed.items()),
    ]


LISTED = {
    "POST /v1/messages": {"body.account": "account", "body.queue": "queue"},
    "PATCH /v1/conversations/{id}": {"body.queue": "queue"},
    "GET /v1/events": {"query.types": "types"},
    "GET /v1/schemas/{type}": {"path.type": "types"},
    "GET /v1/docs/{file}": {"path.file": "file"},
    "POST /v1/contacts/{id}/merge": {"body.other": "contacts"},
    "POST /v1/contacts/{id}/unmerge": {"body.merge": "merges"},
    "POST /v1/destinations/{name}/test": {"path.name": "destination"},
    "POST /v1/destinations/{name}/restore": {"path.name": "destination"},
    "POST /v1/queues/{name}/pause": {"path.name": "queue"},
    "POST /v1/queues/{name}/resume": {"path.name": "queue"},
}
FIXED: Mapping[str, Mapping[str, object]] = {"GET /v1/events": {"query.wait": 0}}

REFER = {
    "POST /v1/messages",
    "POST /v1/conversations/{id}/messages",
    "PATCH /v1/conversations/{id}",
    "POST /v1/contacts/{id}/merge",
}
"""A body of the right shape may name what is not there, or not for that: here a 422 is no surprise."""


async def things(made: Api) -> Mapping[str, Sequence[str]]:
    """Two conversations, each with a message, a reply and a file; dead deliveries; and cursors."""
    await made.say({"id": "m1", "from": "ann", "text": "hello"}, {"from": "bob", "text": "hi"})
    client = await made.client()
    conversations = (await client.get("/v1/conversations")).json["items"]
    own = conversations[0]["id"]
    said = f"/v1/conversations/{own}/messages"
    replies = [(await client.post(said, {"text": one})).json["id"] for one in ("one", "two")]
    await made.core.db.fetch("UPDATE deliveries SET state = 2")
    deliveries = (await client.get("/v1/deliveries")).json["items"]
    people = [one["contact"]["id"] for one in conversations]
    merge = {"other": people[1], "evidence": "said so"}
    merged = (await client.post(f"/v1/contacts/{people[0]}/merge", merge)).json
    file = await client.call(
        "POST", "/v1/attachments", b"some words", {"Content-Type": "text/plain"}
    )
    link = (await client.get(f"/v1/attachments/{file.json['id']}")).headers["Location"]
    signed = dict(parse_qsl(urlsplit(link).query))
    lists = {
        "/v1/conversations": "/v1/conversations",
        "/v1/conversations/{id}/messages": said,
        "/v1/messages": "/v1/messages?status=queued",
        "/v1/deliveries": "/v1/deliveries",
    }
    cursors = {
        f"after of {path}": [(await client.get(asked, limit=1)).json["next"]]
        for path, asked in lists.items()
    }
    content = "/v1/attachments/{id}/content"
    return cursors | {
        "contacts": people,
        "merges": [merged["merges"][0]["id"]],
        "conversations": [own],
        "messages": replies,
        "deliveries": [one["id"] for one in deliveries],
        "attachments": [file.json["id"]],
        "account": ["shop"],
        "queue": ["inbox", "sales"],
        "destination": ["desk"],
        "types": sorted(EVENT_TYPES),
        "file": ["docs.css", "docs.js", "docs.svg"],
        f"expires of {content}": [signed["expires"]],
        f"signature of {content}": [signed["signature"]],
    }


async def judged(made: Api, folder: Path, *options: str) -> tuple[int | None, str]:
    """What schemathesis says: 0 when it found nothing, and its report."""
    file = folder / "schemathesis.toml"
    file.write_text(config(made.web.routes, await things(made)))
    client = await made.client(rate=0)
    running = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={file}",
        "run",
        f"{made.base}/v1/openapi.json",
        f"--header=Authorization: Bearer {client.token}",
        f"--max-examples={EXAMPLES}",
        f"--seed={SEED}" if SEED else "--generation-deterministic",
        "--max-redirects=0",
        "--no-color",
        *options,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await running.communicate()
    return running.returncode, told.decode()


@pytest.mark.slow
@pytest.mark.timeout(300 if EXAMPLES < 50 else 7200)
async def test_the_api_keeps_to_its_document(database_url: str, tmp_path: Path) -> None:
    """No 5xx and no contract break, in any route, on a real database."""
    async with api(database_url) as made:
        code, told = await judged(
            made, tmp_path, f"--exclude-path={STREAM}", "--continue-on-failure"
        )
        routes = len(made.web.routes)
    assert code == 0, told
    assert f"Tested: {routes - 1}\n" in told


async def test_a_document_that_lies_is_found_out(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is awake: it allows a page of 1,000, which the API does not."""

    def lie(routes: tuple[Route, ...]) -> Any:
        document = copy.deepcopy(openapi(routes))
        asked = document["paths"]["/v1/conversations"]["get"]["parameters"]
        next(one for one in asked if one["name"] == "limit")["schema"]["maximum"] = 1000
        return document

    monkeypatch.setattr(documents, "openapi", lie)
    async with api(database_url) as made:
        code, told = await judged(
            made, tmp_path, "--include-path=/v1/conversations", "--phases=coverage"
        )
    assert code == 1
    assert "Schema-valid request rejected" in told
