"""A destination as one process serves it: its requests, and what their answers mean."""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import structlog

from hub import telemetry
from hub.core import Core
from hub.destination import Courier, Event
from hub.errors import Rejected, SendError, Unknowable, Unreachable, Unsupported
from hub.feed import with_order
from hub.fetch import Fetcher
from hub.ids import show_id, trace_parent
from hub.settings import DestinationPlan
from hub.store import AWAY
from hub.store.lanes import ClaimedLane, Head
from hub.tickets import Unsure, hand_over
from hub.tickets.desks import policy_of

__all__ = ["FAULTS", "OPEN_AFTER", "Outcome", "Target", "judge", "probe_pause"]

OPEN_AFTER = 3
"""So many faults in a row, or lanes with the same refusal, and the breaker opens."""

PROBES_S = (1.0, 5.0, 15.0)
PROBE_S, PROBE_LATER_S, PROBE_LATER_AFTER_S = 30.0, 300.0, 6 * 3600.0
MAX_RETRY_AFTER_S = 3600.0

_log = structlog.get_logger("hub.delivery")

FAULTS = frozenset({401, 403, 405, 408, 410, 425, 429})
"""Statuses of a destination that is not well; others below 500 refuse the one message."""


def probe_pause(probes: int, open_s: float) -> float:
    """Seconds to the next probe, after *probes* of them, with the breaker open for *open_s*."""
    if probes < len(PROBES_S):
        base = PROBES_S[probes]
    else:
        base = PROBE_LATER_S if open_s > PROBE_LATER_AFTER_S else PROBE_S
    return base * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load, keeps no secret)


class Outcome(NamedTuple):
    """What one request came to; *fault* says that it speaks of the destination, not the message.

    *parks*: another try would tell nothing new.
    """

    ok: bool
    fault: bool
    status: int | None
    error: str
    duration_ms: int
    answer: str | None = None
    retry_after_s: float | None = None
    parks: bool = False


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header has them, or a date (RFC 9110 section 10.2.3). None: nothing sensible."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else None


def judge(status: int, headers: Mapping[str, str], body: bytes, duration_ms: int) -> Outcome:
    """What the answer of a destination means."""
    if 200 <= status < 300:
        return Outcome(True, False, status, "", duration_ms)
    fault = status < 400 or status >= 500 or status in FAULTS
    text = body[:1000].decode("utf-8", "replace")
    return Outcome(
        False, fault, status, f"answered {status}", duration_ms, text, _retry_after(headers)
    )


class Target:
    """A destination as this process serves it."""

    def __init__(self, plan: DestinationPlan) -> None:
        self.plan = plan
        self.courier: Courier | None = plan.kind.courier(plan.target) if plan.kind.courier else None
        self.fetcher = Fetcher(policy_of(plan), proxy=plan.proxy, limit=plan.max_in_flight)
        self.busy = 0
        self.promised = 0
        """Lanes that transactions under way may hand over."""
        self.allowed = plan.max_in_flight
        self.open = False
        self.is_known = False
        """Whether its breaker has been looked at."""
        self.leaving = False
        """Its settings are no longer in force: what is under way ends, and nothing more is sent."""
        self.full = False
        self.failures = 0
        self.taken = False
        self.refusals: dict[int, int] = {}  # lane → status, since the last success
        self.stand_in: Target | None = None
        """Who takes its events while it is down."""

    @property
    def room(self) -> int:
        """How many more lanes may be served now, by itself or by who stands in for it."""
        if self.open:
            return max(0, self.taker.room - self.busy) if self.stands_in else 0
        taken = self.busy + self.promised
        return max(0, min(self.allowed, self.plan.max_in_flight) - taken)

    @property
    def stands_in(self) -> bool:
        """Whether it is down and somebody who is well takes its events."""
        return self.open and self.stand_in is not None and not self.stand_in.open

    @property
    def taker(self) -> "Target":
        """Who is sent its events now."""
        return self.stand_in if self.stand_in is not None and self.stands_in else self

    def succeeded(self) -> None:
        """One request was taken: the ramp doubles, and what was counted starts anew."""
        self.failures = 0
        self.taken = True
        self.refusals.clear()
        self.allowed = min(self.allowed * 2, self.plan.max_in_flight)

    def same_refusal(self, lane: int, status: int | None) -> bool:
        """True when three lanes had the same refusal and none a success: a wrong URL answers 404
        to everything."""
        self.refusals[lane] = status or 0
        return sum(one == status for one in self.refusals.values()) >= OPEN_AFTER

    async def post(self, lane: ClaimedLane, head: Head, core: Core) -> Outcome:
        """Send one delivery; never raises for what the destination or the network does."""
        if not telemetry.is_on() or head.message_id is None:
            return await self._post(lane, head, core)
        own, began = telemetry.new_span(), time.time()
        outcome = await self._post(lane, head, core, own)
        facts: dict[str, str | int] = {
            "hub.destination": self.plan.target.name,
            "hub.event.type": head.type,
            "hub.event.id": show_id("evt", head.event_id),
        }
        if outcome.status is not None:
            facts["http.response.status_code"] = outcome.status
        telemetry.tell(
            telemetry.Span(
                "deliver",
                head.message_id,
                own,
                telemetry.root_of(head.message_id),
                began,
                time.time(),
                "client",
                facts,
                None if outcome.ok else "refused" if outcome.status else "not reached",
            )
        )
        return outcome

    async def _post(
        self, lane: ClaimedLane, head: Head, core: Core, span: int | None = None
    ) -> Outcome:
        if self.courier is None:
            return await self._hand_over(lane, head, core)
        started = time.monotonic()
        event = Event(
            id=show_id("evt", head.event_id),
            type=head.type,
            body=with_order(head.body, lane.id, head.n),
            replayed=head.replayed,
            trace=trace_parent(head.message_id, head.event_id, span) if head.message_id else None,
        )
        try:
            call = self.courier.request(event, core.clock())
            status, headers, body = await self.fetcher.post(
                call.url, call.body, call.headers, self.plan.timeout_s
            )
        except SendError as error:
            return Outcome(False, True, None, error.detail or error.sentence, _since(started))
        return judge(status, headers, body, _since(started))

    async def _hand_over(self, lane: ClaimedLane, head: Head, core: Core) -> Outcome:
        """Have a connector do what the delivery means."""
        started = time.monotonic()
        running = core.desks.get(core, self.plan.target.name)
        try:
            if running is None:
                raise Unreachable("its settings are being changed")
            await hand_over(core, running, lane, head)
        except SendError as error:
            return _refusal(error, _since(started))
        except AWAY:
            raise
        except Exception as error:  # a connector that cannot must not keep its lane for ever
            name = self.plan.target.name
            _log.exception("connector_broken", destination=name, event_type=head.type)
            return Outcome(False, False, 422, f"the connector failed: {error!r}", _since(started))
        return Outcome(True, False, None, "", _since(started))


def _refusal(error: SendError, duration_ms: int) -> Outcome:
    """What a connector's *error* means: of the one message, or of the helpdesk."""
    text = error.detail or error.sentence
    if isinstance(error, Unsure):  # only this lane has to wait
        return Outcome(False, False, None, text, duration_ms, None, error.retry_after)
    if isinstance(error, Unknowable):
        return Outcome(False, False, 422, text, duration_ms, parks=True)
    if isinstance(error, Rejected | Unsupported):
        return Outcome(False, False, 422, text, duration_ms)
    status = {"bad_credentials": 401, "rate_limited": 429}.get(error.code)
    return Outcome(False, True, status, text, duration_ms, None, error.retry_after)


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
