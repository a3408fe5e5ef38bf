"""Writes the pages of docs/reference/ that the code itself can tell.

    .venv/bin/python docs/generate.py            writes them
    .venv/bin/python docs/generate.py --check    fails when one of them is stale; writes nothing

Descriptions are those of the code: of settings, commands, events and capabilities. To change a page,
change them.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from unittest import mock

import msgspec
from msgspec import inspect

from hub import cli, settings
from hub.blobs import AttachmentSettings
from hub.channel import Channel
from hub.model import Secret
from hub.registry import destinations, installed
from hub.telemetry import TelemetrySettings
from hub.web.catalogue import EVENTS

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Made by docs/generate.py from the code; changes here are lost. -->"
BUILT_IN = "messaging-hub"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A Markdown table."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        cells = (one.replace("|", "\\|") for one in row)
        yield f"| {' | '.join(cells)} |"


def fields_of(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """The fields of a struct, with what msgspec knows of them."""
    found = inspect.type_info(kind)
    if not isinstance(found, inspect.StructType):
        raise TypeError(kind)
    return found.fields


# --- settings ---------------------------------------------------------------------------------------

INTRODUCTION = """\
The file is `config/hub.toml`; `--config FILE` or `HUB_CONFIG` names another. Any string may hold `${NAME}`,
taken from the environment. A *secret* may also be `file:/path`: its content is read, spaces and line ends
around it are left out. The file is watched: a change is in force within seconds, except that a change of
`[hub]` wants a restart. A file with mistakes changes nothing; the log says what is wrong.

`hub check` tries what is configured. [config/hub.example.toml](../../config/hub.example.toml) is a file to
begin with."""

OTHER_VARIABLES: Mapping[str, str] = {
    "HUB_CONFIG": "the settings file",
    "HUB_ENV": "`production`: `HUB_SECRET_KEY` must be set; none is made up",
    "HUB_UNSAFE_DATABASE": "`1`: takes a PostgreSQL that may lose what it confirmed; for tests only",
    "HUB_VENV": "`hubctl` only: the folder of its environment, instead of `.venv`",
}


def type_name(kind: inspect.Type) -> str:
    """What a setting wants, in words."""
    match kind:
        case inspect.Metadata(type=inner):
            return type_name(inner)
        case inspect.UnionType(types=types):
            known = [one for one in types if not isinstance(one, inspect.NoneType)]
            return " or ".join(map(type_name, known))
        case inspect.CustomType(cls=cls) if cls is Secret:
            return "secret"
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return f"list of {type_name(item)}"
        case inspect.StructType():
            return "table"
        case inspect.DictType(value_type=value):
            return f"table of {type_name(value)}"
        case inspect.IntType() | inspect.FloatType():
            return number_name(kind)
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
    raise TypeError(kind)


def number_name(kind: inspect.IntType | inspect.FloatType) -> str:
    """A number with its limits."""
    name = "whole number" if isinstance(kind, inspect.IntType) else "number"
    limits = [
        f"{word} {limit}"
        for word, limit in (("from", kind.ge), ("above", kind.gt), ("to", kind.le))
        if limit is not None
    ]
    return " ".join([name, *limits])


def default_text(field: inspect.Field) -> str:
    """The default as it would be written, or that there is none."""
    if field.required:
        return "*needed*"
    value = field.default
    if value is inspect.NODEFAULT:
        value = field.default_factory()
    if value is None or isinstance(value, Secret):
        return "–"
    return f"`{msgspec.json.encode(value).decode()}`"


def description(kind: inspect.Type) -> str:
    """The description that stands beside a setting in the code."""
    match kind:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.Metadata(type=inner):
            return description(inner)
        case inspect.UnionType(types=types):
            return next(filter(None, map(description, types)), "")
    return ""


def setting_rows(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str]]:
    """One row for each setting in the class *kind*."""
    for field in fields_of(kind):
        name = f"`{field.encode_name}`"
        yield name, type_name(field.type), default_text(field), description(field.type)


def settings_table(*kinds: type[msgspec.Struct]) -> Iterator[str]:
    rows = [row for kind in kinds for row in setting_rows(kind)]
    yield from table(("setting", "wants", "default", "what"), rows)


def settings_page() -> Iterator[str]:
    """docs/reference/settings.md"""
    yield from ("# Settings", "", INTRODUCTION, "", "## `[hub]`: the process", "")
    yield from settings_table(settings.HubSettings)
    yield from ("", "## `[attachments]`: where files lie", "")
    yield "In force after a restart. To move from a folder to a bucket, copy all of `data_dir/media` there"
    yield "but for its folder `drafts`; the names stay."
    yield ""
    yield from settings_table(AttachmentSettings)
    yield from ("", "## `[telemetry]`: traces for OpenTelemetry", "")
    yield "In force after a restart; wants `pip install 'messaging-hub[telemetry]'`. See"
    yield "[operate the hub](../how-to/operate.md)."
    yield ""
    yield from settings_table(TelemetrySettings)
    yield from ("", "## `[accounts.NAME]`: where customers write", "")
    yield "NAME is yours: lower-case letters, digits, `-` and `_`. It is part of the callback's path and of"
    yield "every message, so choose one that may stay."
    yield ""
    yield from settings_table(settings.AccountCore)
    yield from ("", "and those of its channel:")
    for channel in built_in_channels():
        yield from ("", f'### `channel = "{channel.key}"`: {channel.title}', "")
        yield f"How to set it up: {page_of(channel)}."
        yield ""
        yield from settings_table(channel.settings)
    yield from ("", "## `[queues.NAME]`: lines of work", "")
    yield from settings_table(settings.QueueSettings)
    yield from ("", "## `[[routes]]`: which conversation goes to which queue", "")
    yield "The first rule whose every field fits wins; without one the conversation goes to `default_queue`."
    yield "`hub route --account NAME --text TEXT` shows which rule would take a message, and why."
    yield ""
    yield from settings_table(settings.Route)
    yield from ("", "## `[destinations.NAME]`: helpdesks", "")
    yield from settings_table(settings.DestinationCore)
    for one in destinations().values():
        yield from ("", f'### `type = "{one.key}"`: {one.title}', "")
        yield from settings_table(one.settings)
    yield from ("", "## Environment variables", "", "They count more than the file.", "")
    variables = {name: f"`[hub] {setting}`" for name, setting in settings.ENVIRONMENT.items()}
    rows = sorted((variables | OTHER_VARIABLES).items())
    yield from table(("variable", "what"), ((f"`{name}`", what) for name, what in rows))


def built_in_channels() -> list[Channel]:
    """The channels of this checkout, not those of other packages that happen to be installed."""
    return [
        one.value
        for one in installed()
        if one.package == BUILT_IN and isinstance(one.value, Channel)
    ]


def page_of(channel: Channel) -> str:
    """Its title, with a link to its page once there is one (a test fails until then)."""
    path = f"channels/{channel.key}.md"
    there = (ROOT / "docs" / path).exists()
    return f"[{channel.title}](../{path})" if there else channel.title


# --- commands ---------------------------------------------------------------------------------------


CLI_INTRODUCTION = """\
`./hubctl status` is `hub status` in the environment that `hubctl` keeps. Every command but `try`, `compose`,
`channels` and `route` needs the database: that of a `hub up` running with the same data folder, or the one
in `DATABASE_URL`."""


def help_of(words: str) -> str:
    """What `hub WORDS --help` prints on a terminal of 96 columns."""
    said = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "96"}),
        contextlib.redirect_stdout(said),
        contextlib.suppress(SystemExit),
    ):
        cli.main([*words.split(), "--help"])
    return said.getvalue().strip()


def subcommands_of(name: str, text: str) -> list[str]:
    """The words in `{create,list,revoke} ...`, when a command has commands of its own."""
    found = re.search(r"\{([\w,]+)\} \.\.\.", text)
    return [f"{name} {word}" for word in found[1].split(",")] if found else []


def help_of_all(name: str) -> Iterator[tuple[str, str]]:
    text = help_of(name)
    yield name, text
    for words in subcommands_of(name, text):
        yield words, help_of(words)


def hubctl_help() -> str:
    """The docstring of `hubctl`."""
    text = (ROOT / "hubctl").read_text(encoding="utf-8")
    return text.split('"""')[1].strip()


def cli_page() -> Iterator[str]:
    """docs/reference/cli.md"""
    yield from ("# The command line", "", "## `./hubctl`", "", "```text", hubctl_help(), "```", "")
    yield "## `hub`"
    yield ""
    yield CLI_INTRODUCTION
    yield ""
    rows = ((f"[`{name}`](#hub-{name})", one.about) for name, one in cli.COMMANDS.items())
    yield from table(("command", "what"), rows)
    yield ""
    yield "Exit status: 0 done; 1 not done, or something is red; 2 a mistake in the command or the settings."
    for name in cli.COMMANDS:
        for words, text in help_of_all(name):
            level = "###" if " " not in words else "####"
            yield from ("", f"{level} `hub {words}`", "", "```text", text, "```")


# --- channels ---------------------------------------------------------------------------------------


def sizes(attachments: Mapping[str, int]) -> str:
    """Largest files by kind."""
    return ", ".join(f"{kind} {size(limit)}" for kind, limit in attachments.items()) or "none"


def size(count: int) -> str:
    return f"{count / (1 << 20):g} MiB"


def span(window: timedelta | None) -> str:
    return "no limit" if window is None else f"{window.total_seconds() / 3600:g} h"


def text_limit(channel: Channel) -> str:
    """How long one message may be."""
    can = channel.capabilities
    if can.max_text_bytes is not None:
        return f"{can.max_text_bytes} bytes a message; longer ones are split"
    if can.max_text_characters is not None:
        return f"{can.max_text_characters} characters a message; longer ones are split"
    return "no limit"


def way_in(channel: Channel) -> str:
    """How its messages come in."""
    ways = (
        (channel.adapter, "the platform calls `/in/…`"),
        (channel.listener, "the hub listens"),
        (channel.socket, "the platform opens a WebSocket"),
    )
    return ", ".join(text for part, text in ways if part is not None)


def yes(has: bool) -> str:
    return "yes" if has else "–"


def proof(channel: Channel) -> str:
    if channel.capabilities.signed:
        return "a signature"
    return "a secret path" if channel.adapter else "the login of the hub itself"


FEATURES: Mapping[str, Callable[[Channel], str]] = {
    "way in": way_in,
    "what proves that a message is genuine": proof,
    "free text": lambda one: yes(one.capabilities.free_text),
    "length of a text": text_limit,
    "files, largest": lambda one: sizes(one.capabilities.attachments),
    "replies allowed for": lambda one: span(one.capabilities.reply_window),
    "replies to one message": lambda one: str(one.capabilities.allowance or "no limit"),
    "reports what became of a reply": lambda one: ", ".join(one.capabilities.receipts) or "–",
    "quotes the message it answers": lambda one: yes(one.capabilities.quoting),
    "takes a message back": lambda one: yes(one.capabilities.recall),
    "writes first": lambda one: yes(one.capabilities.proactive),
    "menus": lambda one: yes(one.capabilities.menus),
    "templates": lambda one: yes(one.capabilities.templates),
    "fetches files that customers send": lambda one: yes(one.media is not None or one.hostile),
    "`hub check`": lambda one: yes(one.checker is not None),
}


def channels_page() -> Iterator[str]:
    """docs/reference/channels.md"""
    known = built_in_channels()
    yield from ("# What each channel can do", "")
    yield "From the capabilities that each channel declares; the conformance kit checks that they are what is"
    yield "observed. `hub channels` lists what is installed, and `GET /v1/channels` tells a program the same."
    yield ""
    head = ("", *map(page_of, known))
    first = ("key", *(f"`{one.key}`" for one in known))
    rows = [(name, *(tell(one) for one in known)) for name, tell in FEATURES.items()]
    yield from table(head, [first, *rows])
    yield ""
    yield "Another one? [Write a channel](../how-to/write-a-channel.md)."


# --- events -----------------------------------------------------------------------------------------


EVENTS_INTRODUCTION = """\
What a helpdesk is told, by webhook or by `GET /v1/events`. The body is
`{"type": …, "timestamp": …, "data": {…}}`. The header `webhook-id` (in the feed: `id`) names the event and is
the same each time it is sent. `order` is its place in its lane: `n` counts from 1 without gaps.

Full shapes: `/v1/asyncapi.json`, and `/v1/schemas/{type}` for one type. Types may be added: answer 2xx to
those that you do not know."""


def shape(kind: inspect.Type) -> str:
    """A field's type as a reader of JSON sees it."""
    match kind:
        case inspect.StructType(cls=cls):
            return cls.__name__
        case inspect.UnionType(types=types):
            return " or ".join(map(shape, types))
        case inspect.NoneType():
            return "null"
        case inspect.DateTimeType():
            return "time"
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.VarTupleType(item_type=item):
            return f"list of {shape(item)}"
        case inspect.DictType() | inspect.AnyType():
            return "object"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "whole number"
        case inspect.StrType():
            return "text"
    raise TypeError(kind)


def data_rows(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    for field in fields_of(kind):
        yield f"`{field.encode_name}`", shape(field.type)


def events_page() -> Iterator[str]:
    """docs/reference/events.md"""
    yield from ("# Events", "")
    yield EVENTS_INTRODUCTION
    yield ""
    yield from table(("type", "when"), ((f"`{one.name}`", one.description) for one in EVENTS))
    for one in EVENTS:
        yield from ("", f"## `{one.name}`", "", one.description, "")
        yield from table(("in `data`", "is"), data_rows(one.data))


# --- writing ----------------------------------------------------------------------------------------

PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "channels.md": channels_page,
    "events.md": events_page,
}


def text_of(name: str) -> str:
    """The page *name* as it should be."""
    title, *rest = PAGES[name]()
    return "\n".join([title, "", NOTE, *rest]) + "\n"


def stale() -> list[str]:
    """The pages that are not as the code tells them."""
    return [
        name
        for name in PAGES
        if not (REFERENCE / name).exists()
        or (REFERENCE / name).read_text(encoding="utf-8") != text_of(name)
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or say which are stale."""
    names = stale()
    if arguments == ["--check"]:
        sys.stderr.writelines(f"docs/reference/{name} is stale\n" for name in names)
        return len(names) > 0
    for name in names:
        (REFERENCE / name).write_text(text_of(name), encoding="utf-8")
        sys.stderr.write(f"wrote docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
