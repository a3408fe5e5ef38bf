"""What a mailbox needs to be read and to send."""

import ipaddress
import ssl
from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from hub.model import Secret

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
        Literal["seen", "nothing"], Meta(description="What to do with a mail once it is stored")
    ] = "seen"
    max_size_bytes: Annotated[
        int, Meta(ge=65536, description="Of larger mails only the header is read")
    ] = 25 * 1024 * 1024
    poll_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="How often to look where the server cannot push")
    ] = 60.0
    initial_lookback_days: Annotated[
        int, Meta(ge=0, description="At the first start also take mail this old; 0: only new mail")
    ] = 0
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

    def mistakes(self) -> Iterable[tuple[str, str]]:
        """What does not fit together, as (setting, what is wrong)."""
        local, at, domain = self.address.rpartition("@")
        if not (local and at and domain) or any(one.isspace() for one in self.address):
            yield "address", f"found {self.address!r}, wants an address like support@example.com"
        if not self.imap_host and not self.smtp_host:
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
