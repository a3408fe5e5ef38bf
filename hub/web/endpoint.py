"""From the table of routes to aiohttp's: who asks, what is asked, and how no is said; once for all."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from math import ceil
from uuid import UUID

import msgspec
import structlog
from aiohttp import web
from msgspec import Struct

from hub.apitokens import BadToken, Caller, NotLookedUp, Tokens
from hub.core import Core
from hub.rates import Pace, Rates
from hub.store import AWAY
from hub.web.body import BodyReader, BodyRefused
from hub.web.etags import etag, matches
from hub.web.problems import SECURITY_HEADERS, Problem, problem_response
from hub.web.routes import Answer, Call, Nothing, Route, Services
from hub.web.strictjson import read_json, read_query

__all__ = ["MAX_JSON_BYTES", "Endpoints"]

MAX_JSON_BYTES = 1 << 20
STREAM = "text/event-stream"
_ANYONE = Caller(UUID(int=0), "", frozenset(), ())
_PACE = web.RequestKey("pace", Pace)
_BEGUN = web.RequestKey("begun", web.StreamResponse)
_BODY_PROBLEMS = {400: "broken-body", 408: "slow-body", 413: "too-large", 503: "busy"}

_log = structlog.get_logger("hub.web.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoints:
    """Serves routes."""

    def __init__(
        self, core: Core, services: Services, tokens: Tokens, rates: Rates, bodies: BodyReader
    ) -> None:
        self._core = core
        self._services = services
        self._tokens = tokens
        self._rates = rates
        self._bodies = bodies

    def add_to(self, app: web.Application, routes: Iterable[Route]) -> None:
        """Add *routes*; their paths with another method are a 405, all else below ``/v1`` a 404."""
        app.on_response_prepare.append(_note_begun)
        methods: dict[str, list[str]] = defaultdict(list)
        for route in routes:
            handler = self._handler(route)
            app.router.add_route(route.method, route.path, handler)
            methods[route.path].append(route.method)
            if route.method == "GET" and route.produces != STREAM:  # a HEAD of it has no end
                app.router.add_route("HEAD", route.path, handler)
        for path, allowed in methods.items():
            app.router.add_route("*", path, _refusing(405, "method", ", ".join(sorted(allowed))))
        app.router.add_route("*", "/v1{rest:(?:/.*)?}", _refusing(404, "no-such-path", None))

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await self._answer(route, request)
            except Exception as error:
                begun = request.get(_BEGUN)
                return (
                    _refused(route, error) if begun is None else _cut(route, request, begun, error)
                )

        return handle

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        caller = await self._caller(route, request)
        query = read_query(request.query, route.query)
        body: Struct = Nothing()
        if route.body is not None:
            data = await self._bodies.read(
                request, MAX_JSON_BYTES, self._core.settings.hub.body_timeout_s
            )
            try:
                body = read_json(request, data, route.body)
            finally:
                self._bodies.release(data)
        call = Call(self._core, self._services, caller, request.match_info, query, body, request)
        made = await route.handler(call)
        if isinstance(made, web.StreamResponse):
            return made
        answer = made if isinstance(made, Answer) else Answer(made, route.status)
        empty = answer.value is None
        data = b"" if empty else msgspec.json.encode(answer.value)
        headers = {**SECURITY_HEADERS, **answer.headers}
        if answer.status == 200 and route.tagged:
            headers["ETag"] = tag = etag(data)
            if request.method in ("GET", "HEAD") and matches(
                request.headers.get("If-None-Match"), tag
            ):
                return web.Response(status=304, headers=headers)
        return web.Response(
            status=answer.status,
            body=data,
            content_type=None if empty else route.produces,
            headers=headers,
        )

    async def _caller(self, route: Route, request: web.Request) -> Caller:
        if route.scope is None:
            return _ANYONE
        try:
            caller = await self._tokens.caller(request.headers.get("Authorization"))
        except NotLookedUp as error:
            after = {"Retry-After": "1"}
            raise Problem(429, "too-many-requests", error.sentence, headers=after) from error
        except BadToken as error:
            given = "Authorization" in request.headers
            challenge = 'Bearer realm="hub"' + (', error="invalid_token"' if given else "")
            raise Problem(
                401, "unauthorized", error.sentence, headers={"WWW-Authenticate": challenge}
            ) from error
        await self._admit(caller, request)
        if not caller.may(route.scope):
            raise Problem(403, "scope", f"this token has no scope {route.scope}")
        return caller

    async def _admit(self, caller: Caller, request: web.Request) -> None:
        rate = caller.requests_per_s
        if rate is None:
            rate = self._core.settings.hub.api_requests_per_s
        if not rate:
            return
        pace = request[_PACE] = await self._rates.take(caller.token_id.hex, rate)
        if pace.wait_s:
            after = {"Retry-After": str(ceil(pace.wait_s))}
            raise Problem(429, "too-many-requests", "this token calls too often", headers=after)


def _refused(route: Route, error: Exception) -> web.Response:
    """What is said instead of the answer that *error* has prevented."""
    if isinstance(error, Problem):
        return problem_response(error)
    if isinstance(error, BodyRefused):
        kind = _BODY_PROBLEMS[error.status]
        response = problem_response(Problem(error.status, kind, error.reason))
        response.force_close()
        return response
    if isinstance(error, AWAY):
        _log.warning("database_away", error=type(error).__name__, operation=route.name)
        return problem_response(Problem(503, "database-away", headers={"Retry-After": "2"}))
    _log.error("api_broken", operation=route.name, error=repr(type(error)), exc_info=error)
    return problem_response(Problem(500, "bug", "the hub's fault; its log says more"))


def _cut(
    route: Route, request: web.Request, begun: web.StreamResponse, error: Exception
) -> web.StreamResponse:
    """End the connection: anything more would be taken for a part of the answer that has *begun*."""
    request.protocol.force_close()
    if isinstance(error, ConnectionError):
        return begun  # nobody reads any more
    if isinstance(error, AWAY):
        _log.warning("answer_cut_off", operation=route.name, error=repr(error))
    else:
        _log.error("api_broken", operation=route.name, error=repr(type(error)), exc_info=error)
    return begun


async def _note_begun(request: web.Request, response: web.StreamResponse) -> None:
    """Before the first byte: from here on nothing else can be answered."""
    request[_BEGUN] = response
    pace = request.get(_PACE)
    if pace is not None:
        response.headers.update(pace.headers())


def _refusing(status: int, kind: str, allow: str | None) -> Handler:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        headers = {"Allow": allow} if allow else {}
        return problem_response(Problem(status, kind, headers=headers))

    return refuse
