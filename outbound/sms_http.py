"""Any SMS gateway by settings: the request to send, and how its answer is read."""

import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from hub.channel import Account, Check, HttpAnswer, Tools
from hub.errors import (
    Ambiguous,
    BadCredentials,
    OptedOut,
    QuotaUsedUp,
    RateLimited,
    RecipientGone,
    Rejected,
    SendError,
    Unsupported,
)
from hub.model import Allowance, Draft, Receipt, Reply, Secret
from hub.text import at_path, single_line, split_text
from outbound._plain import noted
from outbound._sms import (
    FORM,
    HIDDEN,
    callback_check,
    check_status,
    form_bytes,
    plain_reply,
    shown_segments,
    unsigned_check,
)

__all__ = ["ERROR_CLASSES", "GatewayChecker", "GatewaySender", "Sending", "sending_mistakes"]

ErrorClass = Literal[
    "rejected",
    "recipient_gone",
    "rate_limited",
    "bad_credentials",
    "opted_out",
    "quota_used_up",
    "ambiguous",
]
ERROR_CLASSES: Mapping[str, type[SendError]] = {
    one.code: one
    for one in (
        Rejected,
        RecipientGone,
        RateLimited,
        BadCredentials,
        OptedOut,
        QuotaUsedUp,
        Ambiguous,
    )
}
_HOLE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_KNOWN = frozenset({"to", "to_digits", "from", "text", "id"})


class Sending(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.send]``: the request that sends one text, and how success looks.

    Texts may hold {to}, {to_digits}, {from}, {text}, {id} (our message's id) and the names of secrets.
    """

    method: Annotated[Literal["POST", "GET", "PUT"], Meta(description="Of the request")] = "POST"
    api_base: Annotated[str, Meta(description="Host of the gateway's API")]
    path: Annotated[str, Meta(description="Path of the request, with its query")] = "/"
    headers: Annotated[dict[str, str], Meta(description="Headers besides the usual ones")] = {}
    basic_auth: Annotated[str | None, Meta(description="user:password, for basic access")] = None
    form: Annotated[dict[str, str] | None, Meta(description="Fields of a form")] = None
    json: Annotated[dict[str, Any] | None, Meta(description="Or an object as JSON")] = None
    secrets: Annotated[
        dict[str, Secret], Meta(description="Secrets by a name of yours, to stand as {name}")
    ] = {}
    ok_path: Annotated[
        str | None, Meta(description="Where the answer says how it went; without it 2xx is success")
    ] = None
    ok_values: Annotated[tuple[str, ...], Meta(description="What it says there for success")] = ()
    id_path: Annotated[
        str | None, Meta(description="Where the answer names the gateway's id of the message")
    ] = None
    error_path: Annotated[
        str | None, Meta(description="Where the answer tells an error in words")
    ] = None
    errors: Annotated[
        dict[str, ErrorClass], Meta(description="What its codes (or HTTP statuses) mean")
    ] = {}
    max_characters: Annotated[
        int, Meta(ge=70, le=10_000, description="Longest text of one request")
    ] = 1600


def sending_mistakes(send: Sending) -> list[tuple[str, str]]:
    """What is wrong with the request as settings: (setting, why)."""
    found = []
    if not send.api_base.startswith(("https://", "http://")):
        found.append(("send.api_base", f"found {send.api_base!r}, wants a URL"))
    if send.form is not None and send.json is not None:
        found.append(("send.json", "wants either form or json"))
    if send.ok_path is not None and not send.ok_values:
        found.append(("send.ok_values", "is missing; wants what ok_path says for success"))
    whole = repr([send.path, send.headers, send.form, send.json, send.basic_auth])
    for hole in sorted(set(_HOLE.findall(whole)) - _KNOWN - set(send.secrets)):
        known = ", ".join(sorted(_KNOWN | set(send.secrets)))
        found.append(("send", f"found {{{hole}}}, wants one of {known}"))
    return found


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """*value* with its holes filled, once: what is filled in is not looked at again."""
    if isinstance(value, str):
        return _HOLE.sub(lambda hole: values.get(hole[1], hole[0]), value)
    if isinstance(value, Mapping):
        return {name: _filled(one, values) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, values) for one in value]
    return value


def _url(send: Sending, values: Mapping[str, str]) -> str:
    """Where the request goes; what is filled in stays one part of the path, or one value of the query."""
    plain = {name: quote(value, safe=HIDDEN) for name, value in values.items()}
    return f"{send.api_base.rstrip('/')}{_filled(send.path, plain)}"


class GatewaySender:
    """Says replies as texts of the account's number."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._settings = account.settings
        self._send: Sending | None = account.settings.send
        self._http = tools.http
        self._clock = tools.clock

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        send = self._send
        if send is None:
            raise Unsupported("this account only receives: [send] is not set")
        if reply.template:
            raise Unsupported("this channel has no templates")
        said = plain_reply(reply)
        drafts = [
            self._draft(send, reply, part)
            for part in split_text(said.text, send.max_characters, unit="utf-16")
        ]
        return noted(drafts, said.notes)

    def _draft(self, send: Sending, reply: Reply, text: str) -> Draft:
        sender = self._settings.number or str(reply.reply_context.get("to") or "")
        values = {
            "to": reply.to.value,
            "to_digits": reply.to.value.removeprefix("+"),
            "from": sender,
            "text": text,
            "id": reply.message_id or "",
        }
        hidden = values | dict.fromkeys(send.secrets, HIDDEN)
        headers = _filled(send.headers, hidden)
        if send.basic_auth is not None:
            headers = {**headers, "authorization": HIDDEN}
        return Draft(
            method=send.method,
            url=_url(send, hidden),
            headers=headers,
            form=_filled(send.form, hidden) if send.form is not None else None,
            json=_filled(send.json, hidden) if send.json is not None else None,
            text=text,
            shown=shown_segments(text),
            extra={"values": values},
        )

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "sent" means that the gateway took it."""
        send = self._send
        if send is None:
            raise Rejected("[send] is not set any more")
        secrets = {name: one.reveal() for name, one in send.secrets.items()}
        values = {**draft.extra["values"], **secrets}
        headers = dict(_filled(send.headers, values))
        if send.basic_auth is not None:
            given = base64.b64encode(_filled(send.basic_auth, values).encode()).decode("ascii")
            headers["authorization"] = f"Basic {given}"
        data, json = None, None
        if send.form is not None:
            headers |= FORM
            data = form_bytes(_filled(send.form, values))
        elif send.json is not None:
            json = _filled(send.json, values)
        answer = await self._http(
            send.method, _url(send, values), headers=headers, data=data, json=json
        )
        return self._judge(send, answer)

    def _judge(self, send: Sending, answer: HttpAnswer) -> Receipt:
        """Success is what the settings say; raises SendError for anything else."""
        if answer.status >= 300:
            kind = send.errors.get(str(answer.status))
            if kind is not None:
                raise ERROR_CLASSES[kind](f"HTTP {answer.status}", external_code=answer.status)
            check_status(answer)
        facts = _facts(answer)
        code = _at(facts, send.ok_path)
        if answer.status >= 400 or (send.ok_path and code not in send.ok_values):
            raise self._error(send, answer, facts, code)
        return Receipt(
            status="sent",
            external_id=_at(facts, send.id_path) or None,
            occurred_at=self._clock(),
        )

    def _error(self, send: Sending, answer: HttpAnswer, facts: Any, code: str) -> SendError:
        detail = single_line(_at(facts, send.error_path), 300)
        if answer.status < 300 and not code:
            return Ambiguous("the answer cannot be read")
        fallback = "bad_credentials" if answer.status in (401, 403) else "rejected"
        kind = ERROR_CLASSES[send.errors.get(code, fallback)]
        return kind(detail or f"HTTP {answer.status}", external_code=code or answer.status)


def _facts(answer: HttpAnswer) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _at(facts: Any, path: str | None) -> str:
    """The text at *path* ("messages.0.status"); empty when nothing stands there."""
    found = at_path(facts, path) if path else None
    if found is None or isinstance(found, dict | list):
        return ""
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


class GatewayChecker:
    """Says what to paste where; a gateway that is only known by settings cannot be asked more."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        settings = self._account.settings
        where = f"the callback for messages and for reports at {settings.provider}"
        yield callback_check(self._account, settings.public_url or public_url, where)
        if settings.signature.kind == "none":
            yield unsigned_check(self._account)
        else:
            yield Check(True, "callbacks are signed", f"as {settings.signature.kind}")
        sends = settings.send is not None
        advice = None if sends else "set [accounts.NAME.send] to answer"
        yield Check(sends, "sending", "set" if sends else "this account only receives", advice)
