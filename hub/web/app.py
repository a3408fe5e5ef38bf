"""Puts the web server together: one application, or callbacks and admin side apart."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from aiohttp import web

from hub.apitokens import BadToken, Tokens
from hub.channel import Emit
from hub.core import Core
from hub.listening import StoreEmit
from hub.rates import Rates
from hub.replies import Together
from hub.seal import Sealer, secret_key
from hub.web.api import ROUTES
from hub.web.api.attachments import MAX_UPLOADS
from hub.web.body import BodyReader
from hub.web.endpoint import Endpoints
from hub.web.feedwatch import FeedWatch
from hub.web.health import Health
from hub.web.intake import AwaitReply, Committer, IntakeEndpoint
from hub.web.metrics import Metrics
from hub.web.problems import Problem
from hub.web.routes import Call, Nothing, Route, RouteTable, Services
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
    metrics: Metrics
    routes: tuple[Route, ...]


def make_app(
    core: Core,
    intake: Intake,
    *,
    apart: bool = False,
    await_reply: AwaitReply | None = None,
    emit_for: EmitMaker | None = None,
    counters: Callable[[], Mapping[str, int]] = dict,
) -> Web:
    """The applications; *apart*: one for ``/in`` and one for ``/v1``, ``/metrics`` and pages.

    *counters* are further counters of this process, shown in ``/metrics``.
    """
    bodies = BodyReader(core.settings.hub.queue_bytes)
    endpoint = IntakeEndpoint(
        core,
        intake,
        bodies=bodies,
        await_reply=await_reply,
        emit_for=emit_for or (lambda account, channel: StoreEmit(core, account, channel)),
    )
    health = Health(core, lambda: intake.filling)
    metrics = Metrics(core, endpoint, health, counters)
    callbacks = web.Application()
    admin = web.Application() if apart else callbacks
    callbacks.router.add_route("*", "/in/{rest:.*}", endpoint.answer)
    for app in {callbacks, admin}:
        app.router.add_get("/live", health.live)
        app.router.add_get("/ready", health.ready)
    callbacks.cleanup_ctx.append(health.watch)
    callbacks.on_shutdown.append(health.note_stop)

    async def let_sockets_go(_app: web.Application) -> None:
        await endpoint.sockets.close()

    callbacks.on_shutdown.append(let_sockets_go)
    routes = _serve_api(core, admin, bodies, metrics)
    return Web(callbacks, admin, endpoint, health, metrics, routes)


def _serve_api(
    core: Core, admin: web.Application, bodies: BodyReader, metrics: Metrics
) -> tuple[Route, ...]:
    tokens = Tokens(core.db)
    redis_url = core.settings.hub.redis_url
    rates = Rates(redis_url.reveal() if redis_url else None)
    feed = FeedWatch(core.db)
    routes = (*ROUTES, *_metrics_routes(metrics))

    async def still_good(request: web.Request) -> bool:
        try:
            await tokens.caller(request.headers.get("Authorization"))
        except BadToken:
            return False
        return True

    async def let_streams_go(_app: web.Application) -> None:
        await feed.stop()

    async def leave_redis(_app: web.Application) -> None:
        await rates.close()

    admin.on_shutdown.append(let_streams_go)
    admin.on_cleanup.append(leave_redis)
    services = Services(
        feed=feed,
        still_good=still_good,
        link_key=cache(lambda: _link_key(core)),
        uploads=asyncio.Semaphore(MAX_UPLOADS),
        routes=routes,
        together=Together(core),
    )
    Endpoints(core, services, tokens, rates, bodies).add_to(admin, routes)
    return routes


def _link_key(core: Core) -> bytes:
    hub = core.settings.hub
    secret = secret_key(hub.secret_key, Path(hub.data_dir), production=False)
    return Sealer(secret).derive("links")


def _metrics_routes(metrics: Metrics) -> list[Route]:
    table = RouteTable()

    @table.add("GET", "/metrics", tag="Hub", scope="read", answer=None, produces="text/plain")
    async def get_metrics(call: Call[Nothing, Nothing]) -> web.Response:
        """Read the metrics, in Prometheus's text format.

        They tell of every queue and destination: 403 for a token of some queues only.
        """
        if call.queues is not None:
            raise Problem(403, "scope", "the metrics tell of every queue; this token is for some")
        return await metrics.answer()

    return table.routes


async def serve(core: Core, made: Web, *, reuse_port: bool = False) -> list[Listening]:
    """Listen as the settings say; the first is the one for callbacks. Stop each to end.

    Raises:
        OSError: a port is taken.
    """
    hub = core.settings.hub
    first = await listen(
        made.callbacks, hub.host, hub.port, intake=made.intake.answer, reuse_port=reuse_port
    )
    made.metrics.gates.append(first.gate)
    if made.admin is made.callbacks:
        return [first]
    try:
        host, port = hub.admin_host or hub.host, hub.admin_port or 0
        second = await listen(made.admin, host, port, reuse_port=reuse_port)
    except BaseException:
        await first.stop()
        raise
    made.metrics.gates.append(second.gate)
    return [first, second]
