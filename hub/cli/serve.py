"""``hub web``, ``hub worker``, ``hub listen``: the processes of a hub."""

import argparse
import asyncio
from collections.abc import Sequence

from hub.cli.common import fail, parser, with_core
from hub.core import Core
from hub.intake import Committer
from hub.listening import StoreEmit
from hub.replies import await_reply
from hub.running import until_stopped
from hub.web.app import make_app, serve
from hub.worker import SERVICES, run

__all__ = ["listen", "web", "worker"]


def web(arguments: Sequence[str]) -> int:
    """Take callbacks and serve the API."""
    made = parser("web", "Take callbacks and serve the API, until SIGTERM.")
    made.add_argument(
        "--reuse-port", action="store_true", help="let several web processes share the port"
    )
    given = made.parse_args(arguments)
    return with_core(given.config, "web", lambda core: _web(core, given))


async def _web(core: Core, given: argparse.Namespace) -> int:
    hub = core.settings.hub
    committer = Committer(
        core.db,
        core.bells,
        max_events=hub.queue_events,
        max_bytes=hub.queue_bytes,
        wait_s=hub.overload_wait_s,
    )
    await committer.start()
    made = make_app(
        core,
        committer,
        apart=hub.admin_port is not None,
        await_reply=await_reply,
        emit_for=lambda account, channel: StoreEmit(core, account, channel),
    )
    try:
        listening = await serve(core, made, reuse_port=given.reuse_port)
    except OSError as error:
        await committer.stop()
        return fail(f"hub web: {error.strerror or error}; HUB_PORT chooses another port")
    await until_stopped()
    await asyncio.gather(*(one.stop() for one in listening))
    await committer.stop()
    return 0


def worker(arguments: Sequence[str]) -> int:
    """File, deliver, reply, listen and do slow work."""
    made = parser("worker", "File, deliver, reply, listen and do slow work, until SIGTERM.")
    made.add_argument(
        "--only",
        action="append",
        choices=SERVICES,
        help="do only this (may be given several times)",
    )
    given = made.parse_args(arguments)
    wanted = tuple(given.only or SERVICES)
    return with_core(given.config, "worker", lambda core: run(core, wanted, until_stopped()))


def listen(arguments: Sequence[str]) -> int:
    """Only listen."""
    given = parser("listen", "Only listen to mailboxes and gateways.").parse_args(arguments)
    return with_core(given.config, "listen", lambda core: run(core, ("listen",), until_stopped()))
