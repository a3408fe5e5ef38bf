"""Spans: from a platform's request to the helpdesk, and from the agent's reply to the platform."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hub import apitokens, delivery, running, telemetry
from hub.errors import ConfigError
from hub.ids import read_id
from hub.settings import load
from hub.telemetry import TelemetrySettings
from tests.corekit import SECRET, eventually, settings_for
from tests.wechatkit import OPENID, World, world_of


class Collector:
    """Takes OTLP over HTTP, and webhooks beside it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.keys: set[str | None] = set()
        self.parents: list[str] = []
        self.refuse_next = False
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        self.keys.add(request.headers.get("x-key"))
        for resource in told.resource_spans:
            names = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.services.add(names["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(content_type="application/x-protobuf")

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["type"] == "message.received":
            self.parents.append(request.headers["traceparent"])
            if self.refuse_next:
                self.refuse_next = False
                return web.Response(status=422)
        return web.Response()

    def of(self, trace: str) -> dict[str, list[Span]]:
        """The spans of a trace, by name."""
        found: dict[str, list[Span]] = {}
        for one in self.spans:
            if one.trace_id.hex() == trace:
                found.setdefault(one.name, []).append(one)
        return found


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    app.router.add_post("/hook", made.hook)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def world(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> AsyncIterator[World]:
    monkeypatch.setattr(delivery, "BETWEEN_TRIES_S", (0.0, 0.05, 0.05))
    here = f"http://127.0.0.1:{collector.port}"
    more = f"""
[telemetry]
endpoint = "{here}/v1/traces"
headers = {{ x-key = "k1" }}
service = "our hub"

[destinations.desk]
type = "webhook"
url = "{here}/hook"
secret = "{SECRET}"
allow_private = true
"""
    services = ("ingest", "reply", "deliver")
    async with world_of(tmp_path, database_url, monkeypatch, more=more, services=services) as made:
        yield made


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


async def test_what_a_customer_writes_is_one_trace(world: World, collector: Collector) -> None:
    """Request, filing and each try of a delivery; a try's span is the parent that its webhook carries."""
    collector.refuse_next = True
    await world.simulator.push_text(OPENID, "words of a customer")
    await eventually(lambda: len(collector.parents) == 2, timeout=30)
    trace = collector.parents[0].split("-")[1]
    (own,) = [row["id"].hex for row in await world.rows()]
    assert trace == own

    def spans() -> dict[str, list[Span]]:
        return collector.of(trace)

    await eventually(lambda: len(spans().get("deliver", ())) >= 2, timeout=30)
    (receive,), (file,) = spans()["receive"], spans()["file"]
    assert receive.parent_span_id == b""
    assert file.parent_span_id == receive.span_id
    assert attributes(file) == {"hub.account": "shop", "hub.channel": "wechat"}
    assert receive.start_time_unix_nano <= file.start_time_unix_nano <= file.end_time_unix_nano
    tries = [
        one for one in spans()["deliver"] if attributes(one)["hub.event.type"] == "message.received"
    ]
    assert [attributes(one)["http.response.status_code"] for one in tries] == [422, 200]
    assert [one.status.code for one in tries] == [2, 0]
    assert [one.span_id.hex() for one in tries] == [one.split("-")[2] for one in collector.parents]
    assert {one.parent_span_id for one in tries} == {receive.span_id}
    assert (collector.services, collector.keys) == ({"our hub"}, {"k1"})
    assert b"words of a customer" not in b"".join(
        one.SerializeToString() for one in collector.spans
    )


async def test_a_reply_is_one_trace(world: World, collector: Collector) -> None:
    """The API's request, the platform calls below one span for sending, and who asked, as a link."""
    await world.simulator.push_text(OPENID, "hello")
    await world.arrived()
    await eventually(lambda: bool(collector.parents), timeout=30)
    token = (await apitokens.create(world.core.db, "desk")).token
    base = world.simulator.callback_url.partition("/in/")[0]
    headers = {"Authorization": f"Bearer {token}", "traceparent": collector.parents[0]}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(f"{base}/v1/conversations") as answer:
            conversation = (await answer.json())["items"][0]["id"]
        path = f"{base}/v1/conversations/{conversation}/messages"
        async with http.post(path, json={"text": "secret answer"}) as answer:
            said = await answer.json()
    message = read_id("msg", said["id"])
    assert message is not None
    await eventually(lambda: "send" in collector.of(message.hex), timeout=30)
    spans = collector.of(message.hex)
    (reply,), (send,) = spans["reply"], spans["send"]
    assert send.parent_span_id == reply.span_id
    assert reply.links[0].trace_id.hex() == collector.parents[0].split("-")[1]
    calls = spans["call POST"]
    assert {one.parent_span_id for one in calls} == {send.span_id}
    assert attributes(calls[-1])["http.response.status_code"] == 200
    assert "custom/send" in attributes(calls[-1])["url.path"]
    await eventually(lambda: "deliver" in collector.of(message.hex), timeout=30)
    whole = b"".join(one.SerializeToString() for one in collector.spans)
    assert b"secret answer" not in whole
    assert b"access_token" not in whole


async def test_a_share_of_messages(collector: Collector) -> None:
    """Of each message all spans or none, and as many as asked for; nonsense as a link is no link."""
    here = f"http://127.0.0.1:{collector.port}/v1/traces"
    telemetry.start(TelemetrySettings(endpoint=here, share=0.25), "test")
    ids = [telemetry.UUID(int=telemetry.secrets.randbits(128)) for _ in range(400)]
    for one in ids:
        root = telemetry.root_of(one)
        telemetry.tell(telemetry.Span("a", one, root, None, 1.0, 2.0, link="00-x-y-01"))
        telemetry.tell(telemetry.Span("b", one, telemetry.new_span(), root, 1.0, 2.0))
    await telemetry.stop()
    assert not telemetry.is_on()
    traces = {one.trace_id for one in collector.spans}
    assert 60 <= len(traces) <= 145
    assert len(collector.spans) == 2 * len(traces)
    assert not any(one.links for one in collector.spans)


async def test_a_collector_that_is_away_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling takes no time, and ending takes not long."""
    monkeypatch.setattr(telemetry, "STOP_S", 0.5)
    telemetry.start(TelemetrySettings(endpoint="http://127.0.0.1:9/v1/traces"), "test")
    own = telemetry.UUID(int=5)
    start = asyncio.get_running_loop().time()
    for _ in range(5000):
        telemetry.tell(telemetry.Span("a", own, 1, None, 1.0, 2.0))
    assert asyncio.get_running_loop().time() - start < 5
    async with asyncio.timeout(30):
        await telemetry.stop()


def test_off_there_is_nothing() -> None:
    """Without an endpoint no part of OpenTelemetry is even loaded."""
    script = (
        "import sys; from hub import telemetry, running, worker; import hub.web.app; "
        "telemetry.start(telemetry.TelemetrySettings(), 'test'); assert not telemetry.is_on(); "
        "print([one for one in sys.modules if one.startswith('opentelemetry')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_without_the_extra_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, not a traceback."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    made = settings_for()._replace(telemetry=TelemetrySettings(endpoint="http://127.0.0.1:9"))
    with pytest.raises(ConfigError, match="extra telemetry"):
        running._start_telemetry(made, "test")


def test_a_wrong_endpoint_is_told(tmp_path: Path) -> None:
    """When the settings are read."""
    file = tmp_path / "hub.toml"
    file.write_text('[telemetry]\nendpoint = "collector:4317"\n')
    with pytest.raises(ConfigError, match="endpoint"):
        load(file, {})
