"""The table of the API's routes: the one source of what is served, allowed and documented."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from aiohttp import web
from msgspec import Struct

from hub.apitokens import Caller, Scope
from hub.core import Core
from hub.replies import Together
from hub.web.feedwatch import FeedWatch

__all__ = ["Answer", "Call", "Nothing", "Route", "RouteTable", "Services"]

Q = TypeVar("Q", bound=Struct)
B = TypeVar("B", bound=Struct)
H = TypeVar("H", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True)
class Services:
    """What handlers share besides the core."""

    feed: FeedWatch
    still_good: Callable[[web.Request], Awaitable[bool]]
    link_key: Callable[[], bytes]
    uploads: asyncio.Semaphore
    routes: "tuple[Route, ...]"
    together: Together


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No query parameters, or an empty body ``{}``."""


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """One request, proven and read: *path* holds the parts in braces."""

    core: Core
    services: Services
    caller: Caller
    path: Mapping[str, str]
    query: Q
    body: B
    request: web.Request

    @property
    def queues(self) -> tuple[str, ...] | None:
        """The queues that the caller may see; None for all. It belongs into every WHERE clause."""
        return self.caller.queues


class Answer(NamedTuple):
    """An answer that is more than its value."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Route(NamedTuple):
    """One route. *scope* None: open to everyone, who then must carry another proof.

    *body* None: a GET, or a handler that reads the body itself (*consumes* says what).
    *answer*: a struct, ``dict`` for any object, ``str``, a Literal of several content types, or None.
    *headers*: those that matter in a request, each with its type. *tagged*: answers have an ETag.
    """

    method: str
    path: str
    scope: Scope | None
    tag: str
    summary: str
    description: str
    handler: Callable[[Any], Awaitable[Any]]
    query: type[Struct]
    body: type[Struct] | None
    answer: Any
    status: int
    consumes: tuple[str, ...]
    produces: str
    problems: tuple[int, ...]
    headers: tuple[tuple[str, Any], ...]
    tagged: bool = False

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.handler.__name__


class RouteTable:
    """Collects routes by decorator."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        tag: str,
        scope: Scope | None,
        answer: Any,
        query: type[Struct] = Nothing,
        body: type[Struct] | None = None,
        status: int = 200,
        consumes: tuple[str, ...] = (),
        produces: str = "application/json",
        problems: tuple[int, ...] = (),
        headers: Mapping[str, Any] | None = None,
        tagged: bool = False,
    ) -> Callable[[H], H]:
        """The decorated function serves *method* *path*; its docstring is the documentation."""

        def remember(handler: H) -> H:
            summary, _, rest = (handler.__doc__ or "").strip().partition("\n")
            self.routes.append(
                Route(
                    method,
                    path,
                    scope,
                    tag,
                    summary.rstrip("."),
                    " ".join(rest.split()),
                    handler,
                    query,
                    body,
                    answer,
                    status,
                    consumes,
                    produces,
                    problems,
                    tuple((headers or {}).items()),
                    tagged,
                )
            )
            return handler

        return remember
