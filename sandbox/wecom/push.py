"""Pushes of enterprise WeChat: always encrypted XML, and an encrypted echo.

Source: https://developer.work.weixin.qq.com/document/path/96466
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from sandbox.journal import Clock
from sandbox.wechat.crypto import Envelope, new_aes_key, new_token
from sandbox.wechat.messages import StampedAction, UserAction
from sandbox.wechat.push import PushBuilder, SignedPush
from sandbox.wechat.wire import Field, render

__all__ = ["URL_CHECK_S", "CorpCredentials", "CorpPushBuilder"]

URL_CHECK_S = 1.0
"""The console wants the decrypted echo within a second."""


@dataclass(frozen=True, slots=True)
class CorpCredentials:
    """What the owner of an app reads off the platform's console; all made up."""

    corp_id: str = field(default_factory=lambda: f"ww{secrets.token_hex(8)}")
    agent_id: int = 1000002
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    token: str = field(default_factory=new_token, repr=False)
    aes_key: str = field(default_factory=new_aes_key, repr=False)

    @property
    def envelope(self) -> Envelope:
        """Seals and opens for this enterprise."""
        return Envelope(self.token, self.aes_key, self.corp_id)


class CorpPushBuilder(PushBuilder):
    """Stamps, signs and encrypts pushes to an app."""

    def __init__(self, credentials: CorpCredentials, clock: Clock) -> None:
        super().__init__(credentials.envelope, credentials.corp_id, "safe", "xml", clock)
        self._agent_id = credentials.agent_id

    def stamp(self, action: UserAction) -> StampedAction:
        """Give *action* its number, id and time: from now on it never changes."""
        stamped = super().stamp(action)
        fields: dict[str, Field] = dict(stamped.fields)
        if not action.openid:
            del fields["FromUserName"]  # a bell comes from nobody
        else:
            fields["AgentID"] = self._agent_id
        return StampedAction(
            action, stamped.number, stamped.message_id, render(fields, "xml"), fields
        )

    def build(self, stamped: StampedAction) -> SignedPush:
        """A try of the push, freshly signed and encrypted: only the plaintext repeats."""
        sealed = self.envelope.seal(stamped.plaintext)
        body = render(
            {"ToUserName": self.original_id, "AgentID": self._agent_id, "Encrypt": sealed}, "xml"
        )
        return SignedPush(urlencode(self._signed(sealed)), {"Content-Type": "text/xml"}, body)

    def build_url_check(self, echo: str) -> str:
        """The query of the GET that proves the callback URL; the answer is *echo*, decrypted."""
        sealed = self.envelope.seal(echo.encode())
        return urlencode({**self._signed(sealed), "echostr": sealed})

    def _signed(self, sealed: str) -> Mapping[str, str]:
        timestamp, nonce = str(int(self._clock())), secrets.token_hex(5)
        signature = self.envelope.sign(timestamp, nonce, sealed)
        return {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}
