"""What channels have in common when they call a platform, whichever it is."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from hub.channel import Account, Check, HttpAnswer
from hub.errors import Rejected

__all__ = ["callback_check", "filled", "retry_after"]

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


def filled(body: Any, results: Mapping[str, Any], names: Collection[str]) -> Any:
    """*body* with the results of earlier calls in the fields *names*; texts stay as they are.

    Raises:
        Rejected: it names a file that was not uploaded.
    """
    if not isinstance(body, Mapping):
        return body
    return {
        name: _result(value, results) if name in names else filled(value, results, names)
        for name, value in body.items()
    }


def _result(value: Any, results: Mapping[str, Any]) -> Any:
    found = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[1] not in results:
        raise Rejected(f"the upload {found[1]} has not been made")
    return results[found[1]]


def retry_after(answer: HttpAnswer) -> float | None:
    """The seconds that the platform asks for; None: it does not, or by a date."""
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def callback_check(
    account: Account[Any],
    public_url: str | None,
    advice: str,
    takes: str,
    is_good: Callable[[str], object],
) -> Check:
    """What to paste into the platform's console, and whether such a URL *is_good* there.

    *takes* says which URLs are, as in "https only". A simulator on this machine calls any.
    """
    if not public_url:
        unset = "set public_url under [hub] to the address that the platform can reach"
        return Check(False, "callback URL", "unknown", unset)
    secret = "/<intake_secret>" if account.settings.intake_secret else ""
    url = f"{public_url.rstrip('/')}/in/{account.channel}/{account.name}{secret}"
    if is_good(url) or _is_on_this_machine(getattr(account.settings, "api_base", "")):
        return Check(True, "callback URL", url, advice)
    return Check(False, "callback URL", url, f"the platform takes {takes}; {advice}")


def _is_on_this_machine(api_base: str) -> bool:
    return urlsplit(api_base).hostname in ("127.0.0.1", "localhost", "::1")
