"""QQ official bot (API v2): proves that an event is genuine, and answers the address check.

Sources: https://bot.q.qq.com/wiki/develop/api-v2/dev-prepare/interface-framework/event-emit.html,
…/sign.html
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from adapters._qq_gateway import QqListener
from adapters._qq_signing import SigningKey
from hub.channel import (
    Account,
    Bell,
    Capabilities,
    Channel,
    Intake,
    IntakeRequest,
    Response,
    Tools,
)
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Secret
from normalizers._qq_event import event_of
from normalizers._wechat_fields import text_of
from normalizers.qq import normalize, opens
from outbound.qq import MEDIA_LIMITS, TEXT_LIMIT, QqChecker, QqMedia, QqSender

__all__ = ["CHANNEL", "QqAdapter", "QqSettings"]

_API_BASE = "https://api.bot.qq.com"
_MAX_BODY = 1 << 20
_MAX_HANDSHAKE = 2048
_APP_ID = re.compile(r"[0-9A-Za-z_-]{1,32}")
_JSON = {"content-type": "application/json; charset=utf-8"}
_TAKEN = Response(200, b'{"op":12,"d":0}', _JSON)
_DISPATCH, _HEARTBEAT, _HEARTBEAT_ACK, _ADDRESS_CHECK = 0, 1, 11, 13
_AHEAD = timedelta(minutes=5)
_CHECKS_EACH_MINUTE = 30


class QqSettings(Struct, frozen=True, kw_only=True):
    """What a bot needs; app id and secret stand in the console at q.qq.com."""

    app_id: Annotated[str, Meta(description="AppID (机器人ID) of the bot")]
    secret: Annotated[Secret, Meta(description="AppSecret of the bot; it signs events too")]
    intake: Annotated[
        Literal["webhook", "gateway"],
        Meta(description="Events are pushed to us, or come by the WebSocket gateway; never both"),
    ] = "webhook"
    groups: Annotated[
        Literal["addressed", "all", "none"],
        Meta(
            description="In groups and channels: take only what addresses the bot, all, or nothing"
        ),
    ] = "addressed"
    c2c_replies: Annotated[
        int, Meta(ge=1, le=1000, description="Replies that one message of a person allows")
    ] = 4
    c2c_window_s: Annotated[
        float, Meta(ge=30, description="For how long a person's message can be answered, seconds")
    ] = 3600.0
    group_replies: Annotated[
        int, Meta(ge=1, le=1000, description="Replies that one message in a group allows")
    ] = 5
    group_window_s: Annotated[
        float, Meta(ge=30, description="For how long a group's message can be answered, seconds")
    ] = 300.0
    guild_window_s: Annotated[
        float, Meta(ge=30, description="For how long a message of a guild can be answered, seconds")
    ] = 300.0
    active_messages: Annotated[
        bool,
        Meta(
            description="True: what no message can carry any more goes out on its own, from the bot's quota"
        ),
    ] = False
    markdown: Annotated[
        bool, Meta(description="True: text is sent as Markdown; the bot needs the permission")
    ] = False
    keyboards: Annotated[
        bool, Meta(description="True: menus are sent as buttons; False: as a list in the text")
    ] = True
    intents: Annotated[
        tuple[int, ...], Meta(description="Bits of the events that the gateway is asked for")
    ] = (12, 25, 26, 27, 30)
    max_age_hours: Annotated[
        float, Meta(gt=0, le=720, description="An event that was signed before that is refused")
    ] = 24.0
    api_base: Annotated[str, Meta(description="Host of the platform's API")] = _API_BASE
    token_api_base: Annotated[
        str | None, Meta(description="Host that gives access tokens, where it is not api_base")
    ] = None
    proxy: Annotated[
        str | None, Meta(description="HTTP proxy towards the platform, whose address it must know")
    ] = None
    intake_secret: Annotated[
        Secret | None, Meta(description="A further, secret segment of the callback's path")
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        if not _APP_ID.fullmatch(self.app_id):
            yield "app_id", f"found {self.app_id!r}, wants an AppID such as 102000000"
        if not self.secret:
            yield "secret", "is empty; wants the AppSecret of the console"
        if any(not 0 <= bit <= 31 for bit in self.intents):
            yield "intents", f"found {list(self.intents)}, wants bits from 0 to 31"
        for name, base in (("api_base", self.api_base), ("token_api_base", self.token_api_base)):
            if base is not None and not base.startswith(("https://", "http://")):
                yield name, f"found {base!r}, wants a URL such as {_API_BASE}"


class _Pushed(Struct):
    """As much of a push as the door looks at."""

    op: int = -1
    s: int | None = None
    t: str | None = None
    d: msgspec.Raw = msgspec.Raw(b"null")


class _AddressCheck(Struct):
    """What the platform wants signed, to see that we know the secret."""

    plain_token: str
    event_ts: str | int


class QqAdapter:
    """The door of one bot."""

    def __init__(self, account: Account[QqSettings], tools: Tools) -> None:
        settings = account.settings
        self._account = account.name
        self._app_id = settings.app_id
        self._key = SigningKey(settings.secret.reveal())
        self._max_age = timedelta(hours=settings.max_age_hours)
        self._pushed = settings.intake == "webhook"
        self._tools = tools
        self._checks: list[datetime] = []

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove one request; see :class:`hub.channel.Adapter`.

        Whatever is signed is verified, the address check too; that alone may come without.
        """
        if request.method != "POST":
            raise NotRecognised(f"method {request.method}")
        if not request.body or len(request.body) > _MAX_BODY:
            raise NotRecognised(f"a body of {len(request.body)} bytes")
        if request.headers.get("x-bot-appid", "") != self._app_id:
            raise NotAuthentic("X-Bot-Appid is not that of this account")
        signed = self._is_signed(request)
        pushed = _read(request.body)
        if pushed.op == _ADDRESS_CHECK:
            return Intake(response=self._prove_address(request, pushed))
        if not signed:
            raise NotAuthentic("no signature")
        return self._take(request, pushed)

    def _is_signed(self, request: IntakeRequest) -> bool:
        """Whether the request is signed, and rightly so; False: it does not even say so.

        Raises:
            NotAuthentic: the signature is wrong, or from another time.
        """
        signature = request.headers.get("x-signature-ed25519")
        timestamp = request.headers.get("x-signature-timestamp")
        if signature is None and timestamp is None:
            return False
        if not self._key.is_signed(signature or "", timestamp or "", request.body):
            raise NotAuthentic("the signature does not fit")
        age = request.received_at.timestamp() - int(timestamp or 0)
        if not -_AHEAD.total_seconds() <= age <= self._max_age.total_seconds():
            raise NotAuthentic(f"signed {age:.0f} s ago, by our clock")
        return True

    def _take(self, request: IntakeRequest, pushed: _Pushed) -> Intake:
        if pushed.op == _HEARTBEAT:
            beat = {"op": _HEARTBEAT_ACK, "d": pushed.s or 0}
            return Intake(response=Response(200, msgspec.json.encode(beat), _JSON))
        if not self._pushed:
            raise NotRecognised("this account takes its events from the gateway")
        event = event_of(request.body, self._account, request.received_at, "ed25519")
        return Intake((event,), _taps(pushed), _TAKEN)

    def _prove_address(self, request: IntakeRequest, pushed: _Pushed) -> Response:
        """The answer to "is this address yours?"; never a signature that an event could carry."""
        if len(request.body) > _MAX_HANDSHAKE or not self._may_check(request.received_at):
            raise NotAuthentic("an address check that is too long, or one of too many")
        try:
            asked = msgspec.json.decode(pushed.d, type=_AddressCheck)
        except (ValueError, RecursionError):
            raise NotAuthentic("an address check of another form") from None
        signature = self._key.answer(str(asked.event_ts), asked.plain_token)
        if signature is None:
            raise NotAuthentic("an address check of another form")
        self._tools.log.info("address_checked")
        answer = {"plain_token": asked.plain_token, "signature": signature}
        return Response(200, msgspec.json.encode(answer), _JSON)

    def _may_check(self, now: datetime) -> bool:
        """Addresses are checked by hand: more than a few in a minute are somebody else's."""
        self._checks = [at for at in self._checks if now - at < timedelta(minutes=1)]
        if len(self._checks) >= _CHECKS_EACH_MINUTE:
            return False
        self._checks.append(now)
        return True


def _read(body: bytes) -> _Pushed:
    """As much of *body* as the door looks at.

    Raises:
        NotRecognised: it does not begin as an object. All that an address check could have made us
            sign is without braces, so none of it can pass here.
    """
    if body.lstrip()[:1] != b"{":
        raise NotRecognised("the body is no object")
    try:
        return msgspec.json.decode(body, type=_Pushed)
    except (ValueError, RecursionError):
        return _Pushed(op=_DISPATCH)  # it may be signed: then it is shown as it is


def _taps(pushed: _Pushed) -> tuple[Bell, ...]:
    """A tapped button wants to be acknowledged within seconds; the listener does it, once it is stored."""
    if pushed.t != "INTERACTION_CREATE":
        return ()
    try:
        data: Any = msgspec.json.decode(pushed.d)
    except (ValueError, RecursionError):
        return ()
    own = text_of(data, "id") if isinstance(data, dict) else ""
    return (Bell("interaction", {"id": own}),) if own else ()


CHANNEL = Channel(
    key="qq",
    title="QQ official bot (QQ 机器人)",
    settings=QqSettings,
    normalize=normalize,
    adapter=QqAdapter,
    listener=QqListener,
    sender=QqSender,
    media=QqMedia,
    checker=QqChecker,
    opens=opens,
    capabilities=Capabilities(
        max_text_characters=TEXT_LIMIT,
        attachments=MEDIA_LIMITS,
        reply_window=timedelta(hours=1),
        allowance=4,
        receipts=("sent", "held", "failed"),
        quoting=True,
        proactive=True,
        menus=True,
        templates=True,
    ),
    docs_url="https://bot.q.qq.com/wiki/develop/api-v2/",
)
