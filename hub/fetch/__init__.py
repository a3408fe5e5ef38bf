"""The one guarded HTTP client: no redirects, no cookies, no proxy from the environment, limits on all.

An error says whether the request can have been acted on: :class:`~hub.errors.Unreachable` means that
it was not written in full, :class:`~hub.errors.Ambiguous` that it was and no whole answer came. aiohttp's
own second try of GET requests is switched off, so a call is made once.
"""

from hub.fetch.client import Answer, Download, Fetcher, http_of
from hub.fetch.verdicts import Forbidden, TooLarge
from hub.guard import ON_PREMISE, STRICT, Policy, forbidden_address, forbidden_url, policy_for

__all__ = [
    "ON_PREMISE",
    "STRICT",
    "Answer",
    "Download",
    "Fetcher",
    "Forbidden",
    "Policy",
    "TooLarge",
    "forbidden_address",
    "forbidden_url",
    "http_of",
    "policy_for",
]
