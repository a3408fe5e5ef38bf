"""One platform call of a reply, and what the platform allows of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct


class Allowance(Struct, frozen=True, kw_only=True):
    """What a platform lets us say because of one trigger.

    *trigger* is the kind of thing that opened it ("message", "menu", "subscribe", "scan"), *key* is
    unique per trigger within the address (the trigger's own id). *remaining* is None when the platform
    sets no count. *group* names allowances that replace one another: a newer allowance of the same
    group closes the older one (each WeChat user message opens a fresh five). *mode* is what may be
    said: anything, a template only, or, without any trigger of the customer's, ``active`` messages
    (``remaining=0``: the customer refuses them).
    """

    trigger: str
    key: str
    opened_at: datetime
    until: datetime | None = None
    remaining: int | None = None
    mode: Literal["free", "template", "active"] = "free"
    group: str | None = None
    id: str | None = None


class Quota(Struct, frozen=True):
    """At most *limit* calls under *key* of the account in any *per_s* seconds."""

    key: str
    limit: int
    per_s: float


class Spoken(Struct, frozen=True):
    """What a call speaks under: the allowance's *trigger* and *key*, and its *turn* among its calls.

    Turns are counted from 1 and never given twice, not even after a call that did not arrive. A call
    that is made again keeps its turn; *again* says that an earlier try of it may have arrived.
    """

    trigger: str
    key: str
    turn: int
    again: bool = False


class Draft(Struct, frozen=True, kw_only=True):
    """One platform call of a reply.

    ``role="prepare"`` may be repeated and its result is kept under *result* (an upload's
    ``media_id``); ``role="say"`` speaks to the customer and runs at most once. Secrets and tokens
    stand as ``***`` and results of earlier drafts as ``{{name}}``; the sender puts both in when it
    sends. *text* is the part of the reply's text that this draft carries; *note* says what was
    downgraded and why; *cost* is how much of an allowance it uses; *fingerprint* lets the result of
    an equal prepare be used again while it is fresh; *deadline* ends its usefulness. *repeatable*
    says that the platform itself removes duplicates of this very call, so that it may be made again
    when nobody knows whether it arrived, for *repeatable_for_s* (None: at any time); *allowance* is
    the id of the allowance that it speaks under (None: the one that ends first); *timeout_s* how long
    the call may take where that is more than the usual 15 s (a large mail on a slow line).
    *only_in_answer* says that no call can make it: it goes inside the HTTP answer to a callback (see
    :class:`hub.channel.AwaitReply`), or waits for one. *quotas* are what the platform lets this
    customer have; the core counts them before the call.
    *shown* are facts that people see with the message (how many SMS it becomes). *spoken* is written
    by the core, with the intent to make the call and before it is made: senders read it, composers
    leave it alone.
    """

    method: str
    url: str
    role: Literal["prepare", "say"] = "say"
    headers: Mapping[str, str] = {}
    json: Any = None
    form: Mapping[str, Any] | None = None
    body: str | None = None
    result: str | None = None
    text: str | None = None
    note: str | None = None
    cost: int = 1
    fingerprint: str | None = None
    fresh_for_s: float | None = None
    deadline: datetime | None = None
    repeatable: bool = False
    repeatable_for_s: float | None = None
    allowance: str | None = None
    timeout_s: float | None = None
    only_in_answer: bool = False
    quotas: tuple[Quota, ...] = ()
    shown: Mapping[str, Any] = {}
    spoken: Spoken | None = None
    extra: Mapping[str, Any] = {}
