"""The door that every callback of enterprise WeChat (企业微信) comes through.

Source: https://developer.work.weixin.qq.com/document/path/96466
"""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from adapters._wechat_crypto import Box, is_aes_key, is_signed, open_with
from adapters._wechat_envelope import MAX_BODY, query_of, sealed_in
from hub.channel import IntakeRequest, Response
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Secret

__all__ = ["TAKEN", "CorpSettings", "Door"]

_API_BASE = "https://qyapi.weixin.qq.com"
_PLAIN_TEXT = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
_CORP_ID = re.compile(r"[A-Za-z0-9_-]{4,64}")
_TOKEN = re.compile(r"[A-Za-z0-9]{1,32}")

TAKEN = Response(200, b"success", _PLAIN_TEXT)
"""Any answer with status 200 says "received"; anything else is tried twice more."""


class CorpSettings(Struct, frozen=True, kw_only=True):
    """What every account of an enterprise needs; all but ``api_base`` stands in its console."""

    corp_id: Annotated[str, Meta(description="企业ID, such as ww0123456789abcdef")]
    token: Annotated[Secret, Meta(description="Token of the callback, up to 32 letters or digits")]
    aes_key: Annotated[Secret, Meta(description="EncodingAESKey of the callback, 43 characters")]
    previous_aes_key: Annotated[
        Secret | None, Meta(description="The EncodingAESKey before the last change, for a while")
    ] = None
    receive_id: Annotated[
        str | None,
        Meta(
            description="Whom pushes are sealed for, where it is not corp_id: a suite id, or empty"
        ),
    ] = None
    api_base: Annotated[str, Meta(description="Host of the platform's API")] = _API_BASE
    proxy: Annotated[
        str | None, Meta(description="HTTP proxy towards the platform, whose address it must know")
    ] = None
    intake_secret: Annotated[
        Secret | None, Meta(description="A further, secret segment of the callback's path")
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Every setting that the platform would not take, and why."""
        if not _CORP_ID.fullmatch(self.corp_id):
            yield "corp_id", f"found {self.corp_id!r}, wants an id such as ww0123456789abcdef"
        if not _TOKEN.fullmatch(self.token.reveal()):
            yield "token", "wants 1 to 32 letters or digits, as in the console"
        for name, key in (("aes_key", self.aes_key), ("previous_aes_key", self.previous_aes_key)):
            if key is not None and not is_aes_key(key.reveal()):
                yield name, "wants the 43 letters, digits, + or / of the EncodingAESKey"
        if not self.api_base.startswith(("https://", "http://")):
            yield "api_base", f"found {self.api_base!r}, wants a URL such as {_API_BASE}"


class Door:
    """Proves that a callback is genuine, and decrypts it; there is no mode without encryption."""

    def __init__(self, settings: CorpSettings) -> None:
        receive_id = settings.corp_id if settings.receive_id is None else settings.receive_id
        keys = [key for key in (settings.aes_key, settings.previous_aes_key) if key]
        self._token = settings.token.reveal()
        self._boxes = tuple(Box(key.reveal(), receive_id) for key in keys)

    def enter(self, request: IntakeRequest) -> Response | bytes:
        """The answer to a handshake, or the decrypted body of a push.

        Raises:
            NotAuthentic: there is no proof that the platform sent it.
            NotRecognised: it is not a request of this platform.
        """
        if request.method == "GET":
            return self._handshake(request)
        if request.method != "POST":
            raise NotRecognised(f"method {request.method}")
        if not request.body or len(request.body) > MAX_BODY:
            raise NotRecognised(f"a body of {len(request.body)} bytes")
        query = query_of(request)
        sealed = sealed_in(request.body)
        if not sealed:
            raise NotAuthentic("no Encrypt in the body")
        self._check(query, sealed)
        return open_with(self._boxes, sealed)

    def _handshake(self, request: IntakeRequest) -> Response:
        """URL verification: the platform wants the *decrypted* ``echostr``, within a second.

        The echo is base64, which has no blank: one stands where a ``+`` was not escaped.
        """
        query = query_of(request)
        echo = query.get("echostr", "").replace(" ", "+")
        self._check(query, echo)
        if not echo:
            raise NotRecognised("no echostr")
        return Response(200, open_with(self._boxes, echo), _PLAIN_TEXT)

    def _check(self, query: dict[str, str], sealed: str) -> None:
        signature, timestamp, nonce = (
            query.get(name, "") for name in ("msg_signature", "timestamp", "nonce")
        )
        if not signature or not nonce or not (timestamp.isascii() and timestamp.isdigit()):
            raise NotAuthentic("msg_signature, timestamp or nonce is missing or malformed")
        if not is_signed(signature, self._token, timestamp, nonce, sealed):
            raise NotAuthentic("the signature does not fit")
