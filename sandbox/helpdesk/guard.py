"""Who may see the page: one browser on this machine, which opened the printed link."""

import hmac
import secrets

from aiohttp import web

from sandbox.http import Handler, is_loopback

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OPEN_PATHS = ("/webhook", "/static/", "/_control/")
"""Signed by themselves, without secrets, or off unless a test asks for them."""

TOKEN_PARAMETER = "token"  # noqa: S105


class Guard:
    """Checks Host, Origin, Sec-Fetch-Site and the page's token.

    The token comes once in the link's query and then lives in an HttpOnly
    cookie of its own name per port: cookies do not tell ports apart.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await self._guarded(request, handler)
        if not response.prepared:
            for name, value in SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_loopback(request.host) or not _is_same_origin(request):
            return _refusal("This page answers only to its own machine and its own pages.")
        if request.path.startswith(OPEN_PATHS):
            return await _called(handler, request)
        given = request.query.get(TOKEN_PARAMETER) if request.path == "/" else None
        if not self._is_token(given) and not self._is_token(
            request.cookies.get(self._cookie(request))
        ):
            return _refusal(
                "Open the link that was printed at the start: it carries the key to this page."
            )
        response = await _called(handler, request)
        if given is not None and not response.prepared:
            response.set_cookie(
                self._cookie(request), self.token, httponly=True, samesite="Strict", path="/"
            )
        return response

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.token.encode())

    @staticmethod
    def _cookie(request: web.Request) -> str:
        return f"helpdesk_{request.host.rpartition(':')[2]}"


async def _called(handler: Handler, request: web.Request) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return web.Response(status=error.status, text=f"{error.status}: {error.reason}\n")


def _is_same_origin(request: web.Request) -> bool:
    """A stranger's page announces itself by Origin, or by Sec-Fetch-Site."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        return False
    if request.method in ("GET", "HEAD") and request.path == "/":
        return True  # a link may lead here from anywhere; without the token it shows nothing
    return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


def _refusal(text: str) -> web.Response:
    return web.Response(status=403, text=f"403\n\n{text}\n")
