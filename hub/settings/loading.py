"""The settings file as a whole: its sections, and what one of them asks of another."""

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from hub.blobs import AttachmentSettings
from hub.channel import Account, Channel
from hub.destination import EVENT_TYPES, Destination, Target
from hub.errors import ConfigError
from hub.model import Secret
from hub.registry import channels, destinations
from hub.settings.reader import Reader
from hub.settings.shapes import (
    AccountCore,
    AccountPlan,
    DestinationCore,
    DestinationPlan,
    HubSettings,
    QueueSettings,
    Route,
    Settings,
)
from hub.telemetry import TelemetrySettings
from hub.text import pattern_mistake

P = TypeVar("P")
C = TypeVar("C", AccountCore, DestinationCore)
K = TypeVar("K", Channel, Destination)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NAMES = "a name has a-z, 0-9, - and _, at most 63 of them"
_PORT = re.compile("[0-9]{1,9}")
MIN_INTAKE_SECRET = 16
"""Characters of a path's secret segment where nothing else proves a callback."""

ENVIRONMENT = {
    "HUB_HOST": "host",
    "HUB_PORT": "port",
    "HUB_PUBLIC_URL": "public_url",
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "HUB_SECRET_KEY": "secret_key",
    "HUB_DATA_DIR": "data_dir",
    "HUB_LOG_LEVEL": "log_level",
}
"""Variables that stand for a setting of ``[hub]``, and go before the file."""

_SECTIONS = ("accounts", "attachments", "destinations", "hub", "queues", "routes", "telemetry")


def _split(table: Mapping[str, Any], core: type[Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = {one.encode_name for one in msgspec.structs.fields(core)}
    ours = {name: value for name, value in table.items() if name in names}
    return ours, {name: value for name, value in table.items() if name not in names}


def channel_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in an account's *table* that are the channel's own, not the core's."""
    return _split(table, AccountCore)[1]


class _Parts(NamedTuple, Generic[C, K]):
    """A table that belongs to two: what the core reads of it, whose it is, and what is theirs."""

    core: C
    kind: K
    settings: Any


def _parts(
    reader: Reader, key: str, table: Any, core: type[C], naming: str, installed: Mapping[str, K]
) -> _Parts[C, K] | None:
    """The parts of *table*, whose setting *naming* says which of *installed* it is for.

    Mistakes of both parts are noted, whichever has them; None when there are any.
    """
    if not isinstance(table, dict):
        reader.wrong(key, f"found {table!r}, wants a table [{key}]")
        return None
    ours, theirs = _split(table, core)
    made = reader.table(key, core, ours)
    defaults = {one.name: one.default for one in msgspec.structs.fields(core)}
    name = getattr(made, naming) if made else ours.get(naming, defaults[naming])
    kind = installed.get(name) if isinstance(name, str) else None
    if kind is None:
        if made:
            known = ", ".join(sorted(installed))
            reader.wrong(f"{key}.{naming}", f"found {name!r}, wants one that is installed: {known}")
        return None
    settings = reader.table(key, kind.settings, theirs)
    return _Parts(made, kind, settings) if made and settings is not None else None


def _account(reader: Reader, name: str, table: Any) -> AccountPlan | None:
    key = f"accounts.{name}"
    parts = _parts(reader, key, table, AccountCore, "channel", channels())
    if parts is None:
        return None
    core, channel, settings = parts
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


def _destination(reader: Reader, name: str, table: Any) -> DestinationPlan | None:
    parts = _parts(reader, f"destinations.{name}", table, DestinationCore, "type", destinations())
    if parts is None:
        return None
    core, kind, settings = parts
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
    reader: Reader, name: str, plan: DestinationPlan, targets: Mapping[str, DestinationPlan]
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


def _named(reader: Reader, document: Mapping[str, Any], section: str) -> dict[str, Any]:
    table = document.get(section, {})
    if not isinstance(table, dict):
        reader.wrong(section, f"found {table!r}, wants tables [{section}.NAME]")
        return {}
    for name in table:
        if not NAME.fullmatch(name):
            reader.wrong(f"{section}.{name}", _NAMES)
    return {name: value for name, value in table.items() if NAME.fullmatch(name)}


def _each(
    reader: Reader,
    document: Mapping[str, Any],
    section: str,
    read: Callable[[Reader, str, Any], P | None],
) -> dict[str, P]:
    tables = _named(reader, document, section)
    return {name: made for name, table in tables.items() if (made := read(reader, name, table))}


def _routes(reader: Reader, document: Mapping[str, Any], queues: Iterable[str]) -> list[Route]:
    tables = document.get("routes", [])
    if not isinstance(tables, list):
        reader.wrong("routes", "wants a list of tables [[routes]]")
        return []
    known: dict[str, Iterable[str]] = {"queue": queues, "channel": channels()}
    if isinstance(accounts := document.get("accounts"), dict):  # else a rule set for a dry run
        known["account"] = accounts
    found = [reader.table(f"routes[{index}]", Route, table) for index, table in enumerate(tables)]
    for index, route in enumerate(found):
        if route is not None:
            _check_route(reader, f"routes[{index}]", route, known)
    return [route for route in found if route]


def _check_route(
    reader: Reader, key: str, route: Route, known: Mapping[str, Iterable[str]]
) -> None:
    """A rule that names what is not there would never take anything, and nobody would notice."""
    for name, names in known.items():
        value = getattr(route, name)
        if value is not None and value not in names:
            reader.wrong(f"{key}.{name}", f"found {value!r}, wants one of {sorted(names)}")
    for name in ("text", "subject", "sender"):
        if (pattern := getattr(route, name)) is not None:
            _check_pattern(reader, f"{key}.{name}", pattern)


def _check_pattern(reader: Reader, key: str, pattern: str) -> None:
    if why := pattern_mistake(pattern):
        reader.wrong(key, f"found {pattern!r}, wants an RE2 regular expression: {why}")


def _hub(reader: Reader, document: Mapping[str, Any]) -> HubSettings:
    table = document.get("hub", {})
    if not isinstance(table, dict):
        reader.wrong("hub", f"found {table!r}, wants a table [hub]")
        table = {}
    table = dict(table)
    for variable, name in ENVIRONMENT.items():
        if value := reader.environment.get(variable):
            table[name] = int(value) if name == "port" and _PORT.fullmatch(value) else value
    return reader.table("hub", HubSettings, table) or HubSettings()


def _sections(reader: Reader, document: Mapping[str, Any]) -> None:
    for name in document.keys() - set(_SECTIONS):
        near = difflib.get_close_matches(name, _SECTIONS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_SECTIONS)}"
        reader.wrong(name, f"unknown section; {hint}")


def _document(path: Path | None) -> tuple[dict[str, Any], bytes]:
    if path is None:
        return {}, b""
    try:
        raw = path.read_bytes()
        return tomllib.loads(raw.decode("utf-8-sig")), raw  # some editors mark what they write
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text (byte {error.start})"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{path}: its tables and lists are nested too deep"]) from error


def _queues(
    reader: Reader, document: Mapping[str, Any], default_queue: str
) -> dict[str, QueueSettings]:
    tables = _named(reader, document, "queues")
    queues = {
        name: made
        for name, table in tables.items()
        if (made := reader.table(f"queues.{name}", QueueSettings, table))
    }
    if not NAME.fullmatch(default_queue):
        reader.wrong("hub.default_queue", f"found {default_queue!r}; {_NAMES}")
    queues.setdefault(default_queue, QueueSettings())
    for name, one in queues.items():
        if one.overflow is not None and (one.overflow not in queues or one.overflow == name):
            others = sorted(queues.keys() - {name})
            reader.wrong(
                f"queues.{name}.overflow", f"found {one.overflow!r}, wants one of {others}"
            )
    return queues


def _check_targets(
    reader: Reader, targets: Mapping[str, DestinationPlan], queues: Iterable[str]
) -> None:
    for name, target in targets.items():
        _check_fail_over(reader, name, target, targets)
        for queue in set(target.queues) - {"*"} - set(queues):
            reader.wrong(
                f"destinations.{name}.queues", f"found {queue!r}, wants one of {sorted(queues)}"
            )
        for event in sorted(set(target.events) - EVENT_TYPES):
            reader.wrong(
                f"destinations.{name}.events", f"found {event!r}, wants of {sorted(EVENT_TYPES)}"
            )


def _check_closed_accounts(reader: Reader, accounts: Mapping[str, AccountPlan]) -> None:
    for name, plan in accounts.items():
        wanted = sorted(set(accounts) - {name})
        for other in set(plan.closed_accounts) - set(wanted):
            reader.wrong(f"accounts.{name}.closed_accounts", f"found {other!r}, wants of {wanted}")


def _check_sources(reader: Reader, accounts: Mapping[str, AccountPlan]) -> None:
    """Two accounts that read one mailbox would each take half of it; ``sources`` of settings names it."""
    readers: dict[str, str] = {}
    for name, plan in accounts.items():
        sources = getattr(plan.account.settings, "sources", None)
        for source in sources() if sources and plan.enabled else ():
            if (first := readers.setdefault(source, name)) != name:
                reader.wrong(f"accounts.{name}", f"reads {source}, as accounts.{first} does")


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the file at *path* (None: the environment alone).

    Raises:
        ConfigError: with every mistake.
    """
    document, raw = _document(path)
    reader = Reader(str(path or "environment"), os.environ if environment is None else environment)
    _sections(reader, document)
    hub = _hub(reader, document)
    attachments = reader.table("attachments", AttachmentSettings, document.get("attachments", {}))
    telemetry = reader.table("telemetry", TelemetrySettings, document.get("telemetry", {}))
    queues = _queues(reader, document, hub.default_queue)
    accounts = _each(reader, document, "accounts", _account)
    targets = _each(reader, document, "destinations", _destination)
    routes = _routes(reader, document, queues)
    _check_targets(reader, targets, queues)
    _check_closed_accounts(reader, accounts)
    _check_sources(reader, accounts)
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return Settings(
        hub,
        accounts,
        queues,
        routes,
        targets,
        hashlib.sha256(raw).hexdigest(),
        str(path) if path else None,
        tuple(reader.warnings),
        attachments or AttachmentSettings(),
        telemetry or TelemetrySettings(),
    )
