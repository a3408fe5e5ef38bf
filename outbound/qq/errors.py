"""What QQ's error codes mean. They come in ``code`` and ``err_code``, which may differ, and inside 200 too.

Sources: [D] https://bot.q.qq.com/wiki/develop/api-v2/openapi/error/error.html and the pages of sending,
[N] the protocol of tencent-connect/qqbot-nodejs, [O] reports of developers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hub.channel import HttpAnswer
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unreachable,
    WindowClosed,
)
from hub.text import single_line
from outbound._calls import retry_after

__all__ = [
    "AUDITED",
    "ERRORS",
    "EXPIRED",
    "REPEATED",
    "TOKEN_ERRORS",
    "codes_of",
    "facts_of",
    "judge",
]

EXPIRED = 11244  # [D] the token is missing or over: fetch another, once
REPEATED = 40054005  # [D] this msg_seq has been used with this msg_id: the message is out already
AUDITED = frozenset({304023, 304024})  # [D] the platform reviews the message first

ERRORS: Mapping[int, type[SendError]] = {
    # --- who we are
    11241: BadCredentials,  # [D] wrong token
    11243: BadCredentials,  # [D] wrong token
    11244: BadCredentials,  # [D] still refused with a fresh token
    11245: BadCredentials,  # [O] the old scheme, switched off
    11298: BadCredentials,  # [O] our address is not in the bot's IP allow-list
    # --- the platform's own trouble: the same call again, with the same number
    11242: Ambiguous,  # [D]
    11252: Ambiguous,  # [D]
    11263: Ambiguous,  # [D]
    11281: Ambiguous,  # [D] "try once more"
    50055001: Ambiguous,  # [D]
    50055002: Ambiguous,  # [D]
    50055006: Ambiguous,  # [D]
    40054006: Ambiguous,  # [D]
    40034004: Unreachable,  # [D] the platform could not fetch a file; nothing was said
    304082: Unreachable,  # [D] the same
    304083: Unreachable,  # [D] the same
    # --- how often
    22009: RateLimited,  # [D] messages
    20028: RateLimited,  # [D] a channel
    304045: RateLimited,  # [D] active messages, and the five that follow
    304046: RateLimited,
    304047: RateLimited,
    304048: RateLimited,
    304049: RateLimited,
    304050: RateLimited,
    40034100: RateLimited,  # [D] active messages
    100017: RateLimited,  # [O] the gateway's address was asked for too often
    # --- what is answered cannot be answered any more
    304026: WindowClosed,  # [D] msg_id
    304027: WindowClosed,  # [D] msg_id is over
    304103: WindowClosed,  # [D] used up
    40034005: WindowClosed,  # [D] used up
    40034024: WindowClosed,  # [D] msg_id is not good, or another's
    40034025: WindowClosed,  # [D] event_id is not good
    40034026: WindowClosed,  # [D] msg_id is over
    40034027: WindowClosed,  # [D] event_id is over
    40034128: WindowClosed,  # [D] used up
    # --- whom
    304018: RecipientGone,  # [D]
    304025: RecipientGone,  # [D] blocked
    11255: RecipientGone,  # [D] no such target
    40011028: RecipientGone,  # [D] the same
    40034101: RecipientGone,  # [D] the bot is not in the group
    40054003: RecipientGone,  # [D] the bot is not in the group
    40054004: RecipientGone,  # [D] not friends
    40054013: RecipientGone,  # [D] refuses active messages
    40054016: RecipientGone,  # [D] the bot is offline
    40034102: Rejected,  # [D] no right to active messages
    40034105: Rejected,  # [D] the same
    40054002: Rejected,  # [D] the bot is muted
    11253: Rejected,  # [D] no right to this interface
    11254: Rejected,  # [D] the same
    11264: Rejected,  # [D] the same
    11265: Rejected,  # [D] banned
    # --- what
    22006: Rejected,  # [D] empty
    340069: Rejected,  # [D] type
    50006: Rejected,  # [D] empty
    304003: Rejected,  # [D] a link that is not in the console's list
    40054010: Rejected,  # [D] the same
    40034006: Rejected,  # [D] against the rules
    40054007: Rejected,  # [D] too long
    40054018: Rejected,  # [D] too long
    304036: Rejected,  # [D] no right to Markdown
    304037: Rejected,  # [D] no right to this keyboard
    40034008: Rejected,  # [D] Markdown, and the three that follow
    40034009: Rejected,
    40034010: Rejected,
    40034011: Rejected,
    40034090: Rejected,  # [D] Markdown
    40034124: Rejected,  # [D] Markdown
    40034127: Rejected,  # [D] Markdown
    305007: Rejected,  # [D] keyboard
    40034029: Rejected,  # [D] keyboard
    304004: Rejected,  # [D] ark
    304061: Rejected,  # [D] file
    304064: Rejected,  # [D] file
    304080: Rejected,  # [D] file_info
    40011000: Rejected,  # [D] a parameter
}

# The token call answers 200 with these in place of a token.
TOKEN_ERRORS: Mapping[int, type[SendError]] = {
    100001: RateLimited,  # [D] too many requests
    100007: BadCredentials,  # [D] app id unknown, or the bot is banned or deleted
    100016: BadCredentials,  # [D] app id or secret
    10004: BadCredentials,  # [O] no such bot
}

# In a sentence, where the platform's own words do not tell what to do.
_EXPLAINED: Mapping[int, str] = {
    304003: "the link is not registered: add it in the console under 开发设置 → 消息URL配置",
    40054010: "the link is not registered: add it in the console under 开发设置 → 消息URL配置",
    304036: "the bot has no right to Markdown: set markdown and keyboards to false, or apply for it",
    40034102: "the bot has no right to write first: set active_messages to false",
    40034105: "the bot has no right to write first here: set active_messages to false",
    11298: "the hub's address is not in the bot's list: add it under 开发设置 → IP白名单",
}
_PAUSES: Mapping[int, float] = {22009: 5.0, 20028: 2.0, 40034100: 60.0, 100001: 60.0, 100017: 60.0}


def facts_of(answer: HttpAnswer) -> Mapping[str, Any] | None:
    """The body as an object, or None; an answer may be anything."""
    try:
        facts = answer.json()
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def codes_of(facts: Mapping[str, Any]) -> Iterator[int]:
    """The codes of an error, the more telling one first."""
    for name in ("err_code", "code"):
        code = facts.get(name)
        if isinstance(code, str) and code.isascii() and code.isdigit():
            code = int(code[:12])
        if isinstance(code, int) and not isinstance(code, bool) and code:
            yield code


def judge(
    answer: HttpAnswer,
    *,
    speaks: bool,
    errors: Mapping[int, type[SendError]] = ERRORS,
) -> Mapping[str, Any]:
    """The facts in *answer*, which is a success; success is judged by the body.

    *speaks*: the call says something to somebody, so a doubtful answer may mean that it did.

    Raises:
        SendError: it is none.
    """
    doubt = Ambiguous if speaks else Unreachable
    facts = facts_of(answer)
    codes = list(codes_of(facts or {}))
    known = next((code for code in codes if code in errors), None)
    if known is not None:
        kind = errors[known]
        raise _error(kind if speaks or kind is not Ambiguous else Unreachable, known, answer, facts)
    if answer.status >= 500:
        raise doubt(f"HTTP {answer.status}", trace_id=_trace(answer, facts))
    if answer.status == 429:
        raise _error(RateLimited, 429, answer, facts)
    if answer.status in (401, 403, 407):
        raise _error(BadCredentials, codes[-1] if codes else answer.status, answer, facts)
    if answer.status >= 300 or codes:
        raise _error(Rejected, codes[-1] if codes else answer.status, answer, facts)
    if facts is None and (speaks or answer.body.strip()):
        raise doubt("the answer cannot be read")
    return facts or {}


def _error(
    kind: type[SendError], code: int, answer: HttpAnswer, facts: Mapping[str, Any] | None
) -> SendError:
    said = single_line(str((facts or {}).get("message") or f"HTTP {answer.status}"), 300)
    explained = _EXPLAINED.get(code)
    return kind(
        f"{explained} ({said})" if explained else said,
        external_code=code,
        trace_id=_trace(answer, facts),
        retry_after=_pause(answer, code),
    )


def _pause(answer: HttpAnswer, code: int) -> float | None:
    asked = retry_after(answer)
    return _PAUSES.get(code) if asked is None else asked


def _trace(answer: HttpAnswer, facts: Mapping[str, Any] | None) -> str | None:
    """What the platform's support asks for."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    trace = headers.get("x-tps-trace-id") or (facts or {}).get("trace_id")
    return single_line(str(trace), 100) if trace else None
