"""Puts the web server together: one application, or callbacks and admin side apart."""

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from hub.channel import Emit
from hub.core import Core
from hub.web.body import BodyReader
from hub.web.health import Health
from hub.web.intake import AwaitReply, Committer, IntakeEndpoint
from hub.web.server import Listening, listen

__all__ = ["Web", "make_app", "serve"]


class EmitMaker(Protocol):
    """Makes the emit that a socket of an account stores with."""

    def __call__(self, account: str, channel: str, /) -> Emit: ...


class Intake(Committer, Protocol):
    """The intake service, as the web server needs it."""

    @property
    def filling(self) -> float:
        """How full its queue is, 0 to 1."""
        ...


@dataclass
class Web:
    """The applications of one process; *callbacks* and *admin* are one and the same on one port."""

    callbacks: web.Application
    admin: web.Application
    intake: IntakeEndpoint
    health: Health


def make_app(
    core: Core,
    intake: Intake,
    *,
    apart: bool = False,
    await_reply: AwaitReply | None = None,
    emit_for: EmitMaker | None = None,
) -> Web:
    """The applications; *apart*: one for ``/in`` and one for ``/v1``, ``/metrics`` and pages."""
    bodies = BodyReader(core.settings.hub.queue_bytes)
    endpoint = IntakeEndpoint(
        core, intake, bodies=bodies, await_reply=await_reply, emit_for=emit_for
    )
    health = Health(core, lambda: intake.filling)
    callbacks = _application()
    admin = _application() if apart else callbacks
    callbacks.router.add_route("*", "/in/{rest:.*}", endpoint.answer)
    for app in {callbacks, admin}:
        app.router.add_get("/live", health.live)
        app.router.add_get("/ready", health.ready)
        app.cleanup_ctx.append(health.watch)
    return Web(callbacks, admin, endpoint, health)


def _application() -> web.Application:
    return web.Application()


async def serve(core: Core, made: Web, *, reuse_port: bool = False) -> list[Listening]:
    """Listen as the settings say; the first is the one for callbacks. Stop each to end.

    Raises:
        OSError: a port is taken.
    """
    hub = core.settings.hub
    listening = [
        await listen(
            made.callbacks, hub.host, hub.port, intake=made.intake.answer, reuse_port=reuse_port
        )
    ]
    if made.admin is made.callbacks:
        return listening
    try:
        host = hub.admin_host or hub.host
        port = hub.admin_port or 0
        listening.append(await listen(made.admin, host, port, reuse_port=reuse_port))
    except BaseException:
        await listening[0].stop()
        raise
    return listening
