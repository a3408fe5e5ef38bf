"""What a OneBot implementation says when it refuses.

Sources: [S] https://github.com/botuniverse/onebot-11 (communication/http.md, communication/ws.md),
[N] NapCat, which uses one code for all failures and tells them apart by their text.
"""

from collections.abc import Mapping

from hub.errors import Ambiguous, BadCredentials, RateLimited, Rejected, SendError, Unsupported

__all__ = ["RETCODES", "STATUSES", "error_of"]

RETCODES: Mapping[str, type[SendError]] = {
    "1400": Rejected,  # [S] the parameters are wrong
    "1401": BadCredentials,  # [S] no access token
    "1403": BadCredentials,  # [S] [N] a wrong access token
    "1404": Unsupported,  # [S] no such action
}
STATUSES: Mapping[int, type[SendError]] = {
    400: Rejected,  # [S] the body cannot be read
    401: BadCredentials,  # [S] no access token
    403: BadCredentials,  # [S] a wrong access token
    404: Unsupported,  # [S] no such action
    406: Rejected,  # [S] the Content-Type is not supported
    413: Rejected,
    429: RateLimited,
}
_TIMED_OUT = ("timeout", "timed out", "超时")  # [N] it may have gone out: QQ itself gave no answer


def error_of(retcode: str, text: str) -> SendError:
    """The error behind a failed call; *text* is what the implementation says of it."""
    kind = RETCODES.get(retcode)
    if kind is None:
        late = any(mark in text.lower() for mark in _TIMED_OUT)
        kind = Ambiguous if late else Rejected
    return kind(text[:500], external_code=retcode)
