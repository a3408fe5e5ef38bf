"""Typed settings, from ``config/hub.toml`` and the environment.

A mistake is one line: file, key, what was found and what is allowed; all mistakes are told at once.
Any string may hold ``${NAME}`` (from the environment); a secret may also be ``file:/path``.
"""

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from hub.blobs import AttachmentSettings
from hub.channel import Account, Channel
from hub.destination import Destination, Target
from hub.errors import ConfigError
from hub.guard import private_network
from hub.hours import Hours, zone_of
from hub.model import Secret
from hub.registry import channels, destinations

__all__ = [
    "AccountPlan",
    "DestinationPlan",
    "HubSettings",
    "QueueSettings",
    "Route",
    "Settings",
    "channel_part",
    "load",
    "read_table",
]

P = TypeVar("P")
S = TypeVar("S", bound=Struct)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MIN_INTAKE_SECRET = 16
"""Characters of a path's secret segment where nothing else proves a callback."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WANTED = re.compile(r"^(?:Expected|Object|Invalid) ?(.*?)(?: - at .*)?$")


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
    retention_days: Annotated[int, Meta(ge=1, description="Bodies are kept this long")] = 180
    default_queue: Annotated[
        str, Meta(description="Where a conversation goes that no route takes")
    ] = "inbox"
    time_zone: Annotated[
        str, Meta(description="Time zone of routes and queues that name none, e.g. Asia/Shanghai")
    ] = "UTC"

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong beyond types: (setting, what it wants)."""
        for name, value, schemes in (
            ("database_url", self.database_url, ("postgresql", "postgres", "asyncpg")),
            ("redis_url", self.redis_url, ("redis", "rediss", "unix")),
        ):
            scheme = value.reveal().partition("://")[0] if value else schemes[0]
            if scheme not in schemes:
                yield name, f"wants a URL that begins with {schemes[0]}://"
        yield from _unreadable(time_zone=lambda: zone_of(self.time_zone))


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
        yield from _unreadable(
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


def _unreadable(**reads: Callable[[], object]) -> Iterator[tuple[str, str]]:
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
        yield from _unreadable(
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


class _AccountCore(Struct, frozen=True, kw_only=True):
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


class _DestinationCore(Struct, frozen=True, kw_only=True):
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
        yield from _unreadable(
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


class _Reader:
    """Collects mistakes and warnings while tables are read."""

    def __init__(self, source: str, environment: Mapping[str, str]) -> None:
        self.source = source
        self.environment = environment
        self.mistakes: list[str] = []
        self.warnings: list[str] = []

    def wrong(self, key: str, text: str) -> None:
        self.mistakes.append(f"{self.source}: {key}: {text}")

    def expand(self, key: str, value: Any) -> Any:
        """*value* with ``${NAME}`` replaced, in lists and tables too."""
        if isinstance(value, list):
            return [self.expand(key, item) for item in value]
        if isinstance(value, dict):
            return {name: self.expand(f"{key}.{name}", item) for name, item in value.items()}
        if not isinstance(value, str):
            return value

        def variable(found: re.Match[str]) -> str:
            if found[1] not in self.environment:
                self.wrong(key, f"the environment has no {found[1]}")
            return self.environment.get(found[1], "")

        return _VARIABLE.sub(variable, value)

    def secret(self, key: str, value: Any) -> Secret:
        if not isinstance(value, str):
            raise ValueError("Expected `str`")
        text = value
        if value.startswith("file:"):
            try:
                text = Path(value.removeprefix("file:")).read_text(encoding="utf-8")
                text = text.removesuffix("\n").removesuffix("\r")  # as every editor leaves it
            except OSError as error:
                self.wrong(key, f"cannot read {value.removeprefix('file:')!r}: {error.strerror}")
        if text != text.strip():
            self.warnings.append(
                f"{self.source}: {key}: spaces or line ends around it are left out"
            )
        return Secret(text.strip())

    def one(self, key: str, kind: Any, value: Any) -> Any:
        """*value* as *kind*; a mistake is noted and gives the missing value."""

        def hook(wanted: type, found: Any) -> Any:
            if wanted is Secret:
                return self.secret(key, found)
            raise NotImplementedError(wanted)

        before = len(self.mistakes)
        expanded = self.expand(key, value)
        if len(self.mistakes) > before:
            return msgspec.UNSET  # said already; what an empty value lacks would only confuse
        try:
            return msgspec.convert(expanded, kind, dec_hook=hook)
        except msgspec.ValidationError as error:
            where = f"{key}{_path_in(error)}" if isinstance(value, dict) else key
            self.wrong(where, f"found {_shown(kind, value)}, wants {_wanted(error)}")
            return msgspec.UNSET

    def table(self, key: str, kind: type[S], table: Any) -> S | None:
        """*table* as a *kind*, or None after noting every mistake in it."""
        if not isinstance(table, dict):
            self.wrong(key, f"found {table!r}, wants a table [{key}]")
            return None
        known = {one.encode_name: one for one in msgspec.structs.fields(kind)}
        for name in table.keys() - known.keys():
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            self.wrong(f"{key}.{name}", f"unknown setting; {hint}")
        values: dict[str, Any] = {}
        sound = True
        for name, one in known.items():
            if name in table:
                values[one.name] = self.one(f"{key}.{name}", one.type, table[name])
                sound &= values[one.name] is not msgspec.UNSET
            elif one.required:
                self.wrong(f"{key}.{name}", f"is missing; wants {_described(one.type)}")
                sound = False
        if not sound:
            return None
        made = kind(**values)
        checker: Callable[[], Iterable[tuple[str, str]]] | None = getattr(made, "mistakes", None)
        for name, text in checker() if checker else ():
            self.wrong(f"{key}.{name}", text)
        return made


def _path_in(error: msgspec.ValidationError) -> str:
    """Where in a table the mistake is, as the settings name it: ``.params``."""
    found = re.search(r" - at `(?:key in )?\$(.*)`", str(error))
    return found[1] if found else ""


def _shown(kind: Any, value: Any) -> str:
    if isinstance(value, dict):
        return "something else"  # it may hold secrets
    if "Secret" in repr(kind):
        return f"a hidden value of {len(str(value))} characters"
    return repr(value)


def _wanted(error: msgspec.ValidationError) -> str:
    text = str(error).split(" - at ")[0]
    match = re.match(r"Expected `(.*?)`, got `.*`", text)
    return match[1] if match else text.removeprefix("Expected ").removeprefix("Invalid ")


def _described(kind: Any) -> str:
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    return "a value"


def read_table(kind: type[S], table: Mapping[str, Any], *, source: str, key: str = "") -> S:
    """*table* as settings of the class *kind*, for commands that read one channel's settings.

    Raises:
        ConfigError: with every mistake.
    """
    reader = _Reader(source, os.environ)
    made = reader.table(key or "settings", kind, dict(table))
    if reader.mistakes or made is None:
        raise ConfigError(reader.mistakes)
    return made


def _split(table: Mapping[str, Any], core: type[Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = {one.encode_name for one in msgspec.structs.fields(core)}
    ours = {name: value for name, value in table.items() if name in names}
    return ours, {name: value for name, value in table.items() if name not in names}


def channel_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in an account's *table* that are the channel's own, not the core's."""
    return _split(table, _AccountCore)[1]


def _known(reader: _Reader, key: str, kind: str, name: str, known: Iterable[str]) -> bool:
    if name in known:
        return True
    reader.wrong(key, f"found {name!r}, wants an installed {kind}: {', '.join(sorted(known))}")
    return False


def _account(reader: _Reader, name: str, table: Any) -> AccountPlan | None:
    key = f"accounts.{name}"
    if not isinstance(table, dict):
        reader.wrong(key, f"found {table!r}, wants a table [{key}]")
        return None
    ours, theirs = _split(table, _AccountCore)
    core = reader.table(key, _AccountCore, ours)
    if core is None or not _known(reader, f"{key}.channel", "channel", core.channel, channels()):
        return None
    channel = channels()[core.channel]
    settings = reader.table(key, channel.settings, theirs)
    if settings is None:
        return None
    if core.when_closed == "template" and not channel.capabilities.templates:
        reader.wrong(f"{key}.when_closed", f"channel {channel.key} has no templates")
    if core.enabled and _is_open_to_strangers(channel, settings):
        reader.wrong(
            f"{key}.intake_secret",
            f"is missing or short; nothing else proves these callbacks: wants {MIN_INTAKE_SECRET} "
            "characters or more; make it: openssl rand -hex 16",
        )
    return AccountPlan(
        Account(name, channel.key, settings),
        channel,
        core.enabled,
        core.when_closed,
        getattr(settings, "intake_secret", None),
        getattr(settings, "proxy", None),
        core.closed_template,
        tuple(core.closed_accounts),
    )


def _is_open_to_strangers(channel: Channel, settings: Any) -> bool:
    """Whether the platform's callbacks are not signed, and its path can be guessed."""
    signed: bool = getattr(settings, "is_signed", channel.capabilities.signed)
    secret: Secret | None = getattr(settings, "intake_secret", None)
    short = secret is None or len(secret.reveal()) < MIN_INTAKE_SECRET
    return channel.adapter is not None and not signed and short


def _destination(reader: _Reader, name: str, table: Any) -> DestinationPlan | None:
    key = f"destinations.{name}"
    if not isinstance(table, dict):
        reader.wrong(key, f"found {table!r}, wants a table [{key}]")
        return None
    ours, theirs = _split(table, _DestinationCore)
    core = reader.table(key, _DestinationCore, ours)
    if core is None or not _known(reader, f"{key}.type", "destination", core.type, destinations()):
        return None
    kind = destinations()[core.type]
    settings = reader.table(key, kind.settings, theirs)
    if settings is None:
        return None
    return DestinationPlan(
        Target(name, core.type, settings),
        kind,
        core.enabled,
        tuple(core.queues),
        tuple(core.events),
        core.max_in_flight,
        core.timeout_s,
        core.allow_private,
        core.proxy,
        core.allow_addresses,
        core.fail_over,
    )


def _check_fail_over(
    reader: _Reader, name: str, plan: DestinationPlan, targets: Mapping[str, DestinationPlan]
) -> None:
    webhooks = sorted(n for n, one in targets.items() if one.kind.courier and n != name)
    if plan.fail_over is None:
        return
    if plan.kind.courier is None:
        reader.wrong(f"destinations.{name}.fail_over", "only a webhook can have one")
    elif plan.fail_over not in webhooks:
        reader.wrong(
            f"destinations.{name}.fail_over", f"found {plan.fail_over!r}, wants one of {webhooks}"
        )


def _named(reader: _Reader, document: Mapping[str, Any], section: str) -> dict[str, Any]:
    table = document.get(section, {})
    if not isinstance(table, dict):
        reader.wrong(section, f"found {table!r}, wants tables [{section}.NAME]")
        return {}
    for name in table:
        if not NAME.fullmatch(name):
            reader.wrong(f"{section}.{name}", "a name has a-z, 0-9, - and _, at most 63 of them")
    return {name: value for name, value in table.items() if NAME.fullmatch(name)}


def _each(
    reader: _Reader,
    document: Mapping[str, Any],
    section: str,
    read: Callable[[_Reader, str, Any], P | None],
) -> dict[str, P]:
    tables = _named(reader, document, section)
    return {name: made for name, table in tables.items() if (made := read(reader, name, table))}


def _routes(reader: _Reader, document: Mapping[str, Any], queues: Iterable[str]) -> list[Route]:
    tables = document.get("routes", [])
    if not isinstance(tables, list):
        reader.wrong("routes", "wants a list of tables [[routes]]")
        return []
    found = [reader.table(f"routes[{index}]", Route, table) for index, table in enumerate(tables)]
    for index, route in enumerate(found):
        if route and route.queue not in queues:
            reader.wrong(
                f"routes[{index}].queue", f"found {route.queue!r}, wants one of {sorted(queues)}"
            )
        for name in ("text", "subject", "sender"):
            if route and (pattern := getattr(route, name)) is not None:
                _check_pattern(reader, f"routes[{index}].{name}", pattern)
    return [route for route in found if route]


def _check_pattern(reader: _Reader, key: str, pattern: str) -> None:
    import re2

    try:
        re2.compile(pattern)
    except re2.error as error:
        reader.wrong(key, f"found {pattern!r}, wants an RE2 regular expression: {error}")


_ENVIRONMENT = {
    "HUB_HOST": "host",
    "HUB_PORT": "port",
    "HUB_PUBLIC_URL": "public_url",
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "HUB_SECRET_KEY": "secret_key",
    "HUB_DATA_DIR": "data_dir",
    "HUB_LOG_LEVEL": "log_level",
}


def _hub(reader: _Reader, document: Mapping[str, Any]) -> HubSettings:
    table = document.get("hub", {})
    if not isinstance(table, dict):
        reader.wrong("hub", f"found {table!r}, wants a table [hub]")
        table = {}
    table = dict(table)
    for variable, name in _ENVIRONMENT.items():
        if value := reader.environment.get(variable):
            table[name] = int(value) if name == "port" and value.isdigit() else value
    return reader.table("hub", HubSettings, table) or HubSettings()


_SECTIONS = ("accounts", "attachments", "destinations", "hub", "queues", "routes")


def _sections(reader: _Reader, document: Mapping[str, Any]) -> None:
    for name in document.keys() - set(_SECTIONS):
        near = difflib.get_close_matches(name, _SECTIONS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_SECTIONS)}"
        reader.wrong(name, f"unknown section; {hint}")


def _document(path: Path | None) -> tuple[dict[str, Any], bytes]:
    if path is None:
        return {}, b""
    try:
        raw = path.read_bytes()
        return tomllib.loads(raw.decode("utf-8")), raw
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the file at *path* (None: the environment alone).

    Raises:
        ConfigError: with every mistake.
    """
    document, raw = _document(path)
    reader = _Reader(str(path or "environment"), os.environ if environment is None else environment)
    _sections(reader, document)
    hub = _hub(reader, document)
    attachments = reader.table("attachments", AttachmentSettings, document.get("attachments", {}))
    queue_tables = _named(reader, document, "queues")
    queues = {
        name: made
        for name, table in queue_tables.items()
        if (made := reader.table(f"queues.{name}", QueueSettings, table))
    }
    queues.setdefault(hub.default_queue, QueueSettings())
    for name, one in queues.items():
        if one.overflow is not None and (one.overflow not in queues or one.overflow == name):
            others = sorted(queues.keys() - {name})
            reader.wrong(
                f"queues.{name}.overflow", f"found {one.overflow!r}, wants one of {others}"
            )
    accounts = _each(reader, document, "accounts", _account)
    targets = _each(reader, document, "destinations", _destination)
    routes = _routes(reader, document, queues)
    for name, target in targets.items():
        _check_fail_over(reader, name, target, targets)
        for queue in set(target.queues) - {"*"} - set(queues):
            reader.wrong(
                f"destinations.{name}.queues", f"found {queue!r}, wants one of {sorted(queues)}"
            )
    for name, plan in accounts.items():
        for other in set(plan.closed_accounts) - (set(accounts) - {name}):
            wanted = sorted(set(accounts) - {name})
            reader.wrong(f"accounts.{name}.closed_accounts", f"found {other!r}, wants of {wanted}")
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    digest = hashlib.sha256(raw).hexdigest()
    return Settings(
        hub,
        accounts,
        queues,
        routes,
        targets,
        digest,
        str(path) if path else None,
        tuple(reader.warnings),
        attachments or AttachmentSettings(),
    )
