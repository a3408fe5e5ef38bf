"""How mail servers word their refusals; data for :mod:`bounces`. Sources: the corpora of real bounces."""

import re

__all__ = [
    "REASON_OF_STATUS",
    "REASON_WORDS",
    "RECIPIENTS_FOLLOW",
    "REFUSAL",
    "SUBJECT",
    "WAITING",
]


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# Subjects under which servers send mail back.
SUBJECT = _any(
    r"undeliver(?:able|ed)|non-?delivery",
    r"delivery (?:status notification|failure|failed|problem|report|has failed|notification)",
    r"mail(?: delivery)? (?:system error|failed|failure|delivery failed|status report|error)",
    r"return(?:ed|ing) (?:mail|message|to sender)",
    r"failure notice|could ?n[o']t be delivered|not deliverable|nondeliverable|non[- ]remis",
    r"message (?:delayed|undeliverable|rejected|blocked)|unable to deliver|delivery delayed",
    r"user unknown|mailbox (?:is )?(?:full|unavailable|over)|unzustellbar|impossible de remettre",
    r"退信|系统退信|投递失败|未送达|无法投递|無法傳遞|无法送达|发送失败|郵件未送達",
    r"niedostarczon|nie dostarczon|не доставлен|недоставленн",
)

REASON_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "over_quota",
        _any(
            r"quota|mailbox (?:exceeds|is over)|exceeds (?:the )?allowed size",
            r"mailbox (?:is )?(?:full|too large)|mailbox has exceeded|inbox is full",
            r"insufficient (?:disk|storage|space)|out of (?:disk|storage)|(?:account|user) is full",
            r"over ?(?:drawn|size)? ?(?:limit|storage)",
            r"exceeded (?:the |its )?storage|容量已满|空间不足|邮箱已满",
        ),
    ),
    (
        "too_large",
        _any(
            r"message (?:size )?(?:is )?(?:too (?:large|big)|exceed)", r"size limit|邮件过大|太大"
        ),
    ),
    (
        "spam",
        _any(
            r"\bspam|\bblock(?:ed|ing|list)|black ?list|\brbl\b|dnsbl|reputation|unsolicited|junk",
            r"\bpolicy\b|content (?:denied|rejected)|\bvirus|banned|\bspf\b|dmarc|垃圾邮件|拒收|黑名单",
        ),
    ),
    (
        "domain_error",
        _any(
            r"host(?:name)? (?:or domain name )?(?:unknown|not found|lookup)|unknown (?:host|domain)",
            r"domain (?:name )?(?:not found|does ?n[o']t exist|unknown)|name (?:service|server) error",
            r"no such (?:host|domain)|cannot find (?:your )?domain|unrouteable (?:mail )?domain",
            r"mx (?:record|lookup)|couldn'?t find any host|rcpthosts",
            r"relay(?:ing)? (?:access )?(?:denied|not)",
            r"域名(?:不存在|解析)",
        ),
    ),
    (
        "user_unknown",
        _any(
            r"(?:user|recipient|mailbox|address|account|name|addressee)s?\W{0,3}(?:is |are |was )?"
            r"(?:unknown|not (?:found|known|exist|listed|valid|a valid|here)|unavailable|invalid|disabled"
            r"|does ?n[o']t exist|has been (?:disabled|suspended)|rejected|inactive)",
            r"(?:unknown|invalid|no such|bad|illegal|nonexistent|not a valid) (?:local )?"
            r"(?:user|recipient|mailbox|address|account|addressee|person|alias)",
            r"does ?n[o']t have an? \S* ?account|no (?:mailbox|account)|not our customer",
            r"用户不存在|收件人不存在",
            r"地址不存在|帐号不存在|账号不存在|unroutable address|not listed in|undeliverable address",
        ),
    ),
)
# Enhanced status code (RFC 3463) → reason, where the words did not tell.
REASON_OF_STATUS: tuple[tuple[str, str], ...] = (
    ("5.1.2", "domain_error"),
    ("5.1.8", "domain_error"),
    ("5.1.", "user_unknown"),
    ("5.2.1", "user_unknown"),
    ("5.2.2", "over_quota"),
    ("4.2.2", "over_quota"),
    ("5.2.3", "too_large"),
    ("5.3.4", "too_large"),
    ("5.4.", "domain_error"),
    ("4.4.", "domain_error"),
    ("5.7.", "spam"),
)

# A line with which a server refuses.
REFUSAL = _any(
    *(pattern.pattern for _, pattern in REASON_WORDS if _ != "spam"),
    r"\b[45][0-5]\d[ -][#(]?[45]\.\d+\.\d+",
    r"(?:said|reply|responded|error|answer|response|smtp)\W{1,10}(?:was\W+)?[45][0-5]\d\b",
    r"(?m:^\W{0,10}[45][0-5]\d[ -]\S)",
    r"could ?n[o']t be delivered|not be delivered|undeliverable|delivery (?:has )?failed|failed permanently",
    r"permanent (?:fatal )?error|fatal errors|giving up|was (?:not delivered|returned|rejected|refused)",
    r"rejected (?:your|the|by)|refused (?:your|the|by)|not accepted|access denied",
    r"unable to (?:deliver|relay)",
    r"delivery to the following|following (?:recipient|address)|returned to (?:the )?sender|退回|投递失败",
)

# What stands above the recipients that a mail did not reach.
RECIPIENTS_FOLLOW = _any(
    r"(?:could ?n[o']t|not|unable to) (?:be )?deliver(?:ed)?(?: your message)? to\b[^\n:]{0,60}:?",
    r"(?:failed permanently|failed for|following (?:recipient|address|user)\w*)[^\n:]{0,60}:?",
    r"was not delivered to\b",
)

# The server is still trying.
WAITING = _any(
    r"will (?:continue to |keep )?(?:be )?(?:retr|try|attempt)",
    r"still (?:trying|being retried|in the queue)|warning: (?:message|could not send)",
    r"delivery (?:has been |is )?delayed|delayed mail|not yet been delivered|do not need to resend",
    r"将继续尝试|稍后重试",
)
