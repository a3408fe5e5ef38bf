"""``/metrics`` for Prometheus: gauges from the database, so that any process tells the truth, and this
process's own counters."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from hub.core import Core
from hub.store.queues import QueueCounts, paused, queue_counts
from hub.store.status import Counts, Waiting, counts
from hub.web.health import Health
from hub.web.intake import IntakeEndpoint
from hub.web.problems import SECURITY_HEADERS
from hub.web.server import Gate

__all__ = ["Metrics"]

FRESH_S = 2.0
_BREAKER: Mapping[str, int] = {"closed": 0, "open": 1, "disabled": 2}


class _Collected(CollectorRegistry):
    """Metrics that are already at hand."""

    def __init__(self, found: Iterable[Metric]) -> None:
        super().__init__()
        self._found = tuple(found)

    def collect(self) -> Iterator[Metric]:
        yield from self._found


class Metrics:
    """Collects; *more* are further counters of this process: name → value, shown as ``hub_{name}_total``."""

    def __init__(
        self,
        core: Core,
        intake: IntakeEndpoint,
        health: Health,
        more: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._core = core
        self._intake = intake
        self._health = health
        self._more = more
        self._process = ProcessCollector(registry=CollectorRegistry())
        self._counts: Counts | None = None
        self._queue_counts: Mapping[str, QueueCounts] = {}
        self._paused: Mapping[str, datetime] = {}
        self._counted = float("-inf")
        self.gates: list[Gate] = []

    async def answer(self) -> web.Response:
        """Everything, in Prometheus's text format."""
        if self._counts is None or time.monotonic() - self._counted > FRESH_S:
            self._counts = await counts(self._core.db)
            self._queue_counts = await queue_counts(self._core.db, self._counts.at)
            self._paused = await paused(self._core.db)
            self._counted = time.monotonic()
        queues = _queues(self._queue_counts, self._paused, self._counts.at)
        found = [*_stored(self._counts), *queues, *self._own(), *self._process.collect()]
        return web.Response(
            body=generate_latest(_Collected(found)),
            headers={**SECURITY_HEADERS, "Content-Type": CONTENT_TYPE_LATEST},
        )

    def _own(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "hub_intake_requests", "Callbacks by outcome", labels=["account", "outcome"]
        )
        for (account, outcome), number in sorted(self._intake.counts.items()):
            requests.add_metric([account, outcome], number)
        yield requests
        yield _one("hub_event_loop_lag_seconds", "How late the loop is", self._health.lag_s)
        yield _one("hub_intake_queue_ratio", "How full the queue is, 0 to 1", self._health.filling)
        yield _one("hub_connections", "Open connections", sum(one.open for one in self.gates))
        own = {
            "connections_refused": sum(one.refused for one in self.gates),
            "connections_malformed": sum(one.malformed for one in self.gates),
            "database_statements": self._core.db.statements,
            **self._more(),
        }
        for name, number in own.items():
            family = CounterMetricFamily(f"hub_{name}", "Of this process")
            family.add_metric([], number)
            yield family


def _one(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _by(name: str, about: str, label: str, found: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in sorted(found.items()):
        family.add_metric([key], value)
    return family


def _age(oldest: datetime | None, at: datetime) -> float:
    return 0.0 if oldest is None else max(0.0, (at - oldest).total_seconds())


def _ages(found: Mapping[str, Waiting], at: datetime) -> dict[str, float]:
    return {name: _age(one.oldest, at) for name, one in found.items()}


def _numbers(found: Mapping[str, Waiting]) -> dict[str, float]:
    return {name: one.number for name, one in found.items()}


def _stored(found: Counts) -> Iterator[Metric]:
    yield _by("hub_inbox_waiting", "Raw events to be filed", "account", _numbers(found.inbox))
    yield _by(
        "hub_inbox_oldest_seconds", "Age of the oldest", "account", _ages(found.inbox, found.at)
    )
    yield _by("hub_inbox_parked", "Raw events given up", "account", _numbers(found.parked))
    replies = GaugeMetricFamily("hub_replies", "Unsettled replies", labels=["account", "status"])
    for (account, state), number in sorted(found.replies.items()):
        replies.add_metric([account, state], number)
    yield replies
    waiting = _numbers(found.deliveries)
    yield _by("hub_deliveries_waiting", "Events for a destination", "destination", waiting)
    ages = _ages(found.deliveries, found.at)
    yield _by("hub_deliveries_oldest_seconds", "Age of the oldest", "destination", ages)
    yield _by("hub_deliveries_dead", "Dead letters", "destination", _numbers(found.dead))
    breakers = {name: float(_BREAKER.get(one.state, 1)) for name, one in found.destinations.items()}
    yield _by("hub_breaker_state", "0 well, 1 open, 2 disabled", "destination", breakers)
    stopped = {name: float(row["state"] != "ok") for name, row in found.accounts.items()}
    yield _by("hub_account_stopped", "1: the account is stopped", "account", stopped)
    yield _one("hub_attachments_waiting", "Files to be fetched", found.attachments)
    alive = sum(1 for row in found.processes if row["alive"])
    yield _one("hub_processes", "Processes that run", alive)


def _queues(
    found: Mapping[str, QueueCounts], paused: Mapping[str, datetime], at: datetime
) -> Iterator[Metric]:
    every = {name: found.get(name, QueueCounts()) for name in [*found, *paused]}
    waiting = {name: float(one.waiting) for name, one in every.items()}
    yield _by("hub_queue_waiting", "Events of the queue to be delivered", "queue", waiting)
    ages = {name: _age(one.oldest, at) for name, one in every.items()}
    yield _by("hub_queue_oldest_seconds", "Age of the oldest", "queue", ages)
    opened = {name: float(one.open) for name, one in every.items()}
    yield _by("hub_queue_open", "Conversations open in it", "queue", opened)
    rate = {name: one.messages / 60 for name, one in every.items()}
    yield _by("hub_queue_messages_per_second", "Over the last minute", "queue", rate)
    stopped = {name: float(name in paused) for name in every}
    yield _by("hub_queue_paused", "1: nothing of it is delivered", "queue", stopped)
