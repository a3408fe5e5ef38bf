"""What a mailbox needs to be read and to send."""

import ipaddress
import ssl
from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from hub.model import Secret
from hub.signing import read_secret
from outbound.email.dkim import load_key

__all__ = ["EmailSettings", "is_loopback", "tls_context"]

Port = Annotated[int, Meta(ge=1, le=65535)]


class EmailSettings(Struct, frozen=True, kw_only=True):
    """One mailbox: read by IMAP, answered by SMTP."""

    address: Annotated[
        str, Meta(description="The mailbox's own address; replies come from it (support@shop.com)")
    ]
    imap_host: Annotated[
        str, Meta(description="IMAP server (imap.163.com); empty: the mailbox is not read")
    ] = ""
    imap_port: Annotated[Port, Meta(description="IMAP port; 993 is TLS")] = 993
    imap_security: Annotated[
        Literal["tls", "none"], Meta(description="TLS from the first byte, or none (loopback only)")
    ] = "tls"
    smtp_host: Annotated[
        str, Meta(description="SMTP server (smtp.163.com); empty: nothing can be sent")
    ] = ""
    smtp_port: Annotated[Port, Meta(description="SMTP port; 465 is TLS, 587 STARTTLS")] = 465
    smtp_security: Annotated[
        Literal["tls", "starttls", "none"],
        Meta(description="TLS from the first byte, STARTTLS, or none (loopback only)"),
    ] = "tls"
    username: Annotated[str, Meta(description="Login name; the address when empty")] = ""
    password: Annotated[
        Secret, Meta(description="Password; many providers want an app password (授权码) here")
    ] = Secret("")
    smtp_username: Annotated[str, Meta(description="SMTP login name where it differs")] = ""
    smtp_password: Annotated[Secret, Meta(description="SMTP password where it differs")] = Secret(
        ""
    )
    from_name: Annotated[str, Meta(description="Name shown beside the address in replies")] = ""
    folders: Annotated[list[str], Meta(min_length=1, description="Folders to read")] = field(
        default_factory=lambda: ["INBOX"]
    )
    after_store: Annotated[
        Literal["seen", "flag", "move", "nothing"],
        Meta(
            description="What to do with a mail once it is stored: mark it, or move it to move_to"
        ),
    ] = "seen"
    move_to: Annotated[
        str, Meta(description='Folder for stored mails, with after_store = "move"')
    ] = ""
    max_size_bytes: Annotated[
        int, Meta(ge=65536, description="Of larger mails only the header is read")
    ] = 25 * 1024 * 1024
    poll_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="How often to look where the server cannot push")
    ] = 60.0
    initial_lookback_days: Annotated[
        int, Meta(ge=0, description="At the first start also take mail this old; 0: only new mail")
    ] = 0
    intake: Annotated[
        Literal["imap", "mime", "mailgun", "postmark", "sendgrid"],
        Meta(description="How mail comes in: read by IMAP, or posted to /in/email/… in that form"),
    ] = "imap"
    webhook_secret: Annotated[
        Secret,
        Meta(
            description="mime: a whsec_… secret; mailgun: the webhook signing key; else user:password"
        ),
    ] = Secret("")
    oauth_provider: Annotated[
        Literal["", "google", "microsoft"],
        Meta(description="Log in by OAuth at this provider, with a refresh token, not a password"),
    ] = ""
    oauth_token_url: Annotated[
        str, Meta(description="Where tokens come from, where the provider's usual address is wrong")
    ] = ""
    oauth_client_id: Annotated[str, Meta(description="Client id of your OAuth application")] = ""
    oauth_client_secret: Annotated[
        Secret, Meta(description="Client secret of your OAuth application")
    ] = Secret("")
    oauth_refresh_token: Annotated[
        Secret,
        Meta(description="Refresh token of the mailbox; empty: client credentials (Microsoft)"),
    ] = Secret("")
    keep_cc: Annotated[
        bool, Meta(description="Answers also go to those who got a copy of the customer's mail")
    ] = True
    tags: Annotated[
        list[Literal["address", "subject"]],
        Meta(
            description="Mark answers so that replies find back: support+tag@…, [#TAG] in the subject"
        ),
    ] = field(default_factory=list)
    tag_secret: Annotated[Secret, Meta(description="Makes the tags; any 16 characters or more")] = (
        Secret("")
    )
    trusted_authserv: Annotated[
        str,
        Meta(
            description="Whose Authentication-Results to believe: your receiving server's id there"
        ),
    ] = ""
    dkim_selector: Annotated[
        str, Meta(description="Sign with this DKIM selector; empty: do not")
    ] = ""
    dkim_key: Annotated[Secret, Meta(description="DKIM private key, PEM: RSA or Ed25519")] = Secret(
        ""
    )
    mails_per_minute: Annotated[
        int, Meta(ge=0, description="Send no more than this in a minute; 0: no limit")
    ] = 0
    mails_per_day: Annotated[
        int, Meta(ge=0, description="Send no more than this in 24 hours; 0: no limit")
    ] = 0
    automatic_per_day: Annotated[
        int, Meta(ge=0, description="So many automatic answers one customer gets in 24 hours")
    ] = 5
    answers_per_hour: Annotated[
        int,
        Meta(
            ge=0,
            description="So many answers of any kind one customer gets in an hour; 0: no limit",
        ),
    ] = 30
    ca_file: Annotated[
        str, Meta(description="PEM file of a private certificate authority, if the servers use one")
    ] = ""

    @property
    def login_name(self) -> str:
        """What to log in with at the IMAP server."""
        return self.username or self.address

    @property
    def domain(self) -> str:
        """The part of the address after the ``@``."""
        return self.address.rpartition("@")[2]

    def smtp_login(self) -> tuple[str, str]:
        """Name and password for the SMTP server; an empty password means: without login."""
        password = self.smtp_password or self.password
        return self.smtp_username or self.login_name, password.reveal()

    @property
    def wants_oauth(self) -> bool:
        """Whether to log in with a token in the place of a password."""
        return bool(self.oauth_client_id)

    def sources(self) -> Iterable[str]:
        """What only one account may read: each of the mailbox's folders."""
        if self.imap_host:
            place = f"{self.login_name.lower()} at {self.imap_host.lower()}"
            for folder in self.folders:
                name = "INBOX" if folder.upper() == "INBOX" else folder  # RFC 9051, section 5.1
                yield f"the folder {name} of {place}"

    def mistakes(self) -> Iterable[tuple[str, str]]:
        """What does not fit together, as (setting, what is wrong)."""
        local, at, domain = self.address.rpartition("@")
        if not (local and at and domain) or any(one.isspace() for one in self.address):
            yield "address", f"found {self.address!r}, wants an address like support@example.com"
        if not self.imap_host and not self.smtp_host and self.intake == "imap":
            yield "imap_host", "is missing; wants an IMAP server, or smtp_host to send only"
        if self.imap_security == "none" and self.imap_host and not is_loopback(self.imap_host):
            yield (
                "imap_security",
                f'"none" would send the password to {self.imap_host} in the clear',
            )
        if self.smtp_security == "none" and self.smtp_host and not is_loopback(self.smtp_host):
            yield (
                "smtp_security",
                f'"none" would send the password to {self.smtp_host} in the clear',
            )
        if len(set(self.folders)) != len(self.folders):
            yield "folders", "names a folder twice"
        yield from self._mistakes_together()

    def _mistakes_together(self) -> Iterable[tuple[str, str]]:
        """Settings that want another one beside them."""
        if self.after_store == "move" and (not self.move_to or self.move_to in self.folders):
            yield "move_to", "wants a folder, and not one that is read"
        if self.intake != "imap" and not self.webhook_secret:
            yield "webhook_secret", f'is missing; intake = "{self.intake}" needs it'
        if self.intake != "imap" and self.imap_host:
            yield "imap_host", f'the mailbox is not read with intake = "{self.intake}"'
        if self.tags and len(self.tag_secret.reveal()) < 16:
            yield "tag_secret", "is missing or shorter than 16 characters; tags need it"
        if bool(self.dkim_selector) != bool(self.dkim_key):
            yield "dkim_selector", "wants dkim_key beside it, and the other way round"
        if self.dkim_key:
            yield from _mistakes_of_dkim(self.dkim_key)
        if self.wants_oauth and not (self.oauth_provider or self.oauth_token_url):
            yield "oauth_provider", "is missing; or give oauth_token_url"
        if self.oauth_token_url and not self.oauth_token_url.startswith(
            ("https://", "http://127.")
        ):
            yield "oauth_token_url", "wants https://"
        if self.intake == "mime":
            yield from self._mistakes_of_key()

    def _mistakes_of_key(self) -> Iterable[tuple[str, str]]:
        try:
            read_secret(self.webhook_secret.reveal())
        except ValueError as error:
            yield "webhook_secret", str(error)


def _mistakes_of_dkim(key: Secret) -> Iterable[tuple[str, str]]:
    try:
        load_key(key.reveal())
    except ValueError as error:
        yield "dkim_key", str(error)


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine, as far as its name tells."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(settings: EmailSettings) -> ssl.SSLContext:
    """A context that verifies certificate and host name."""
    return ssl.create_default_context(cafile=settings.ca_file or None)
