"""Saying no under ``/v1``: RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from aiohttp import web
from msgspec import Struct

__all__ = ["SECURITY_HEADERS", "Mistake", "Problem", "ProblemDetails", "problem_response"]

SECURITY_HEADERS: Mapping[str, str] = {
    "Server": "hub",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Mistake(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: *pointer* (a JSON pointer into the body) or *parameter* says where."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """An error (RFC 9457); *type* is stable and made for programs."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: tuple[Mistake, ...] = ()
    oldest: str | None = None


class Problem(Exception):
    """Ends a request with an error."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str | None = None,
        *,
        errors: tuple[Mistake, ...] = (),
        headers: Mapping[str, str] | None = None,
        oldest: str | None = None,
    ) -> None:
        """*kind* is the last part of the type ``urn:hub:problem:{kind}``."""
        super().__init__(kind)
        self.headers = dict(headers or {})
        self.details = ProblemDetails(
            f"urn:hub:problem:{kind}", HTTPStatus(status).phrase, status, detail, errors, oldest
        )


NOT_FOUND = "nothing of that id is here, or not for this token"


def not_found() -> Problem:
    """The one 404: what does not exist and what is not the caller's look alike."""
    return Problem(404, "not-found", NOT_FOUND)


def invalid(
    detail: str,
    *,
    pointer: str | None = None,
    parameter: str | None = None,
    more: Sequence[str] = (),
) -> Problem:
    """422 for a field of the body, or a query parameter; *more* are pointers with the same mistake."""
    mistakes = [Mistake(detail, pointer, parameter), *(Mistake(detail, one) for one in more)]
    return Problem(
        422,
        "invalid",
        "the request was understood and cannot be done as it stands",
        errors=tuple(mistakes),
    )


def problem_response(problem: Problem) -> web.Response:
    """*problem* as an answer."""
    return web.Response(
        status=problem.details.status,
        body=msgspec.json.encode(problem.details),
        content_type="application/problem+json",
        headers={**SECURITY_HEADERS, **problem.headers},
    )
