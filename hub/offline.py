"""``hub try`` and ``hub compose``: a channel without database, Redis or network.

What they print is a promise: one JSON line per case, in the order given, nothing else on standard
output.
"""

import argparse
import asyncio
import contextlib
import hashlib
import mimetypes
import sys
import tomllib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from hub.cases import read_request
from hub.channel import Account, Channel, HttpAnswer, Intake, Response, Token, Tools
from hub.errors import ConfigError, HubError, NotAuthentic, NotRecognised, Unreachable, Unsupported
from hub.model import Draft, InboundEvent, Reply, ReplyAttachment, public_json
from hub.registry import channels
from hub.settings import channel_part, read_table
from hub.text import clean

__all__ = ["compose_command", "compose_reply", "offline_tools", "try_case", "try_command"]

Line = dict[str, Any]

_TEXT = {"content-type": "text/plain; charset=utf-8"}
_FORBIDDEN = Response(403, b"forbidden", _TEXT)
_BAD_REQUEST = Response(400, b"bad request", _TEXT)


# --- the commands -----------------------------------------------------------------------------------


class Run(NamedTuple):
    """What every case of one call shares."""

    channel: Channel
    account: Account[Any]
    now: datetime

    @property
    def tools(self) -> Tools:
        return offline_tools(self.now)


def try_command(arguments: Sequence[str], out: BinaryIO | None = None) -> int:
    """``hub try CHANNEL --settings FILE.toml [--proven] [--now ISO] CASE…``; the exit status.

    0 unless the command could not run at all: a refused or broken case is a line like any other.
    """
    parser = _parser("try", "Run captured requests or mails through a channel, offline.")
    parser.add_argument("--proven", action="store_true", help="a case is the body of an event")
    parser.add_argument("cases", nargs="+", metavar="CASE", help="*.http, *.eml or an event's body")
    given = parser.parse_args(arguments)

    def each(run: Run) -> Callable[[str], Awaitable[Line]]:
        adapter = run.channel.adapter(run.account, run.tools) if run.channel.adapter else None
        return lambda case: try_case(run, adapter, case, proven=given.proven)

    return _each_case(given, each, out)


def compose_command(arguments: Sequence[str], out: BinaryIO | None = None) -> int:
    """``hub compose CHANNEL --settings FILE.toml [--now ISO] REPLY.json…``; the exit status."""
    parser = _parser("compose", "Show the platform calls that a reply would become, offline.")
    parser.add_argument("cases", nargs="+", metavar="REPLY", help="a reply as JSON")
    given = parser.parse_args(arguments)

    def each(run: Run) -> Callable[[str], Awaitable[Line]]:
        sender = run.channel.sender(run.account, run.tools) if run.channel.sender else None
        return lambda case: compose_reply(sender, case)

    return _each_case(given, each, out)


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"hub {name}", description=about)
    parser.add_argument("channel", metavar="CHANNEL", help="key of an installed channel")
    parser.add_argument(
        "--settings",
        required=True,
        metavar="FILE.toml",
        help="the channel's settings, flat, under [settings] or under [accounts.NAME]",
    )
    parser.add_argument("--account", metavar="NAME", help="which of several [accounts.NAME]")
    parser.add_argument("--now", type=_time, metavar="ISO", help="set the clock")
    return parser


def _time(text: str) -> datetime:
    return _aware(datetime.fromisoformat(text))


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _each_case(
    given: argparse.Namespace,
    each: Callable[[Run], Callable[[str], Awaitable[Line]]],
    out: BinaryIO | None,
) -> int:
    target = out or sys.stdout.buffer
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a channel that prints must not spoil a line
            asyncio.run(_write(given.cases, each(_run(given)), target))
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's own voice
        return 2
    except BrokenPipeError:
        return 1
    return 0


async def _write(
    cases: Iterable[str], show: Callable[[str], Awaitable[Line]], out: BinaryIO
) -> None:
    for case in cases:
        out.write(_json(await show(case)) + b"\n")
        out.flush()


# --- settings ---------------------------------------------------------------------------------------


def _run(given: argparse.Namespace) -> Run:
    known = channels()
    if given.channel not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigError([f"no channel {given.channel!r} is installed; there are: {names}"])
    channel = known[given.channel]
    name, table = _table(given.settings, channel.key, given.account)
    settings = read_table(channel.settings, table, source=given.settings, key=name)
    account = Account(name, channel.key, settings)
    return Run(channel, account, given.now or datetime.now(UTC))


def _table(path: str, channel: str, wanted: str | None) -> tuple[str, Mapping[str, Any]]:
    """The account's name and the channel's own settings in the file at *path*."""
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    accounts = document.get("accounts")
    if isinstance(accounts, dict):
        return _one_account(path, accounts, channel, wanted)
    table = document.get("settings")
    return wanted or channel, channel_part(table if isinstance(table, dict) else document)


def _one_account(
    path: str, accounts: Mapping[str, Any], channel: str, wanted: str | None
) -> tuple[str, Mapping[str, Any]]:
    fitting = {
        name: table
        for name, table in accounts.items()
        if isinstance(table, dict)
        and table.get("channel", channel) == channel
        and wanted in (None, name)
    }
    if len(fitting) != 1:
        hint = "; choose one with --account" if len(fitting) > 1 else ""
        names = ", ".join(sorted(fitting)) or "none"
        raise ConfigError([f"{path}: accounts of channel {channel}: {names}{hint}"])
    name, table = next(iter(fitting.items()))
    return name, channel_part(table)


# --- try --------------------------------------------------------------------------------------------


async def try_case(run: Run, adapter: Any, case: str, *, proven: bool) -> Line:
    """What becomes of one case; a broken one is a line too."""
    line: Line = {
        "case": case,
        "accepted": False,
        "response": None,
        "events": [],
        "results": [],
        "error": None,
    }
    try:
        data = Path(case).read_bytes()
        if proven or case.lower().endswith(".eml"):
            events: Sequence[InboundEvent] = [_proven(data, run.now)]
        else:
            intake = await _accept(adapter, data, run.now)
            line["response"] = _response(intake.response)
            events = intake.events
        line["accepted"] = True
        line["events"] = [{"dedupe_key": one.dedupe_key, "body": _body(one.body)} for one in events]
        line["results"] = [
            _result(one) for event in events for one in run.channel.normalize(event, run.account)
        ]
    except Exception as error:  # one hostile case must not stop the others
        line["error"] = _error(error)
        if not line["accepted"] and not isinstance(error, OSError):
            refusal = _FORBIDDEN if isinstance(error, NotAuthentic) else _BAD_REQUEST
            line["response"] = None if proven else _response(refusal)
    return line


async def _accept(adapter: Any, data: bytes, now: datetime) -> Intake:
    request = read_request(data, now)
    if adapter is None:
        raise NotRecognised("this channel takes no requests")
    intake: Intake = await adapter.accept(request)
    return intake


def _proven(data: bytes, now: datetime) -> InboundEvent:
    """An event as a listener emits it, keyed by its bytes."""
    key = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return InboundEvent(dedupe_key=key, order_key="", body=data, received_at=now)


def _result(value: Any) -> Line:
    return {"type": type(value).__name__, **public_json(value)}


def _response(response: Response) -> Line:
    return {
        "status": response.status,
        "headers": dict(response.headers),
        "body": _body(response.body),
    }


def _body(data: bytes) -> str | dict[str, str]:
    """*data* as text, or as base64 where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _error(error: Exception) -> Line:
    detail = getattr(error, "detail", "") or str(error)
    if isinstance(error, HubError):
        detail = detail or error.sentence
    return {"class": type(error).__name__, "detail": detail}


def _json(line: Line) -> bytes:
    try:
        return msgspec.json.encode(line)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.json.encode(_scrubbed(line, 0))


def _scrubbed(value: Any, depth: int) -> Any:
    """*value* with whatever JSON cannot hold shown as well as it can be."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bytes):
        return _body(value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value)[:400] if value.bit_length() < 4000 else "[number out of range]"
    if value is None or isinstance(value, bool | int | float | datetime):
        return value
    if depth > 50:
        return clean(repr(type(value)))
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): _scrubbed(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(item, depth + 1) for item in value]
    return clean(str(value))


# --- compose ----------------------------------------------------------------------------------------


async def compose_reply(sender: Any, case: str) -> Line:
    """The platform calls that the reply in the file *case* would become."""
    line: Line = {"case": case, "drafts": [], "error": None}
    try:
        if sender is None:
            raise Unsupported("this channel sends nothing")
        reply = _reply(Path(case))
        line["drafts"] = [_draft(draft) for draft in sender.compose(reply, ())]
    except Exception as error:  # one broken reply must not stop the others
        line["error"] = _error(error)
    return line


def _reply(path: Path) -> Reply:
    data = path.read_bytes()
    given = msgspec.json.decode(data)
    if not isinstance(given, dict):
        raise NotRecognised("a reply is a JSON object")
    unknown = sorted(given.keys() - set(Reply.__struct_fields__))
    if unknown:
        raise NotRecognised(f"a reply has no field {', '.join(unknown)}")
    reply = msgspec.convert(given, Reply)
    files = tuple(_with_content(one, path.parent) for one in reply.attachments)
    last = _aware(reply.last_inbound_at) if reply.last_inbound_at else None
    return msgspec.structs.replace(reply, attachments=files, last_inbound_at=last)


def _with_content(attachment: ReplyAttachment, folder: Path) -> ReplyAttachment:
    """*attachment* with the bytes of its *path*, which counts from the reply's folder."""
    if attachment.path is None:
        return attachment
    path = folder / attachment.path
    path = path if path.exists() else Path(attachment.path)
    content = path.read_bytes()
    return msgspec.structs.replace(
        attachment,
        content=content,
        filename=attachment.filename or path.name,
        mime_type=attachment.mime_type or mimetypes.guess_type(path.name)[0],
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _draft(draft: Draft) -> Line:
    shown: Line = {"method": draft.method, "url": draft.url, "headers": dict(draft.headers)}
    for name in ("json", "form", "body"):
        if getattr(draft, name) is not None:
            shown[name] = getattr(draft, name)
            break
    return shown | ({"shown": draft.shown} if draft.shown else {})


# --- tools that reach nothing -----------------------------------------------------------------------


class _NoHttp:
    async def __call__(self, method: str, url: str, **_rest: Any) -> HttpAnswer:
        raise Unreachable(f"offline: {method} {url.partition('?')[0]}")


class _NoTokens:
    async def get(
        self, name: str, fetch: Callable[[], Awaitable[Token]], *, unlike: str | None = None
    ) -> str:
        raise Unreachable(f"offline: token {name}")


class _Files:
    async def read(self, attachment: ReplyAttachment) -> bytes:
        if attachment.content is None:
            raise Unsupported("offline: only files given by path can be read")
        return attachment.content


class _Silence:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., "_Silence"]:
        return lambda *_args, **_facts: self


def offline_tools(now: datetime) -> Tools:
    """Tools that reach nothing; the clock stands at *now*."""
    return Tools(
        http=_NoHttp(), tokens=_NoTokens(), media=_Files(), clock=lambda: now, log=_Silence()
    )
