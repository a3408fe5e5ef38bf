"""Tries a mailbox's settings against the real servers, and says in plain words what is wrong."""

import ssl
from collections.abc import AsyncIterator

from adapters.email.mailbox import ConnectionLost, LoginRefused, Mailbox, MissingLibrary, Refused
from hub.channel import Account, Check, Tools
from hub.errors import BadCredentials, SendError
from outbound.email import EmailSettings, MailTokens, SmtpPool, tls_context

__all__ = ["EmailChecker"]

_LOGIN_ADVICE = (
    "Check username and password. 163, 126, QQ, Gmail and iCloud want an app password (授权码), and"
    " IMAP must be switched on in the mailbox's web settings."
)
_CERTIFICATE_ADVICE = (
    "Use the server's official host name; for a private certificate authority set ca_file."
)
_OAUTH_ADVICE = "Check the four oauth_ settings; the mailbox's owner may have to agree once more."
# What a provider answers → what it means in plain words.
_HINTS: tuple[tuple[str, str], ...] = (
    ("invalid_grant", "The refresh token is over or was taken back: let the owner agree anew."),
    ("invalid_client", "oauth_client_id and oauth_client_secret do not belong together."),
    (
        "authenticated but not connected",
        "Microsoft 365 knows the application but not for this mailbox: Add-MailboxPermission.",
    ),
    ("5.7.30", "Microsoft 365 takes no password for sending any more: it needs OAuth."),
    ("imap access is disabled", "Switch IMAP on in the mailbox's web settings."),
    ("imap is disabled", "Switch IMAP on in the mailbox's web settings."),
    ("not enabled", "Switch IMAP and SMTP on in the mailbox's web settings."),
    ("web login required", "Log in on the web once; the provider wants to see a person."),
    ("too many", "The provider allows no more connections now: fewer clients, or wait."),
    ("system busy", "QQ and 163 say so for a wrong 授权码, too: make a new one."),
    ("login fail", "QQ and 163: use the 授权码 of the web settings, not the password."),
    (
        "unsafe login",
        "163/126 did not accept the client's ID; log in once on the web and allow IMAP.",
    ),
    ("basic authentication", "Microsoft 365 takes no password here: it needs OAuth."),
    (
        "application-specific password",
        "Gmail wants an app password (account, security, app passwords).",
    ),
)


def _advice(text: str, usual: str) -> str:
    return next((hint for mark, hint in _HINTS if mark in text.lower()), usual)


class EmailChecker:
    """Checks one mailbox."""

    def __init__(self, account: Account[EmailSettings], tools: Tools, /) -> None:
        self._settings = account.settings
        self._name = account.name
        self._tokens = MailTokens(account.settings, tools)

    async def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """Login, capabilities and folders by IMAP; login by SMTP. Nothing is read or sent."""
        if self._settings.intake != "imap":
            yield self._posting(public_url)
        if self._settings.imap_host:
            async for found in self._imap():
                yield found
        if self._settings.smtp_host:
            yield await self._smtp()

    def _posting(self, public_url: str | None) -> Check:
        form = self._settings.intake
        url = f"{(public_url or 'https://YOUR-HUB').rstrip('/')}/in/email/{self._name}"
        if form in ("postmark", "sendgrid"):
            url = url.replace("://", "://USER:PASSWORD@", 1)
        return Check(True, "mail is posted", f"by {form}", f"Give it this URL: {url}")

    async def _imap(self) -> AsyncIterator[Check]:
        settings = self._settings
        where = f"{settings.imap_host}:{settings.imap_port}"
        try:
            tls = tls_context(settings) if settings.imap_security == "tls" else None
            mailbox = Mailbox(settings.imap_host, settings.imap_port, tls)
        except MissingLibrary as error:
            yield Check(False, "IMAP", str(error), "pip install 'messaging-hub[email]'")
            return
        except OSError as error:
            yield Check(False, "IMAP", f"ca_file: {error}", "Give a readable PEM file.")
            return
        try:
            token = await self._tokens.get() if settings.wants_oauth else None
            await mailbox.open(settings.login_name, settings.password.reveal(), token=token)
            yield Check(True, "IMAP login", f"{settings.login_name} at {where}")
            yield _capabilities(mailbox, settings.poll_seconds)
            for name in settings.folders:
                yield await _folder(mailbox, name)
        except SendError as error:
            yield Check(False, "OAuth token", error.detail, _advice(error.detail, _OAUTH_ADVICE))
        except LoginRefused as error:
            yield Check(False, "IMAP login", str(error), _advice(str(error), _LOGIN_ADVICE))
        except ssl.SSLCertVerificationError as error:
            detail = f"the certificate of {where} is not accepted: {error.verify_message}"
            yield Check(False, "IMAP", detail, _CERTIFICATE_ADVICE)
        except ConnectionLost as error:
            yield Check(False, "IMAP", f"{where}: {error}", "Check host, port and imap_security.")
        finally:
            await mailbox.close()

    async def _smtp(self) -> Check:
        settings = self._settings
        where = f"{settings.smtp_host}:{settings.smtp_port}"
        try:
            client = await SmtpPool(settings, self._tokens).connect()
            client.close()
        except BadCredentials as error:
            advice = _advice(error.detail, _LOGIN_ADVICE)
            return Check(False, "SMTP login", error.detail, advice)
        except SendError as error:
            is_certificate = "certificate" in error.detail
            advice = (
                _CERTIFICATE_ADVICE if is_certificate else "Check host, port and smtp_security."
            )
            return Check(False, "SMTP", f"{where}: {error.detail}", advice)
        return Check(True, "SMTP login", f"{settings.smtp_login()[0]} at {where}")


def _capabilities(mailbox: Mailbox, poll_seconds: float) -> Check:
    has = ", ".join(one for one in ("IDLE", "ID", "MOVE", "UIDPLUS") if mailbox.can(one)) or "none"
    if mailbox.can("IDLE"):
        return Check(True, "IMAP capabilities", f"{has}; new mail is pushed")
    detail = f"{has}; no IDLE: looked at every {poll_seconds:g} s"
    return Check(True, "IMAP capabilities", detail, "Lower poll_seconds if that is too slow.")


async def _folder(mailbox: Mailbox, name: str) -> Check:
    try:
        folder = await mailbox.select(name)
    except Refused as error:
        advice = _advice(str(error), "Folder names are those of the server, case matters.")
        return Check(False, f"folder {name}", str(error), advice)
    if folder.is_writable:
        return Check(True, f"folder {name}", "can be read and marked")
    return Check(True, f"folder {name}", "read-only: mails cannot be marked as seen")
