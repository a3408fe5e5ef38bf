"""QQ official bot: how replies leave, and what the account can be asked.

``errors.py`` holds the table of the platform's codes, ``compose.py`` what a reply becomes, ``api.py`` how
a call is made.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from hub.channel import Account, Check, HttpAnswer, Tools
from hub.errors import Rejected, SendError, Unreachable, WindowClosed
from hub.model import Allowance, Attachment, Draft, Receipt, Reply, ReplyAttachment, Spoken
from outbound._calls import callback_check, filled
from outbound.qq.api import QqApi
from outbound.qq.compose import MEDIA_LIMITS, TEXT_LIMIT, UNKNOWN, Plan, compose, target_of
from outbound.qq.errors import AUDITED, REPEATED, codes_of, facts_of, judge

__all__ = ["MEDIA_LIMITS", "TEXT_LIMIT", "QqApi", "QqChecker", "QqMedia", "QqSender"]

_PORTS = re.compile(r"https://[^/:]+(?::(?:80|443|8080|8443))?/.*")


class QqSender:
    """Says replies as the bot.

    Source: https://bot.q.qq.com/wiki/develop/api-v2/server-inter/message/send-receive/send.html
    """

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._api = QqApi(account, tools)
        self._tools = tools
        self._settings = account.settings

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The calls that say *reply*; see :class:`hub.channel.Sender`."""
        settings = self._settings
        guild = settings.guild_window_s
        plan = Plan(
            target=target_of(reply, self._api.base),
            active=settings.active_messages,
            markdown=settings.markdown,
            keyboards=settings.keyboards,
            windows={
                "c2c": settings.c2c_window_s,
                "group": settings.group_window_s,
                "channel": guild,
                "dm": guild,
            },
        )
        return compose(reply, allowances, plan, self._tools.clock())

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make the call; "held" means that the platform reviews the message first."""
        if draft.role == "prepare":
            return await self._upload(draft)
        body = _answering(filled(draft.json, results, ("file_info",)), draft)
        answer = await self._api.answer(draft.method, draft.url, speaks=True, json=body)
        facts = facts_of(answer) or {}
        codes = set(codes_of(facts))
        if codes & AUDITED:
            return _held(facts)
        if REPEATED in codes:
            return _repeated(draft.spoken)
        return _sent(judge(answer, speaks=True))

    async def _upload(self, draft: Draft) -> Receipt:
        attachment = msgspec.convert(draft.extra["attachment"], ReplyAttachment)
        content = await self._tools.media.read(attachment)
        facts = await self._api.upload(draft.url, draft.json, content)
        return Receipt(status="sent", results={draft.result or "file_info": facts["file_info"]})


def _answering(body: Any, draft: Draft) -> Any:
    """*body* as the answer that the core says it is: to which message or event, and which of them.

    Raises:
        WindowClosed: it is an answer, and there is nothing to answer: as it is it would go out as an
            active message.
    """
    spoken = draft.spoken
    if spoken is not None and draft.extra.get("answers"):
        kept = {name: one for name, one in body.items() if name not in ("msg_id", "event_id")}
        field = "event_id" if spoken.trigger == "event" else "msg_id"
        body = {**kept, field: spoken.key}
        if "msg_seq" in body:
            body["msg_seq"] = spoken.turn
    if draft.extra.get("answers") and body.get("msg_id", body.get("event_id")) in (None, UNKNOWN):
        raise WindowClosed("there is no message that could be answered; the customer has to write")
    return body


def _sent(facts: Mapping[str, Any]) -> Receipt:
    own, extra = facts.get("id"), facts.get("ext_info")
    reference = extra.get("ref_idx") if isinstance(extra, dict) else None
    return Receipt(
        status="sent",
        external_id=str(own) if own else None,
        known_ids=(str(reference),) if reference else (),
        occurred_at=_time(facts.get("timestamp")),
    )


def _time(value: Any) -> datetime | None:
    """RFC 3339, or seconds since 1970 as it once was."""
    try:
        if isinstance(value, str) and not value.isdigit():
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else None
        return datetime.fromtimestamp(int(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _held(facts: Mapping[str, Any]) -> Receipt:
    """The review's outcome comes as an event that names ``audit_id``."""
    data = facts.get("data")
    audit = data.get("message_audit") if isinstance(data, dict) else None
    own = (audit.get("audit_id") if isinstance(audit, dict) else None) or facts.get("audit_id")
    return Receipt(
        status="held",
        external_id=f"audit:{own}"[:200] if own else None,
        code=str(next(codes_of(facts), "")),
        detail="the platform reviews it",
    )


def _repeated(spoken: Spoken | None) -> Receipt:
    """This number has been used: by an earlier try of ours, which then arrived, or by somebody else.

    Raises:
        Unreachable: it was not ours; nothing was said, and the next number may be free.
    """
    if spoken is not None and not spoken.again:
        raise Unreachable("this msg_seq has been used by somebody else", external_code=REPEATED)
    return Receipt(status="sent", detail="an earlier try had arrived")


class QqMedia:
    """Fetches what somebody sent, from the address in the message; it is good for a while only."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._tools = tools

    async def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The file; of a voice message the WAV that the platform made, where it did.

        Raises:
            SendError: it cannot be had.
        """
        wav, url = attachment.source.get("voice_wav_url"), attachment.source.get("url")
        if not wav and not url:
            raise Rejected("the message has no address of the file")
        yield (await self._fetched(str(wav or url))).body

    async def _fetched(self, url: str) -> HttpAnswer:
        answer = await self._tools.http("GET", url, timeout=60.0)
        if answer.status != 200:
            kind: type[SendError] = Unreachable if answer.status >= 500 else Rejected
            raise kind(f"HTTP {answer.status}", external_code=answer.status)
        return answer


class QqChecker:
    """Tries the credentials and the gateway, and says what to paste into the platform's console."""

    def __init__(self, account: Account[Any], tools: Tools) -> None:
        self._account = account
        self._api = QqApi(account, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come; see :class:`hub.channel.Checker`."""
        yield self._intake(public_url)
        credentials = await self._credentials()
        yield credentials
        if credentials.ok:
            yield await self._bot()
            if self._account.settings.intake == "gateway":
                yield await self._gateway()

    def _intake(self, public_url: str | None) -> Check:
        if self._account.settings.intake == "gateway":
            return Check(True, "events", "by the gateway; set no callback URL in the console")
        advice = "paste it under 开发 → 回调配置, and tick the events"
        takes = "https on port 443, 8443, 80 or 8080 only"
        return callback_check(self._account, public_url, advice, takes, _PORTS.fullmatch)

    async def _credentials(self) -> Check:
        name = "app id and secret"
        try:
            await self._api.fetch_token()
        except SendError as error:
            return Check(False, name, f"{error.sentence} {error.detail}", _advice(error))
        return Check(True, name, "the platform gives a token for them")

    async def _bot(self) -> Check:
        """Who the bot is; the first call that the platform's IP allow-list would refuse."""
        try:
            facts = await self._api.call("GET", f"{self._api.base}/users/@me", speaks=False)
        except SendError as error:
            return Check(False, "bot", f"{error.sentence} {error.detail}", _advice(error))
        return Check(True, "bot", str(facts.get("username") or facts.get("id") or "answers"))

    async def _gateway(self) -> Check:
        try:
            facts = await self._api.call("GET", f"{self._api.base}/gateway/bot", speaks=False)
        except SendError as error:
            return Check(False, "gateway", f"{error.sentence} {error.detail}", _advice(error))
        limit = facts.get("session_start_limit")
        left = limit.get("remaining") if isinstance(limit, dict) else "?"
        return Check(left != 0, "gateway", f"{facts.get('url')}, {left} sessions left today", None)


def _advice(error: SendError) -> str:
    if error.external_code == "11298":
        return "add the hub's address under 开发设置 → IP白名单; without a fixed one set proxy"
    if error.external_code in ("100016", "100007", "10004"):
        return "copy app_id and secret again from 开发 → 开发设置"
    return "see docs/channels/qq.md"
