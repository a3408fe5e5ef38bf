"""WeChat Official Account (公众号): proves that a push is genuine, decrypts it, answers the handshake.

Source: https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct, field

from adapters._wechat_answer import Seal
from adapters._wechat_crypto import Box, is_aes_key, is_signed, open_by
from adapters._wechat_envelope import MAX_BODY, query_of, sealed_in
from adapters._wechat_people import Doorman, PeopleListener
from hub.channel import (
    Account,
    AwaitReply,
    Capabilities,
    Channel,
    Intake,
    IntakeRequest,
    Response,
    Tools,
)
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Draft, InboundEvent, Secret
from hub.text import clean
from normalizers._wechat_fields import identity, read_fields, text_of
from normalizers.wechat import is_answerable, normalize
from outbound.wechat import MEDIA_LIMITS, TEXT_LIMIT, WeChatChecker, WeChatMedia, WeChatSender
from outbound.wechat.answer import content_of

__all__ = ["CHANNEL", "WeChatAdapter", "WeChatSettings"]

_API_BASE = "https://api.weixin.qq.com"
_MAX_ORDER_KEY = 200
_PLAIN_TEXT = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
_SUCCESS = Response(200, b"success", _PLAIN_TEXT)
_APP_ID = re.compile(r"wx[0-9A-Za-z]{6,30}")
_TOKEN = re.compile(r"[A-Za-z0-9]{3,32}")


class WeChatSettings(Struct, frozen=True, kw_only=True):
    """What an official account needs; everything but ``api_base`` stands in its console."""

    app_id: Annotated[str, Meta(description="AppID (开发者ID), wx and 16 letters or digits")]
    token: Annotated[Secret, Meta(description="Token of the server configuration (令牌)")]
    app_secret: Annotated[
        Secret | None, Meta(description="AppSecret; without it the account only receives")
    ] = None
    aes_key: Annotated[
        Secret | None,
        Meta(description="EncodingAESKey, 43 characters; needed unless mode is plain"),
    ] = None
    previous_aes_key: Annotated[
        Secret | None, Meta(description="The EncodingAESKey before the last change, for a while")
    ] = None
    mode: Annotated[
        Literal["safe", "compatible", "plain"],
        Meta(description="Message encryption as set in the console; anything weaker is refused"),
    ] = "safe"
    original_id: Annotated[
        str | None, Meta(description="原始ID (gh_…), shown by hub check to tell accounts apart")
    ] = None
    api_base: Annotated[str, Meta(description="Host of the platform's API")] = _API_BASE
    passive: Annotated[
        bool,
        Meta(
            description="True: the account has no right to customer-service messages; a reply goes into "
            "the answer to the customer's own message, or waits for the next one"
        ),
    ] = False
    passive_wait_s: Annotated[
        float,
        Meta(
            gt=0, le=4.8, description="How long an answer waits for a reply; the platform waits 5 s"
        ),
    ] = 4.5
    subscribe_templates: Annotated[
        list[str],
        Meta(description="Ids of the templates that are subscribe messages (订阅通知)"),
    ] = field(default_factory=list)
    profiles: Annotated[
        bool,
        Meta(
            description="Ask for the unionid of new customers, by which several accounts know one"
        ),
    ] = True
    proxy: Annotated[
        str | None, Meta(description="HTTP proxy towards the platform, whose address it must know")
    ] = None
    intake_secret: Annotated[
        Secret | None, Meta(description="A further, secret segment of the callback's path")
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        if not _APP_ID.fullmatch(self.app_id):
            yield "app_id", f"found {self.app_id!r}, wants an AppID such as wx0123456789abcdef"
        if not _TOKEN.fullmatch(self.token.reveal()):
            yield "token", "wants 3 to 32 letters or digits, as in the console"
        if self.aes_key is None and self.mode != "plain":
            yield "aes_key", f"is missing; mode {self.mode!r} needs the EncodingAESKey"
        for name, key in (("aes_key", self.aes_key), ("previous_aes_key", self.previous_aes_key)):
            if key is not None and not is_aes_key(key.reveal()):
                yield name, "wants the 43 letters, digits, + or / of the EncodingAESKey"
        if not self.api_base.startswith(("https://", "http://")):
            yield "api_base", f"found {self.api_base!r}, wants a URL such as {_API_BASE}"


class _Opened(NamedTuple):
    """A push as it reads after decryption, what proves it genuine, and what would seal an answer."""

    body: bytes
    proof: str
    seal: Seal


class WeChatAdapter:
    """The door of one official account."""

    def __init__(self, account: Account[WeChatSettings], tools: Tools) -> None:
        settings = account.settings
        self._account = account.name
        self._token = settings.token.reveal()
        self._mode = settings.mode
        self._wait = timedelta(seconds=settings.passive_wait_s) if settings.passive else None
        self._doorman = Doorman() if _asks(settings) else None
        keys = [key for key in (settings.aes_key, settings.previous_aes_key) if key]
        self._boxes = tuple(Box(key.reveal(), settings.app_id) for key in keys)

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove and decrypt one request; see :class:`hub.channel.Adapter`."""
        if request.method == "GET":
            return Intake(response=self._handshake(request))
        if request.method != "POST":
            raise NotRecognised(f"method {request.method}")
        if not request.body or len(request.body) > MAX_BODY:
            raise NotRecognised(f"a body of {len(request.body)} bytes")
        opened = self._opened(request, query_of(request))
        fields = read_fields(opened.body)
        event = self._event(opened, fields, request)
        awaited = self._awaited(event, fields, opened.seal)
        bells = self._doorman.bells(_openid(fields)) if self._doorman else ()
        return Intake((event,), bells, response=_SUCCESS, await_reply=awaited)

    def _handshake(self, request: IntakeRequest) -> Response:
        """URL verification: the platform wants its ``echostr`` back, to the byte."""
        query = query_of(request)
        self._check(query.get("signature"), query)
        if "echostr" not in query:
            raise NotRecognised("no echostr")
        return Response(200, query["echostr"].encode("utf-8", "replace"), _PLAIN_TEXT)

    def _opened(self, request: IntakeRequest, query: dict[str, str]) -> _Opened:
        """The message and what proves it genuine: never a weaker proof than the mode asks for."""
        encrypted = query.get("encrypt_type", "aes") == "aes" and "msg_signature" in query
        if encrypted and self._boxes:
            sealed = sealed_in(request.body)
            if not sealed:
                raise NotAuthentic("no Encrypt in the body")
            self._check(query["msg_signature"], query, sealed)
            body, box = open_by(self._boxes, sealed)
            return _Opened(body, "msg_signature", Seal(self._token, box))
        if self._mode != "plain":
            raise NotAuthentic(f"not encrypted, but the account is in mode {self._mode}")
        self._check(query.get("signature"), query)
        return _Opened(request.body, "signature", Seal(self._token, None))

    def _check(self, signature: str | None, query: dict[str, str], *sealed: str) -> None:
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        if not signature or not nonce or not (timestamp.isascii() and timestamp.isdigit()):
            raise NotAuthentic("signature, timestamp or nonce is missing or malformed")
        if not is_signed(signature, self._token, timestamp, nonce, *sealed):
            raise NotAuthentic("the signature does not fit")

    def _awaited(
        self, event: InboundEvent, fields: Mapping[str, Any] | None, seal: Seal
    ) -> AwaitReply | None:
        """In passive mode a customer's push is answered with what is said to them."""
        if self._wait is None or fields is None or not is_answerable(fields):
            return None

        def render(drafts: Sequence[Draft], results: Mapping[str, Any]) -> Response:
            return seal.answer(content_of(drafts, results), fields, event)

        return AwaitReply(event.dedupe_key, self._wait, render)

    def _event(
        self, opened: _Opened, fields: Mapping[str, Any] | None, request: IntakeRequest
    ) -> InboundEvent:
        sender = _openid(fields)
        return InboundEvent(
            dedupe_key=identity(fields, opened.body),
            order_key=sender or self._account,
            body=opened.body,
            received_at=request.received_at,
            proof=opened.proof,
        )


def _openid(fields: Mapping[str, Any] | None) -> str:
    return clean(text_of(fields, "FromUserName"))[:_MAX_ORDER_KEY] if fields else ""


def _asks(settings: WeChatSettings) -> bool:
    return settings.profiles and settings.app_secret is not None


def _people(account: Account[WeChatSettings], tools: Tools) -> PeopleListener | None:
    return PeopleListener(account, tools) if _asks(account.settings) else None


CHANNEL = Channel(
    key="wechat",
    title="WeChat Official Account (公众号)",
    settings=WeChatSettings,
    normalize=normalize,
    adapter=WeChatAdapter,
    listener=_people,
    sender=WeChatSender,
    media=WeChatMedia,
    checker=WeChatChecker,
    capabilities=Capabilities(
        max_text_bytes=TEXT_LIMIT,
        attachments=MEDIA_LIMITS,
        reply_window=timedelta(hours=48),
        allowance=5,
        menus=True,
        templates=True,
        receipts=("sent",),
    ),
    docs_url="https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Overview.html",
    retries_on="close",
)
