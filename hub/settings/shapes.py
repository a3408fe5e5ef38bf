"""What can be set: the tables of ``config/hub.toml``, and what the hub makes of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct, field

from hub.blobs import AttachmentSettings
from hub.channel import Account, Channel
from hub.destination import Destination, Target
from hub.guard import private_network
from hub.hours import Hours, zone_of
from hub.model import Secret
from hub.telemetry import TelemetrySettings

_WEB_ADDRESS = re.compile(r"https?://[^/\s?#]")


class HubSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[hub]``: the process itself."""

    public_url: Annotated[
        str | None,
        Meta(
            description="Where platforms and helpdesks reach the hub, e.g. https://hub.example.com"
        ),
    ] = None
    host: Annotated[str, Meta(description="Address that the web server binds (HUB_HOST)")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of the web server (HUB_PORT)")] = (
        8080
    )
    admin_port: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=65535,
                description="Port of /v1, /metrics and the pages, when apart from /in",
            ),
        ]
        | None
    ) = None
    admin_host: Annotated[
        str | None, Meta(description="Address for admin_port; host when unset")
    ] = None
    database_url: Annotated[Secret | None, Meta(description="PostgreSQL (DATABASE_URL)")] = None
    redis_url: Annotated[Secret | None, Meta(description="Redis or Valkey (REDIS_URL)")] = None
    secret_key: Annotated[
        Secret | None, Meta(description="Seals platform tokens and signs links (HUB_SECRET_KEY)")
    ] = None
    data_dir: Annotated[str, Meta(description="Folder for attachments and the demo's servers")] = (
        "var"
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="How much to log")
    ] = "info"
    max_body_bytes: Annotated[int, Meta(ge=1024, description="Largest callback body")] = 1 << 20
    body_timeout_s: Annotated[
        float, Meta(gt=0, description="A body not complete by then is cut")
    ] = 10.0
    queue_events: Annotated[
        int, Meta(ge=1, description="Callbacks that may wait for the database")
    ] = 5000
    queue_bytes: Annotated[
        int, Meta(ge=1024, description="Bytes that may wait for the database")
    ] = 64 << 20
    overload_wait_s: Annotated[
        float,
        Meta(ge=0, le=4.5, description="How long a callback waits for room before it is put off"),
    ] = 4.0
    max_attachment_bytes: Annotated[int, Meta(ge=1024, description="Largest file, either way")] = (
        25 << 20
    )
    hold_hours: Annotated[float, Meta(gt=0, description="A held reply fails after this long")] = (
        48.0
    )
    horizon_hours: Annotated[
        float, Meta(gt=0, description="An event not delivered by then is dead")
    ] = 72.0
    retention_days: Annotated[
        int, Meta(ge=1, le=36_500, description="Bodies are kept this long")
    ] = 180
    api_requests_per_s: Annotated[
        float,
        Meta(
            ge=0,
            le=100_000,
            description="How often a token may call the API that has no rate of its own; twice as many at "
            "once; 0: no limit",
        ),
    ] = 100.0
    default_queue: Annotated[
        str, Meta(description="Where a conversation goes that no route takes")
    ] = "inbox"
    time_zone: Annotated[
        str, Meta(description="Time zone of routes and queues that name none, e.g. Asia/Shanghai")
    ] = "UTC"

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        if self.public_url and not _WEB_ADDRESS.match(self.public_url):
            yield "public_url", f"found {self.public_url!r}, wants one like https://hub.example.com"
        for name, value, schemes in (
            ("database_url", self.database_url, ("postgresql", "postgres", "asyncpg")),
            ("redis_url", self.redis_url, ("redis", "rediss", "unix")),
        ):
            scheme = value.reveal().partition("://")[0] if value else schemes[0]
            if scheme not in schemes:
                yield name, f"wants a URL that begins with {schemes[0]}://"
        yield from unreadable(time_zone=lambda: zone_of(self.time_zone))


class QueueSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[queues.NAME]``: a line of work."""

    title: Annotated[str | None, Meta(description="Name for people")] = None
    priority: Annotated[
        Literal["interactive", "bulk"],
        Meta(
            description="bulk waits while events of interactive queues wait for the same helpdesk"
        ),
    ] = "interactive"
    hours: Annotated[
        tuple[str, ...],
        Meta(description='When it is open, e.g. ["mon-fri 09:00-18:00"]; empty for always'),
    ] = ()
    time_zone: Annotated[
        str | None, Meta(description="Time zone of hours; the hub's when unset")
    ] = None
    holidays: Annotated[
        tuple[str, ...],
        Meta(description="Days closed: 2026-10-01, 2026-10-01/2026-10-07, or each year 12-25"),
    ] = ()
    workdays: Annotated[
        tuple[str, ...],
        Meta(description="Days with a Monday's hours, whatever they are: 2026-10-10"),
    ] = ()
    max_open: (
        Annotated[int, Meta(ge=1, description="Full when so many conversations are open in it")]
        | None
    ) = None
    overflow: Annotated[
        str | None,
        Meta(description="The queue that takes new conversations while this one is closed or full"),
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        yield from unreadable(
            time_zone=lambda: zone_of(self.time_zone or "UTC"),
            hours=lambda: Hours(self.hours),
            holidays=lambda: Hours((), holidays=self.holidays),
            workdays=lambda: Hours((), workdays=self.workdays),
        )
        if self.overflow is None and (self.hours or self.holidays or self.max_open):
            yield (
                "overflow",
                "is missing: which queue takes conversations while this one is closed?",
            )


def unreadable(**reads: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """The settings that cannot be read, and why."""
    for name, read in reads.items():
        try:
            read()
        except ValueError as error:
            yield name, str(error)


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[routes]]``: the first rule whose every field fits takes the conversation."""

    queue: Annotated[str, Meta(description="The queue that the conversation goes to")]
    channel: Annotated[str | None, Meta(description="Only this channel")] = None
    account: Annotated[str | None, Meta(description="Only this account")] = None
    kind: Annotated[str | None, Meta(description="Only messages of this kind (text, image, …)")] = (
        None
    )
    text: Annotated[str | None, Meta(description="Regular expression (RE2) found in the text")] = (
        None
    )
    subject: Annotated[
        str | None, Meta(description="Regular expression (RE2) found in the subject")
    ] = None
    sender: Annotated[
        str | None, Meta(description="Regular expression (RE2) found in the customer's address")
    ] = None
    tag: Annotated[str | None, Meta(description="Only conversations with this tag")] = None
    contact: Annotated[
        Literal["new", "known"] | None, Meta(description="Only contacts who are new, or known")
    ] = None
    hours: Annotated[
        tuple[str, ...],
        Meta(description='Only then, e.g. ["mon-fri 18:00-09:00", "sat-sun 00:00-24:00"]'),
    ] = ()
    time_zone: Annotated[
        str | None, Meta(description="Time zone of hours; the hub's when unset")
    ] = None
    sticky: Annotated[
        bool, Meta(description="False: moves a conversation even when it already has a queue")
    ] = True

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        yield from unreadable(
            time_zone=lambda: zone_of(self.time_zone or "UTC"), hours=lambda: Hours(self.hours)
        )


class ClosedTemplate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.closed_template]``: what is sent when a reply is not allowed now."""

    id: Annotated[str, Meta(description="The template's id on the platform")]
    params: Annotated[
        dict[str, str], Meta(description='Its fields; "{text}" stands for the text of the reply')
    ] = field(default_factory=dict)
    url: Annotated[str | None, Meta(description="Where a tap on it leads")] = None
    max_characters: Annotated[
        int, Meta(ge=1, description="How long a text the template shows in full")
    ] = 20


WhenClosed = Literal["hold", "template", "other", "fail"]


class AccountPlan(NamedTuple):
    """One configured account: its channel, typed settings, and what the core does for it."""

    account: Account[Any]
    channel: Channel
    enabled: bool
    when_closed: WhenClosed
    intake_secret: Secret | None
    proxy: str | None
    closed_template: ClosedTemplate | None = None
    closed_accounts: tuple[str, ...] = ()


class DestinationPlan(NamedTuple):
    """One configured destination and what the core does for it."""

    target: Target
    kind: Destination
    enabled: bool
    queues: tuple[str, ...]
    events: tuple[str, ...]
    max_in_flight: int
    timeout_s: float
    allow_private: bool
    proxy: str | None
    allow_addresses: tuple[str, ...] = ()
    fail_over: str | None = None

    def takes(self, queue: str | None, event_type: str) -> bool:
        """True when an event of that type, in that queue (None: in no queue), is for this destination."""
        wanted = not self.events or event_type in self.events
        return wanted and (queue is None or "*" in self.queues or queue in self.queues)


class AccountCore(Struct, frozen=True, kw_only=True):
    """``[accounts.NAME]``: what the core reads; the rest of the table is the channel's own."""

    channel: Annotated[str, Meta(description="Which channel this is an account of")]
    enabled: Annotated[bool, Meta(description="False: refuses callbacks and sends nothing")] = True
    when_closed: Annotated[
        WhenClosed,
        Meta(
            description="A reply that the platform does not allow now: hold it for the customer; send "
            "closed_template; say it by another account on which the contact is known; or fail"
        ),
    ] = "hold"
    closed_template: Annotated[
        ClosedTemplate | None,
        Meta(
            description='The template for when_closed = "template", a table: id, params ("{text}" '
            "stands for the reply), url, max_characters (20)"
        ),
    ] = None
    closed_accounts: Annotated[
        list[str], Meta(description='For when_closed = "other": the accounts to try, in order')
    ] = field(default_factory=list)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What the plan for closed windows lacks."""
        if self.when_closed == "template" and self.closed_template is None:
            yield "closed_template", 'is missing; when_closed = "template" needs it'
        if self.when_closed == "other" and not self.closed_accounts:
            yield "closed_accounts", 'is missing; when_closed = "other" needs the accounts to try'


class DestinationCore(Struct, frozen=True, kw_only=True):
    """``[destinations.NAME]``: what the core reads; the rest is the helpdesk's own."""

    type: Annotated[str, Meta(description="Which kind of helpdesk this is")] = "webhook"
    enabled: Annotated[bool, Meta(description="False: gets nothing; what waits stays")] = True
    queues: Annotated[list[str], Meta(description='Queues that it serves; "*" for all')] = field(
        default_factory=lambda: ["*"]
    )
    events: Annotated[list[str], Meta(description="Event types that it wants; empty for all")] = (
        field(default_factory=list)
    )
    max_in_flight: Annotated[int, Meta(ge=1, le=1000, description="Requests at one time")] = 16
    timeout_s: Annotated[
        float, Meta(gt=0, le=15, description="A request not answered by then failed")
    ] = 15.0
    allow_private: Annotated[
        bool, Meta(description="True: the URL may lead to a private or loopback address")
    ] = False
    proxy: Annotated[str | None, Meta(description="HTTP proxy for this destination")] = None
    allow_addresses: Annotated[
        tuple[str, ...],
        Meta(
            description='Private addresses that it may lead to, e.g. ["10.1.2.0/24"], and no others'
        ),
    ] = ()
    fail_over: Annotated[
        str | None,
        Meta(description="The webhook destination that takes its events while it is down"),
    ] = None

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        yield from unreadable(
            allow_addresses=lambda: [private_network(one) for one in self.allow_addresses]
        )


class Settings(NamedTuple):
    """Everything that is configured; one value, replaced as a whole when the file changes."""

    hub: HubSettings
    accounts: Mapping[str, AccountPlan]
    queues: Mapping[str, QueueSettings]
    routes: Sequence[Route]
    destinations: Mapping[str, DestinationPlan]
    sha256: str
    path: str | None
    warnings: tuple[str, ...]
    attachments: AttachmentSettings = AttachmentSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
