"""OneBot v11: a personal QQ account through an implementation such as NapCat or Lagrange.

Events come by HTTP POST (signed), by a WebSocket that the implementation opens to us (reverse), or by
one that we open to it (forward); all three lead to the same events.

Source: https://github.com/botuniverse/onebot-11 (communication/*.md)
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from adapters._onebot_link import MAX_FRAME_BYTES, Link, Role, event_of
from hub.channel import (
    Account,
    Capabilities,
    Channel,
    Connection,
    Emit,
    Intake,
    IntakeRequest,
    Response,
    Tools,
    Wake,
)
from hub.errors import NotAuthentic, NotRecognised, Unreachable
from hub.model import Secret
from normalizers._json_fields import read_object
from normalizers._onebot_event import text_of
from normalizers.onebot import normalize, opens
from outbound.onebot import FILE_LIMITS, TEXT_LIMIT, OneBotChecker, OneBotMedia, OneBotSender

__all__ = ["CHANNEL", "OneBotAdapter", "OneBotSettings", "OneBotSocket"]

RECONNECT_S = 3.0
"""The standard's own interval between two tries to connect."""

_MAX_BODY = 8 << 20
_NOTHING = Response(204)
"""Anything in the body of an answer could be a "quick operation", which the implementation carries out."""


class OneBotSettings(Struct, frozen=True, kw_only=True):
    """What an account needs; one way in is enough."""

    self_id: Annotated[int | str, Meta(description="The QQ number of the account")]
    secret: Annotated[
        Secret | None, Meta(description="Signs events that come by HTTP POST (NapCat: its token)")
    ] = None
    access_token: Annotated[
        Secret | None,
        Meta(description="Bearer token of the WebSocket, either way, and of the HTTP API"),
    ] = None
    websocket_url: Annotated[
        str | None, Meta(description="Where the hub connects to, for a forward WebSocket")
    ] = None
    api_base: Annotated[
        str | None,
        Meta(description="The HTTP API; without it, actions go through the WebSocket"),
    ] = None
    groups: Annotated[
        Literal["addressed", "all", "none"],
        Meta(description="Which messages of groups are taken: those that mention the account, all"),
    ] = "addressed"
    proxy: Annotated[
        str | None, Meta(description="HTTP proxy towards the implementation and QQ's file servers")
    ] = None
    intake_secret: Annotated[
        Secret | None,
        Meta(description="A further, secret segment of the path; then the others may be missing"),
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that cannot work, and why."""
        number = str(self.self_id)
        if not (number.isascii() and number.isdigit() and 4 < len(number) < 13):
            yield "self_id", f"found {self.self_id!r}, wants a QQ number such as 10001000"
        if self.websocket_url and not self.websocket_url.startswith(("ws://", "wss://")):
            yield (
                "websocket_url",
                f"found {self.websocket_url!r}, wants a URL such as ws://host:3001/",
            )
        if self.api_base and not self.api_base.startswith(("http://", "https://")):
            yield "api_base", f"found {self.api_base!r}, wants a URL such as http://host:3000"
        if not (self.secret or self.access_token or self.intake_secret or self.websocket_url):
            yield "access_token", "is missing; nobody could prove to be the implementation"


class OneBotAdapter:
    """The door of HTTP POST."""

    def __init__(self, account: Account[OneBotSettings], tools: Tools) -> None:
        settings = account.settings
        self._self_id = str(settings.self_id)
        self._secret = settings.secret.reveal().encode() if settings.secret else None
        self._open = bool(settings.intake_secret)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove one event genuine; see :class:`hub.channel.Adapter`. The answer is always empty."""
        if request.method != "POST":
            raise NotRecognised(f"method {request.method}")
        if not request.body or len(request.body) > _MAX_BODY:
            raise NotRecognised(f"a body of {len(request.body)} bytes")
        proof = self._prove(request)
        fields = read_object(request.body)
        if fields is not None and text_of(fields, "post_type") == "meta_event":
            return Intake(response=_NOTHING)
        return Intake(
            (event_of(request.body, fields, request.received_at, proof),), response=_NOTHING
        )

    def _prove(self, request: IntakeRequest) -> str:
        _check_self_id(request.headers, self._self_id)
        if self._secret is None:
            if not self._open:
                raise NotAuthentic("no secret is set for HTTP POST")
            return "intake_secret"
        digest = hmac.new(self._secret, request.body, hashlib.sha1).hexdigest()
        given = request.headers.get("x-signature", "")
        if not hmac.compare_digest(f"sha1={digest}".encode(), given.encode("utf-8", "replace")):
            raise NotAuthentic("the signature does not fit")
        return "x-signature"


class OneBotSocket:
    """The door of the reverse WebSocket. The newest connection of a role counts: an older one is closed."""

    max_frame_bytes = MAX_FRAME_BYTES

    def __init__(self, account: Account[OneBotSettings], tools: Tools) -> None:
        self._account = account
        self._tools = tools
        self._links: dict[Role, Link] = {}

    async def serve(self, connection: Connection, emit: Emit) -> None:
        """Run one connection until it ends; see :class:`hub.channel.Socket`."""
        headers = connection.headers
        _check_token(headers, self._account.settings)
        _check_self_id(headers, str(self._account.settings.self_id))
        role = _role(headers)
        link = Link(connection, emit, self._account, self._tools, role)
        before, self._links[role] = self._links.get(role), link
        if before is not None:
            # It may be half open: whoever came back must not be locked out by its own ghost.
            before.supersede()
        try:
            await link.run()
        finally:
            if self._links.get(role) is link:
                del self._links[role]


def _check_self_id(headers: Mapping[str, str], self_id: str) -> None:
    given = headers.get("x-self-id", "").strip()
    if given and given != self_id:
        raise NotAuthentic("X-Self-ID is that of another account")


def _check_token(headers: Mapping[str, str], settings: OneBotSettings) -> None:
    """NapCat sends ``Bearer `` when it has no token: that is none."""
    if not settings.access_token:  # an empty one would let everybody in
        if not settings.intake_secret:
            raise NotAuthentic("no access_token is set for WebSockets")
        return
    scheme, _, given = headers.get("authorization", "").strip().partition(" ")
    wanted = settings.access_token.reveal().encode()
    same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted)
    if scheme.lower() not in ("bearer", "token") or not same:
        raise NotAuthentic("the access token does not fit")


def _role(headers: Mapping[str, str]) -> Role:
    named = headers.get("x-client-role", "").strip().lower()
    return {"api": Role.API, "event": Role.EVENT}.get(named, Role.UNIVERSAL)


class OneBotListener:
    """The forward WebSocket: the hub connects, and comes back when it is cut."""

    def __init__(self, account: Account[OneBotSettings], tools: Tools, url: str) -> None:
        self._account = account
        self._tools = tools
        self._url = url

    async def listen(self, emit: Emit, wake: Wake) -> None:
        """Run until cancelled; see :class:`hub.channel.Listener`. Each cut is an exception."""
        token = self._account.settings.access_token
        headers = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
        try:
            connection = await self._tools.connect(
                self._url, headers=headers, max_frame_bytes=MAX_FRAME_BYTES
            )
        except Unreachable as error:
            raise Unreachable(error.detail, retry_after=RECONNECT_S) from error
        link = Link(connection, emit, self._account, self._tools)
        try:
            await link.run()
        except ConnectionError as error:
            raise Unreachable(str(error), retry_after=RECONNECT_S) from error
        finally:
            await connection.close()


def _listener(account: Account[Any], tools: Tools) -> OneBotListener | None:
    url = account.settings.websocket_url
    return OneBotListener(account, tools, url) if url else None


CHANNEL = Channel(
    key="onebot",
    title="QQ through OneBot v11 (NapCat, Lagrange)",
    settings=OneBotSettings,
    normalize=normalize,
    adapter=OneBotAdapter,
    socket=OneBotSocket,
    listener=_listener,
    sender=OneBotSender,
    media=OneBotMedia,
    checker=OneBotChecker,
    opens=opens,
    capabilities=Capabilities(
        max_text_characters=TEXT_LIMIT,
        attachments=FILE_LIMITS,
        quoting=True,
        proactive=True,
        receipts=("sent",),
    ),
    docs_url="https://github.com/botuniverse/onebot-11",
)
