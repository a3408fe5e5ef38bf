"""What an error says about a request: whether it can have been acted on."""

import aiohttp

from hub.errors import Ambiguous, Rejected, SendError, Unreachable


class Forbidden(Unreachable):
    """The hub must not call that address; nothing was sent."""

    code = "forbidden_address"
    retryable = False


class TooLarge(Rejected):
    """The file is larger than the hub allows."""

    code = "too_large"


class Blocked(OSError):
    """A resolved address that the policy refuses."""


class Interrupted(aiohttp.ClientError):
    """The connection broke; not a class on which aiohttp tries again."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.reset = isinstance(cause, aiohttp.ClientOSError)


_NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)


def verdict(error: Exception, tracker: aiohttp.UploadTracker | None, timeout: float) -> SendError:
    """What *error* says about the request; *tracker* knows whether its last byte was written."""
    blocked = getattr(error, "os_error", None)
    if isinstance(blocked, Blocked):
        return Forbidden(str(blocked))
    detail = _detail(error, timeout)
    if isinstance(error, _NOT_SENT):
        return Unreachable(detail)
    # Only a reset throws away what asyncio still holds; after a time-out it may yet be flushed.
    reset = isinstance(error, aiohttp.ClientOSError) or (
        isinstance(error, Interrupted) and error.reset
    )
    if tracker is not None and reset and not _was_written(tracker):
        return Unreachable(detail)
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return Unreachable(detail)
    return Ambiguous(detail)


def _was_written(tracker: aiohttp.UploadTracker) -> bool:
    done = tracker.upload_complete
    return done.done() and done.exception() is None


def _detail(error: Exception, timeout: float) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(error, TimeoutError):
        return f"no whole answer in {timeout:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} does not resolve: {error.os_error}"
    cause = getattr(error, "os_error", None)
    return f"{type(cause or error).__name__}: {cause or error}"
