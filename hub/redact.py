"""Takes secrets out of text that people will read: logs, traces, error pages."""

import re
from collections.abc import Iterable, Mapping

__all__ = ["HIDDEN", "is_secret_name", "mask", "redact", "redact_headers"]

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
        "qsignature",
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
        "xcossecuritytoken",
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


# --- people -----------------------------------------------------------------------------------------

_DIGITS = re.compile(r"(?![0-9])\d")
_MOBILE = re.compile(r"(?<!\d)(1[3-9]\d)([- ]?)\d{4}([- ]?)(\d{4})(?!\d)")
_INTERNATIONAL = re.compile(r"(?<![\w+])(\+\d{2,3})[\d -]{5,12}(\d{2})(?!\d)")
_ID_CARD = re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)")
_BANK_CARD = re.compile(r"(?<!\d)[3-6](?:[ -]?\d){14,18}(?!\d)")
_MAIL = re.compile(
    r"([^\s@<>\"'`,;:()\[\]{}=/\\*])([^\s@<>\"'`,;:()\[\]{}=/\\]*)@(?=[\w-]+(?:\.[\w-]+)+)"
)
_OPENID = re.compile(r"(?<![\w-])o[A-Za-z0-9_-]{23}([A-Za-z0-9_-]{4})(?![\w-])")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _id_card(match: re.Match[str]) -> str:
    digits = [int(one) for one in match[0][:17]]
    check = "10X98765432"[sum(a * b for a, b in zip(digits, _WEIGHTS, strict=True)) % 11]
    last = match[0][17]
    same = check == ("X" if last in "Xx" else str(int(last)))
    return f"{match[0][:3]}*************{match[0][-2:]}" if same else match[0]


def _bank_card(match: re.Match[str]) -> str:
    digits = [int(one) for one in match[0] if one.isdigit()]
    doubled = [sum(divmod(one * 2, 10)) for one in digits[-2::-2]]
    return f"****{match[0][-4:]}" if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else match[0]


def mask(text: str) -> str:
    """*text* with what names a person cut short: phones, ID and bank cards, mail addresses, openids.

    Digits of any script are written as ASCII. An ID card counts when its check digit fits, a bank card
    when its sum does.
    """
    if not text.isascii():
        text = _DIGITS.sub(lambda digit: str(int(digit[0])), text)
    if "@" in text:
        text = _MAIL.sub(r"\1***@", text)
    text = _OPENID.sub(r"o***\1", text)
    text = _ID_CARD.sub(_id_card, text)
    text = _BANK_CARD.sub(_bank_card, text)
    text = _MOBILE.sub(r"\1\2****\3\4", text)
    return _INTERNATIONAL.sub(r"\1****\2", text)
