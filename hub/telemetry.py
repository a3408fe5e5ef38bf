"""Spans for OpenTelemetry, where ``[telemetry]`` names a collector; elsewhere none is ever made.

The trace of a message is the message's own number, as in the ``traceparent`` of its webhooks. What the hub
did is told once it is done, so no library wraps its calls: a span is a record that is handed to the
exporter of the ``opentelemetry-sdk``, which sends it by OTLP over HTTP from a thread of its own, and drops
what does not fit its queue. Spans hold names, numbers and states; never what anybody said, nor who.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from msgspec import Meta, Struct

from hub.model import Secret

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanContext

__all__ = ["Span", "TelemetrySettings", "is_on", "new_span", "root_of", "start", "stop", "tell"]

STOP_S = 5.0
_LOW = (1 << 64) - 1

_log = structlog.get_logger("hub.telemetry")


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[telemetry]``: traces for OpenTelemetry. In force after a restart."""

    endpoint: Annotated[
        str | None,
        Meta(
            description="Where spans go by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; "
            "unset: nowhere"
        ),
    ] = None
    headers: Annotated[
        dict[str, Secret], Meta(description="Headers that the collector wants, such as a key")
    ] = {}
    share: Annotated[
        float,
        Meta(ge=0, le=1, description="Of how many messages there are spans: 0.1 is each tenth"),
    ] = 1.0
    service: Annotated[str, Meta(min_length=1, description="What the hub is called there")] = "hub"

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        if self.endpoint is not None and urlsplit(self.endpoint).scheme not in ("http", "https"):
            yield "endpoint", "wants a URL that begins with http:// or https://"


class Span(NamedTuple):
    """Something that was done for the message *trace*; times are Unix seconds.

    *parent* None: it is the root. *link* is the ``traceparent`` of whoever asked for it.
    """

    name: str
    trace: UUID
    own: int
    parent: int | None
    start: float
    end: float
    kind: Literal["server", "client", "internal"] = "internal"
    facts: Mapping[str, str | int | float] = {}
    error: str | None = None
    link: str | None = None


def root_of(message_id: UUID) -> int:
    """The number of the first span of a message: everybody can tell it."""
    return message_id.int & _LOW


def new_span() -> int:
    """A number for a span."""
    return secrets.randbits(64) or 1


class _Exporter:
    """Makes the SDK's records of spans and hands them over."""

    def __init__(
        self, processor: "BatchSpanProcessor", settings: TelemetrySettings, process: str
    ) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self.processor = processor
        self._share = int(settings.share * (1 << 32))
        facts = {"service.name": settings.service, "service.instance.id": process}
        self._resource = Resource.create(facts)
        self._scope = InstrumentationScope("hub")

    def take(self, span: Span) -> None:
        """Queue *span*, if its message is among those that are told of."""
        if span.trace.int & 0xFFFFFFFF >= self._share:
            return
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        made = ReadableSpan(
            span.name,
            context=_context(span.trace.int, span.own),
            parent=None if span.parent is None else _context(span.trace.int, span.parent),
            resource=self._resource,
            attributes=span.facts,
            links=[Link(asked)] if (asked := _asked(span.link)) else [],
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=int(span.start * 1e9),
            end_time=int(span.end * 1e9),
            instrumentation_scope=self._scope,
        )
        self.processor.on_end(made)


def _context(trace: int, own: int) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace, own, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _asked(parent: str | None) -> "SpanContext | None":
    """The context that a ``traceparent`` names; None for one that names none."""
    parts = (parent or "").split("-")
    if [len(one) for one in parts] != [2, 32, 16, 2]:
        return None
    try:
        found = _context(int(parts[1], 16), int(parts[2], 16))
    except ValueError:
        return None
    return found if found.is_valid else None


_exporter: _Exporter | None = None


def is_on() -> bool:
    """Whether anybody wants spans; ask before making one."""
    return _exporter is not None


def tell(span: Span) -> None:
    """Something was done; never waits, never raises."""
    if _exporter is None:
        return
    try:
        _exporter.take(span)
    except Exception as error:  # whoever looks on must not get in the way
        _log.warning("span_lost", error=type(error).__name__)


def start(settings: TelemetrySettings, process: str) -> None:
    """Export from now on, if *settings* say where to. *process* is this process's name.

    Raises:
        ModuleNotFoundError: the extra ``telemetry`` is not installed.
    """
    global _exporter
    if settings.endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    headers = {name: value.reveal() for name, value in settings.headers.items()}
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, headers=headers, timeout=STOP_S)
    processor = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
    _exporter = _Exporter(processor, settings, process)


async def stop() -> None:
    """Send what waits, and export nothing more."""
    global _exporter
    if _exporter is not None:
        leaving, _exporter = _exporter, None
        await asyncio.to_thread(leaving.processor.shutdown)
