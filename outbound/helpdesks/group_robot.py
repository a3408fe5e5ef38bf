"""The smallest helpdesk: each message goes to a WeCom group's robot, or to a mail address, with a link to
answer by.

Source: https://developer.work.weixin.qq.com/document/path/91770 (the robot: sizes, 20 messages a minute)
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.policy import SMTP
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Meta, Struct

from hub.destination import Case, DeskTools, HeardFile, Post, State, Target, Ticket, Told
from hub.errors import (
    Ambiguous,
    BadCredentials,
    RateLimited,
    Rejected,
    SendError,
    Unknowable,
    Unreachable,
)
from hub.model import Secret
from hub.text import single_line, split_text
from outbound.email.settings import EmailSettings
from outbound.email.transport import Posted, SmtpPool
from outbound.helpdesks._answer_links import AnswerLinks
from outbound.helpdesks._answers import check_answer
from outbound.helpdesks._notes import titled, told_text
from outbound.helpdesks._settings import OnReopen, TimeZone, wrong_time_zone

__all__ = ["GroupRobotApi", "GroupRobotSettings", "MailBox"]

MOST_BYTES = 2048
"""Of a text message to a robot."""

A_MINUTE, MOST_A_MINUTE = 60.0, 20
_BUSY_S = 60.0
TURN_S = 20.0
"""So long a message waits for those before it."""

_CODES: Mapping[int, type[SendError]] = {
    -1: Unreachable,  # the platform is busy
    45009: RateLimited,
    93000: BadCredentials,  # no robot has this key, or it was removed from its group
}


class MailBox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[destinations.NAME.mail]``: to whom, and by which server."""

    to: Annotated[str, Meta(description="Who gets each message")]
    sender: Annotated[str, Meta(description="From which address")]
    smtp_host: Annotated[str, Meta(description="SMTP server")]
    smtp_port: Annotated[int, Meta(ge=1, le=65535, description="465 is TLS, 587 STARTTLS")] = 465
    smtp_security: Annotated[
        Literal["tls", "starttls", "none"], Meta(description="How the connection is kept private")
    ] = "tls"
    username: Annotated[str, Meta(description="Login name; the address when empty")] = ""
    password: Annotated[Secret, Meta(description="Password, or authorization code")] = Secret("")
    ca_file: Annotated[str, Meta(description="Certificates to trust instead of the system's")] = ""


class GroupRobotSettings(Struct, frozen=True, kw_only=True):
    """``[destinations.NAME]`` with ``type = "group_robot"``."""

    link_secret: Annotated[
        Secret, Meta(description="Signs the links to answer by; 24 or more characters")
    ]
    robot_url: Annotated[
        Secret | None, Meta(description="The robot's webhook address, with its key")
    ] = None
    mail: Annotated[
        MailBox | None, Meta(description="Or a mail address: to, sender, smtp_host, …")
    ] = None
    mentioned: Annotated[
        tuple[str, ...], Meta(description='Who is called by a robot: user ids, or "@all"')
    ] = ()
    link_hours: Annotated[
        float, Meta(gt=0, le=720, description="A link is good for so long after its message")
    ] = 72.0
    on_reopen: OnReopen = "same_ticket"
    time_zone: TimeZone = "UTC"

    @property
    def callback_secret(self) -> Secret:
        """The last part of the links' path; it stands in every link."""
        return Secret(AnswerLinks(self.link_secret.reveal()).door)

    @property
    def poll_s(self) -> float:
        """There is nothing to look at: answers come by the page."""
        return 3600.0

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        if len(self.link_secret.reveal()) < 24:
            yield "link_secret", "wants 24 characters or more; make it: openssl rand -hex 16"
        if (self.robot_url is None) == (self.mail is None):
            yield "robot_url", "wants either robot_url or mail"
        if self.robot_url is not None:
            parts = urlsplit(self.robot_url.reveal())
            if parts.scheme not in ("http", "https") or not parse_qs(parts.query).get("key"):
                yield "robot_url", "wants the whole address, as https://…/webhook/send?key=…"
        for name in ("to", "sender"):
            if self.mail is not None and (wrong := _wrong_mail(getattr(self.mail, name))):
                yield f"mail.{name}", wrong
        yield from wrong_time_zone(self.time_zone)


def _wrong_mail(address: str) -> str | None:
    try:
        parsed = MailAddress(addr_spec=address)
    except (ValueError, IndexError):
        return f"found {address!r}, wants one mail address"
    return None if parsed.domain else f"found {address!r}, wants one mail address"


class GroupRobotApi:
    """What is said in the group; a :class:`hub.destination.Desk` but for what comes back."""

    files_each = 1000  # the page has them

    def __init__(self, target: Target, tools: DeskTools) -> None:
        self.settings: GroupRobotSettings = target.settings
        self._name = target.name
        self._tools = tools
        self.links = AnswerLinks(self.settings.link_secret.reveal())
        self._sent: deque[float] = deque(maxlen=MOST_A_MINUTE)
        self._one_by_one = asyncio.Lock()
        mail = self.settings.mail
        self._smtp = SmtpPool(_mailbox(mail)) if mail is not None else None

    # -- posting -------------------------------------------------------------------------------------

    async def open(self, case: Case, post: Post) -> tuple[Ticket, str]:
        """As :class:`hub.destination.Desk` says; a ticket is nothing but the conversation."""
        title = titled(case, 120)
        ticket = Ticket(ref=f"{case.conversation_id}:{case.number}", facts={"title": title})
        return ticket, await self.add(ticket, post)

    async def add(self, ticket: Ticket, post: Post) -> str:
        """As :class:`hub.destination.Desk` says."""
        lines = [post.text.replace("\0", "")]
        lines += [f"[file] {file.filename}" for file in post.files]
        text = "\n".join(filter(None, lines)) or "—"
        footer = post.footer if post.role == "contact" else None
        await self._say(ticket, text, footer, post.key)
        return f"hub:{post.key}"

    async def change(self, ticket: Ticket, state: State) -> None:
        """As :class:`hub.destination.Desk` says; nobody needs to be told."""

    async def assign(self, ticket: Ticket, assignee: str | None) -> None:
        """As :class:`hub.destination.Desk` says: people read it."""
        await self._say(ticket, f"Assigned to {assignee or 'nobody'}", None, "assigned")

    async def tell(self, ticket: Ticket, told: Told) -> None:
        """Where a reply did not simply go out."""
        if (text := told_text(told)) is not None:
            await self._say(ticket, text, None, f"told-{told.ref}")

    async def find_ticket(self, case: Case, post: Post) -> None:
        """As :class:`hub.destination.Desk` says: a group cannot be read."""
        raise Unknowable("nobody can tell whether the group has seen it")

    async def find(self, ticket: Ticket, post: Post) -> Sequence[str]:
        """As :class:`hub.destination.Desk` says: a group cannot be read."""
        raise Unknowable("nobody can tell whether the group has seen it")

    async def fetch(self, file: HeardFile) -> bytes:
        """As :class:`hub.destination.Desk` says; the page takes no files."""
        raise Rejected("the page takes no files")

    # -- what is said --------------------------------------------------------------------------------

    def link(self, ticket: str) -> str | None:
        """Where *ticket* is answered; None while the hub has no public address."""
        if self._tools.callback_url is None:
            return None
        expires = int(self._tools.clock().timestamp() + self.settings.link_hours * 3600)
        return f"{self._tools.callback_url}?{self.links.query(ticket, expires)}"

    async def _say(self, ticket: Ticket, text: str, footer: str | None, key: str) -> None:
        title = str(ticket.facts.get("title") or "")
        link = self.link(ticket.ref)
        ends = [f"— {footer}" if footer else "", f"回复 Reply: {link}" if link else ""]
        tail = "\n".join(filter(None, ends))
        if self._smtp is not None:
            await self._mail(ticket, title, f"{text}\n\n{tail}", key)
        else:
            await self._robot(_fitting(f"【{title}】{text}", tail))

    async def _robot(self, content: str) -> None:
        assert self.settings.robot_url is not None  # noqa: S101 (one of both is set)
        said = {"content": content, "mentioned_list": list(self.settings.mentioned)}
        async with self._turn():
            self._keep_pace()
            answer = await self._tools.http(
                "POST", self.settings.robot_url.reveal(), json={"msgtype": "text", "text": said}
            )
        check_answer(answer, writes=True)
        try:
            told = msgspec.json.decode(answer.body)
            code = int(told["errcode"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise Ambiguous("it answered with something else than a robot does") from error
        if code != 0:
            kind = _CODES.get(code, Rejected)
            pause = _BUSY_S if kind is RateLimited else None
            detail = f"{code} {single_line(str(told.get('errmsg', '')))[:200]}"
            raise kind(detail, external_code=code, retry_after=pause)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One after the other. Who has waited for long was not sent, and must not end as one that may be.

        Raises:
            RateLimited: the robot is slow, and others were first.
        """
        try:
            async with asyncio.timeout(TURN_S):
                await self._one_by_one.acquire()
        except TimeoutError as error:
            raise RateLimited("the robot is slow", retry_after=TURN_S) from error
        try:
            yield
        finally:
            self._one_by_one.release()

    def _keep_pace(self) -> None:
        """A robot takes so many messages a minute; what is over waits, in order, before it is refused.

        Raises:
            RateLimited: this process has sent so many.
        """
        now = time.monotonic()
        if len(self._sent) == MOST_A_MINUTE and (left := self._sent[0] + A_MINUTE - now) > 0:
            raise RateLimited(f"{MOST_A_MINUTE} messages in a minute", retry_after=left)
        self._sent.append(now)

    async def _mail(self, ticket: Ticket, title: str, text: str, key: str) -> None:
        assert self.settings.mail is not None  # noqa: S101 (the caller looked)
        assert self._smtp is not None  # noqa: S101
        mail = self.settings.mail
        host = mail.sender.rpartition("@")[2]
        made = EmailMessage(policy=SMTP)
        made["From"], made["To"] = mail.sender, mail.to
        made["Subject"] = single_line(title)
        made["Date"] = self._tools.clock()
        made["Message-ID"] = f"<{key}.{self._name}@{host}>"
        made["References"] = f"<{ticket.ref.replace(':', '.')}.{self._name}@{host}>"
        made["Auto-Submitted"] = "auto-generated"
        made.set_content(text)
        await self._smtp.deliver(Posted(mail.sender, mail.to, made.as_bytes()))


def _fitting(text: str, tail: str) -> str:
    """Text and tail in as many bytes as a robot takes; ``<@`` would call somebody."""
    text, tail = text.replace("<@", "‹@"), tail.replace("<@", "‹@")
    room = MOST_BYTES - len(tail.encode()) - 1
    if len(text.encode()) > room:
        more = "…（全文见链接）"
        text = split_text(text, room - len(more.encode()))[0] + more
    return f"{text}\n{tail}" if tail else text


def _mailbox(mail: MailBox) -> EmailSettings:
    return EmailSettings(
        address=mail.sender,
        smtp_host=mail.smtp_host,
        smtp_port=mail.smtp_port,
        smtp_security=mail.smtp_security,
        username=mail.username,
        password=mail.password,
        ca_file=mail.ca_file,
    )
