"""A process of the hub as the chaos runner wants it; without options just as ``python -m hub``.

    [--lease SECONDS] [--bells off] [--sabotage NAME] -- web --reuse-port

Everything is changed from outside: the hub itself has no switch for any of it.
"""

import argparse
import functools
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import hub.bells
import hub.delivery
import hub.failpoints
import hub.ingest
import hub.listening
import hub.replies.service
import hub.store.database
import hub.store.feed
import hub.store.heard
import hub.store.inbox
import hub.store.lanes
import hub.store.leases
import hub.tickets.handing
from chaos.sabotage import SABOTAGES
from hub.cli import main
from hub.replies import Pace

USUAL = "interval '30 seconds'"
WITH_LEASES = {"feed.PUBLISH", "inbox.LEASE", "lanes.CLAIM", "lanes.RECORD", "leases.LEASE"}


def shorten_leases(seconds: float) -> None:
    """Leases of *seconds*, and what depends on their length in proportion."""
    _shorten_statements(seconds)
    hub.store.heard.LEASE = f"interval '{2 * seconds:g} seconds'"
    hub.tickets.handing.RENEW_S = seconds / 3
    hub.delivery.BETWEEN_TRIES_S = (0.0, 0.3, 1.0)
    hub.store.database.SESSION["idle_in_transaction_session_timeout"] = (
        f"{seconds * 1000 / 3:.0f}ms"
    )
    hub.delivery.RENEW_AFTER_S = seconds / 3
    hub.ingest.RENEW_S = seconds / 3
    hub.listening.RENEW_S = seconds / 3
    hub.replies.service.Pace = functools.partial(  # type: ignore[misc, assignment]
        Pace,
        lease_s=seconds,
        renew_s=seconds / 3,
        send_s=seconds / 2,
        unknown_stands_s=seconds / 2,
        reconcile_s=seconds / 6,
        parts_wait_s=2 * seconds,
        retries_s=(0.2, 0.5, 1.0, 2.0, 4.0, 8.0),
    )


def _shorten_statements(seconds: float) -> None:
    """In every module of the store: the interval, and the statements that were put together with it."""
    changed = set()
    for module in [one for name, one in sys.modules.items() if name.startswith("hub.store.")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, str) and not name.startswith("__") and USUAL in value:
                setattr(module, name, value.replace(USUAL, f"interval '{seconds:g} seconds'"))
                changed.add(f"{module.__name__.rpartition('.')[2]}.{name}")
    if missing := WITH_LEASES - changed:
        raise RuntimeError(f"the leases are not where they were: {', '.join(sorted(missing))}")


def silence_bells() -> None:
    """Nobody hears a doorbell, in this process or another: all work is found by polling."""

    def ring(self: hub.bells.Bells, kind: str, facts: Any = None) -> None:
        return

    hub.bells.Bells.ring = ring  # type: ignore[method-assign]


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="chaos.launch", description=__doc__)
    parser.add_argument("--lease", type=float)
    parser.add_argument("--bells", choices=["on", "off"], default="on")
    parser.add_argument("--sabotage", choices=list(SABOTAGES))
    parser.add_argument("hub", nargs=argparse.REMAINDER)
    return parser.parse_args(words)


def run(words: Sequence[str]) -> int:
    """Be the process that *words* ask for, until it ends."""
    given = arguments(words)
    importlib.reload(hub.failpoints)  # a forked process has an environment of its own
    if given.lease is not None:
        shorten_leases(given.lease)
    if given.bells == "off":
        silence_bells()
    if given.sabotage is not None:
        SABOTAGES[given.sabotage]()
    return main([word for word in given.hub if word != "--"])
