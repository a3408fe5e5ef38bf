"""Logging: JSON lines, or colours on a terminal; nothing secret, nobody's name, never what was said."""

import logging
import sys
import unicodedata
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from hub.redact import HIDDEN, is_secret_name, mask, redact

__all__ = ["configure", "safe"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SAID = frozenset({"answer", "body", "content", "html", "raw", "subject", "text"})
"""What customers and agents say; of these only the length is logged."""

_PEOPLE = frozenset(
    {
        "address",
        "address_value",
        "external_userid",
        "fromusername",
        "openid",
        "tousername",
        "userid",
    }
)
_DEPTH = 4
_MAX = 2000

# These log what was asked for, arguments and all, or each request.
_QUIET = {"aiohttp.access": logging.CRITICAL, "arq": logging.WARNING, "tortoise": logging.WARNING}


def _one_line(text: str) -> str:
    """*text* with what would break a line, hide text or steer a terminal shown as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        repr(one)[1:-1] if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") else one
        for one in text
    )


def _text(text: str) -> str:
    cut = text if len(text) <= _MAX else f"{text[:_MAX]}… ({len(text)} characters)"
    return mask(redact(cut))


def safe(value: Any, name: str = "", depth: int = _DEPTH) -> Any:
    """*value* as it may be logged under *name*."""
    if value is None or isinstance(value, bool | float):
        return value
    if is_secret_name(name):
        return HIDDEN
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    lower = name.lower()
    if lower in _SAID:
        return f"<{len(value)} characters>" if isinstance(value, str) else "<not shown>"
    if lower in _PEOPLE and isinstance(value, str):
        return _one_line(_text(value) if "@" in value else f"***{value[-4:]}")
    if depth and isinstance(value, Mapping):
        return {_one_line(str(key)): safe(one, str(key), depth - 1) for key, one in value.items()}
    if depth and isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return [safe(one, name, depth - 1) for one in list(value)[:50]]
    return _one_line(_text(value if isinstance(value, str) else str(value)))


def _protect(_: Any, __: str, event: EventDict) -> EventDict:
    """The processor: every value made safe, also the traceback."""
    trace = event.pop("exception", None)
    shown: dict[str, Any] = {key: safe(value, key) for key, value in event.items() if key[0] != "_"}
    if trace is not None:
        lines = str(trace)[-8000:].splitlines()
        shown["exception"] = "\n".join(_one_line(mask(redact(line))) for line in lines)
    shown.update({key: value for key, value in event.items() if key[0] == "_"})
    return shown


def _name(logger: Any, _: str, event: EventDict) -> EventDict:
    name = getattr(event.get("_record", logger), "name", None)
    if name is not None:
        event.setdefault("logger", name)
    return event


class _Named(structlog.WriteLogger):
    """Writes lines, and knows what it is called."""

    def __init__(self, file: TextIO, name: str | None) -> None:
        super().__init__(file)
        self.name = name


def _render_json(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event).decode()


def configure(
    level: str = "info", *, stream: TextIO | None = None, pretty: bool | None = None
) -> None:
    """Log from *level* on to *stream* (standard error); *pretty* None: where it is a terminal.

    The standard library's loggers come out the same way. May be called again.
    """
    out = stream or sys.stderr
    pretty = out.isatty() if pretty is None else pretty
    render: Processor = structlog.dev.ConsoleRenderer(colors=True) if pretty else _render_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _name,
        structlog.processors.TimeStamper(
            fmt="iso", utc=True, key="at" if not pretty else "timestamp"
        ),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _protect, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *names: _Named(out, names[0] if names else None),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _protect,
                render,
            ],
        )
    )
    root = logging.getLogger()
    for old in [
        one
        for one in root.handlers
        if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)
    ]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, _LEVELS[level]))
    logging.captureWarnings(True)
