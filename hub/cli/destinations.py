"""Commands about destinations: try one with a signed sample, and restore one that was switched off."""

import argparse
from collections.abc import Sequence

import msgspec

from hub.cli.common import fail, parser, with_core
from hub.core import Core
from hub.delivery.sample import Sample, send_sample
from hub.store.breakers import restore_destination

__all__ = ["destination"]


def destination(arguments: Sequence[str]) -> int:
    """Try a destination, or restore it."""
    made = parser("destination", "Try a destination with a signed sample; restore one.", json=True)
    actions = made.add_subparsers(dest="action", required=True)
    for name, about in (
        ("test", "send a signed sample, and show the signature and the answer"),
        ("restore", "send to it again after it was switched off"),
    ):
        actions.add_parser(name, help=about).add_argument("name", help="the destination")
    given = made.parse_args(arguments)
    work = _test if given.action == "test" else _restore
    return with_core(given.config, "destination", lambda core: work(core, given))


async def _test(core: Core, given: argparse.Namespace) -> int:
    plan = core.settings.destinations.get(given.name)
    if plan is None:
        return _unknown(core, given.name)
    try:
        sample = await send_sample(core, plan)
    except ValueError as error:
        return fail(str(error))
    if given.json:
        print(msgspec.json.encode(sample).decode())
    else:
        _show(sample)
    return 0 if sample.ok else 1


def _show(sample: Sample) -> None:
    print(f"POST {sample.url}")
    for name, value in sample.headers.items():
        print(f"{name}: {value}")
    print(f"\n{sample.body}\n")
    print(f"signed is {sample.signed}")
    if sample.status is None:
        print(f"✗ no answer: {sample.error}")
    else:
        sign = "✓" if sample.ok else "✗"
        print(f"{sign} answered {sample.status} in {sample.duration_ms} ms {sample.answer or ''}")


async def _restore(core: Core, given: argparse.Namespace) -> int:
    if given.name not in core.settings.destinations:
        return _unknown(core, given.name)
    restored = await restore_destination(core.db, given.name)
    core.bells.ring("deliver")
    print(f"{given.name} is sent to again" if restored else f"{given.name} was well")
    return 0


def _unknown(core: Core, name: str) -> int:
    known = ", ".join(sorted(core.settings.destinations)) or "none"
    return fail(f"there is no destination {name}; there are {known}")
