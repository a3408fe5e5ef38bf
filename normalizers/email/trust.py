"""Whether the sender is who they say: what the receiving server found out (RFC 8601)."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from normalizers.email.headers import Headers

__all__ = ["Trust", "trust_in"]

Verdict = Literal["pass", "fail", "unknown"]
_COMMENT = re.compile(r"\([^()]*\)")
_RESULT = re.compile(r"\s*(spf|dkim|dmarc|compauth)\s*=\s*([a-z]+)", re.IGNORECASE)
_PROPERTY = re.compile(r"\b([a-z]+\.[a-z-]+)\s*=\s*([^\s;]+)", re.IGNORECASE)
# Microsoft 365 writes the field without saying who it is.
_NAMELESS = ("protection.outlook.com", "outlook.com")
_FAILURES = frozenset({"fail", "softfail", "permerror"})


class Trust(NamedTuple):
    """*verdict* on the From address; *results* are spf, dkim and dmarc as the server gave them."""

    verdict: Verdict = "unknown"
    results: Mapping[str, str] = {}

    def facts(self) -> dict[str, Any]:
        """The trust for ``extra``."""
        return {"sender_trust": self.verdict} | (
            {"authentication": dict(self.results)} if self.results else {}
        )


def _without_comments(text: str) -> str:
    for _ in range(5):
        text, count = _COMMENT.subn(" ", text)
        if not count:
            break
    return text


def _field(headers: Headers, authserv: str) -> list[str] | None:
    """The results of the topmost field that the trusted server wrote; anybody can write the others."""
    for raw in headers.raws("authentication-results"):
        head, *results = _without_comments(raw[:8192].decode("latin-1")).split(";")
        name = head.split()[0].lower() if head.strip() else ""
        if "=" in head:
            name, results = _NAMELESS[0], [head, *results]
        if name == authserv or (authserv in _NAMELESS and name in _NAMELESS):
            return results
    return None


def _aligned(domain: str, own: str) -> bool:
    """Whether *own* speaks for *domain*: the same, or one below the other."""
    domain, own = domain.lower().strip("\"'<>@."), own.lower()
    return bool(domain) and (
        domain == own or own.endswith(f".{domain}") or domain.endswith(f".{own}")
    )


def trust_in(headers: Headers, sender: str, authserv: str) -> Trust:
    """What the server *authserv* found out about *sender*; empty: nobody is believed."""
    results = _field(headers, authserv.lower()) if authserv else None
    if results is None:
        return Trust()
    found: dict[str, str] = {}
    aligned = False
    domain = sender.rpartition("@")[2]
    for text in results:
        match = _RESULT.match(text)
        if not match:
            continue
        method, value = match[1].lower(), match[2].lower()
        properties = {key.lower(): one for key, one in _PROPERTY.findall(text)}
        told = properties.get("header.d") or properties.get("header.i", "").rpartition("@")[2]
        if method == "spf":
            envelope = properties.get("smtp.mailfrom") or properties.get("smtp.mail") or ""
            told = envelope.rpartition("@")[2]
        if method in ("dkim", "spf") and value == "pass" and _aligned(told, domain):
            aligned = True
        if found.get(method) != "pass":
            found[method] = value
    if found.get("dmarc") == "pass" or (aligned and found.get("dmarc") != "fail"):
        return Trust("pass", found)
    is_refuted = any(found.get(name) in _FAILURES for name in ("dmarc", "spf", "dkim"))
    return Trust("fail" if is_refuted else "unknown", found)
