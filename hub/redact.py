"""Takes secrets out of text that people will read: logs, traces, error pages."""

import re
from collections.abc import Iterable, Mapping

__all__ = ["HIDDEN", "is_secret_name", "redact", "redact_headers"]

HIDDEN = "***"

# Exact names, as platforms and we spell them, in lower case without "-" and "_".
_SECRET_NAMES = frozenset(
    {
        "accesskey",
        "accesskeysecret",
        "accesstoken",
        "aeskey",
        "apikey",
        "appsecret",
        "auth",
        "authkey",
        "authorization",
        "authtoken",
        "bottoken",
        "clientsecret",
        "componentaccesstoken",
        "componentappsecret",
        "cookie",
        "corpsecret",
        "databaseurl",
        "encodingaeskey",
        "hubsecretkey",
        "intakesecret",
        "jsapiticket",
        "passwd",
        "password",
        "permanentcode",
        "presharedkey",
        "previousaeskey",
        "previoussecrets",
        "privatekey",
        "providersecret",
        "proxyauthorization",
        "redisurl",
        "refreshtoken",
        "secret",
        "secretkey",
        "sessionkey",
        "setcookie",
        "sign",
        "signature",
        "suiteaccesstoken",
        "suitesecret",
        "suiteticket",
        "ticket",
        "token",
        "webhooksignature",
        "xapikey",
    }
)
_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,40}"
_PAIR = re.compile(rf"(?<![A-Za-z0-9_-])({_NAME})=([^&\s\"'<>,;]+)")
_JSON = re.compile(rf'("({_NAME})"\s*:\s*")((?:[^"\\]|\\.)+)')
_XML = re.compile(rf"(<({_NAME})>(?:<!\[CDATA\[)?)([^<\]]+)")
_PLAIN = (
    (re.compile(r"\b(Bearer|Basic|QQBot|Bot)\s+[A-Za-z0-9+/=._~:-]{6,}", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), "whsec_***"),
    (re.compile(r"\bhub_(live|test)_([A-Za-z0-9]+)_[A-Za-z0-9_-]+"), r"hub_\1_\2_***"),
    # The path of a callback: /in/{channel}/{account}/{secret}
    (re.compile(r"(/in/[^/\s?#\"']+/[^/\s?#\"']+/)[^/\s?#\"']+"), r"\1***"),
    (re.compile(r"(\w://)[^/\s:@\"']*:[^/\s@\"']+@"), r"\1***@"),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        HIDDEN,
    ),
)


def is_secret_name(name: str) -> bool:
    """True when a value called *name* must not be shown."""
    return re.sub(r"[-_.]", "", name).lower() in _SECRET_NAMES


def _pair(match: re.Match[str]) -> str:
    return f"{match[1]}={HIDDEN}" if is_secret_name(match[1]) else match[0]


def _quoted(match: re.Match[str]) -> str:
    return match[1] + HIDDEN if is_secret_name(match[2]) else match[0]


def redact(text: str, known: Iterable[str] = ()) -> str:
    """*text* without secrets: the *known* ones, and whatever stands under a secret's name."""
    for secret in known:
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
    if "=" in text:
        text = _PAIR.sub(_pair, text)
    if '"' in text:
        text = _JSON.sub(_quoted, text)
    if "<" in text:
        text = _XML.sub(_quoted, text)
    for pattern, instead in _PLAIN:
        text = pattern.sub(instead, text)
    return text


def redact_headers(headers: Mapping[str, str], known: Iterable[str] = ()) -> dict[str, str]:
    """*headers* without secrets."""
    known = tuple(known)
    return {
        name: HIDDEN if is_secret_name(name) else redact(value, known)
        for name, value in headers.items()
    }
