"""Mail that is posted to us: as it is, signed, or by a provider's inbound parsing."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta

from hub.channel import Account, Intake, IntakeRequest, NotAuthentic, NotRecognised, Response, Tools
from hub.model import InboundEvent
from hub.signing import verify
from normalizers.email.posted import NotPosted, fields_of, unwrapped
from outbound.email import EmailSettings

__all__ = ["EmailAdapter"]

# Mailgun repeats for eight hours, each time signed anew; its token is good for one event only.
_MAILGUN_TOLERANCE = timedelta(hours=12)


class EmailAdapter:
    """Takes the posts for one mailbox."""

    def __init__(self, account: Account[EmailSettings], tools: Tools, /) -> None:
        self._settings = account.settings
        self._proofs: Mapping[str, Callable[[IntakeRequest], str]] = {
            "mime": self._signed,
            "mailgun": self._signed_by_mailgun,
            "postmark": self._with_password,
            "sendgrid": self._with_password,
        }

    async def accept(self, request: IntakeRequest) -> Intake:
        """Prove that the service sent it, and keep the post whole; it is taken apart by the normalizer."""
        form = self._settings.intake
        proof = self._proofs.get(form)
        if proof is None:
            raise NotAuthentic("this mailbox is read by IMAP")
        event_id = proof(request)
        if request.method != "POST":
            raise NotRecognised("a mail is posted")
        content_type = request.headers.get("content-type", "")
        try:
            posted = unwrapped(form, content_type, request.body)
        except NotPosted as error:
            raise NotRecognised(str(error)) from error
        key = event_id or hashlib.sha256(posted.raw).hexdigest()
        headers = {"form": form, "content_type": content_type[:500]}
        for name in ("x-envelope-from", "x-envelope-to"):
            if form == "mime" and (value := request.headers.get(name)):
                headers[name.removeprefix("x-").replace("-", "_")] = value[:1000]
        event = InboundEvent(
            dedupe_key=f"{form}:{key}"[:400],
            order_key=f"mailbox:{self._settings.address.lower()}",
            body=request.body,
            received_at=request.received_at,
            headers=headers,
            proof=form if form in ("mime", "mailgun") else "password",
        )
        return Intake((event,), response=Response(200, b"ok"))

    def _signed(self, request: IntakeRequest) -> str:
        """Standard Webhooks over the bytes of the mail."""
        header = request.headers.get
        message_id = header("webhook-id", "")
        if not message_id or len(message_id) > 200 or not message_id.isprintable():
            raise NotAuthentic("no webhook-id")
        genuine = verify(
            [self._settings.webhook_secret.reveal()],
            message_id=message_id,
            timestamp=header("webhook-timestamp", ""),
            signature=header("webhook-signature", ""),
            body=request.body,
            now=request.received_at.timestamp(),
        )
        if not genuine:
            raise NotAuthentic("webhook-signature does not fit")
        return message_id

    def _signed_by_mailgun(self, request: IntakeRequest) -> str:
        """HMAC-SHA256 of timestamp and token, which stand in the form.

        Source: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
        """
        try:
            fields = fields_of(request.headers.get("content-type", ""), request.body)
        except NotPosted as error:
            raise NotAuthentic("no form") from error
        stamp, token, given = (
            fields.get(name, b"") for name in ("timestamp", "token", "signature")
        )
        key = self._settings.webhook_secret.reveal().encode()
        wanted = hmac.new(key, stamp + token, hashlib.sha256).hexdigest().encode()
        if not token or not hmac.compare_digest(wanted, given):
            raise NotAuthentic("signature does not fit")
        if not stamp.isdigit() or len(stamp) > 12:
            raise NotAuthentic("timestamp is no number")
        age_s = abs(request.received_at.timestamp() - int(stamp))
        if age_s > _MAILGUN_TOLERANCE.total_seconds():
            raise NotAuthentic("signed too long ago")
        return token.decode("latin-1")[:200]

    def _with_password(self, request: IntakeRequest) -> str:
        """Basic authentication: neither service signs what it posts."""
        wanted = base64.b64encode(self._settings.webhook_secret.reveal().encode())
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(wanted, given.strip().encode("utf-8", "replace"))
        if kind.lower() != "basic" or not same:
            raise NotAuthentic("user or password do not fit")
        return ""
