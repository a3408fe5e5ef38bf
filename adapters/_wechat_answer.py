"""The HTTP answer to a push of an official account, when it carries a reply."""

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from adapters._wechat_crypto import Box, sign
from hub.channel import Response
from hub.model import InboundEvent
from normalizers._wechat_fields import text_of
from outbound.wechat.answer import body_of, xml_of

__all__ = ["Seal"]

_HEADERS = {"x-content-type-options": "nosniff"}


class Seal(NamedTuple):
    """Seals answers as the push was sealed: with the key that opened it (*box* None: not at all)."""

    token: str
    box: Box | None

    def answer(
        self, content: Mapping[str, Any], push: Mapping[str, Any], event: InboundEvent
    ) -> Response:
        """*content* on its way from the account back to whoever sent *push*, in its data format."""
        as_json = event.body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
        body = body_of(
            content,
            sender=text_of(push, "ToUserName"),
            receiver=text_of(push, "FromUserName"),
            at=event.received_at,
            as_json=as_json,
        )
        if self.box is not None:
            body = self._sealed(self.box, body, int(event.received_at.timestamp()), as_json)
        kind = "application/json" if as_json else "text/xml"
        return Response(200, body, {**_HEADERS, "content-type": f"{kind}; charset=utf-8"})

    def _sealed(self, box: Box, body: bytes, timestamp: int, as_json: bool) -> bytes:
        sealed, nonce = box.seal(body), str(secrets.randbelow(10**10))
        envelope = {
            "Encrypt": sealed,
            "MsgSignature": sign(self.token, str(timestamp), nonce, sealed),
            "TimeStamp": timestamp,
            "Nonce": nonce,
        }
        return msgspec.json.encode(envelope) if as_json else xml_of(envelope)
