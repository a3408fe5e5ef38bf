"""One table of settings read into its shape, every mistake noted with what is allowed."""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from hub.errors import ConfigError
from hub.model import Secret

S = TypeVar("S", bound=Struct)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Reader:
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
                text = Path(value.removeprefix("file:")).read_text(encoding="utf-8-sig")
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
            self.wrong(where, f"found {_shown(kind, value)}, wants {_wanted(kind, error)}")
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
                value = self.one(f"{key}.{name}", one.type, table[name])
                if one.required and value == Secret(""):
                    self.wrong(f"{key}.{name}", f"is empty; wants {_described(one.type)}")
                    value = msgspec.UNSET
                values[one.name] = value
                sound &= value is not msgspec.UNSET
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


_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "text",
}
"""What msgspec calls a type, in words for people."""


def _wanted(kind: Any, error: msgspec.ValidationError) -> str:
    """What *error* asks for, in words for people."""
    text = str(error).split(" - at ")[0]
    if text.startswith("Invalid enum value") and (allowed := _choices(kind)):
        return f"one of {', '.join(allowed)}"
    text = re.sub(r", got `.*`$", "", text.removeprefix("Expected ").removeprefix("Invalid "))
    return re.sub(r"`([^`]*)`", lambda name: _in_words(name[1]), text)


def _in_words(types: str) -> str:
    """``int | null`` and the like."""
    return " or ".join(_WORDS.get(one, one) for one in types.split(" | ") if one != "null")


def _choices(kind: Any) -> list[str]:
    """The values of the Literal that *kind* is, or has in it."""
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    return [one for part in get_args(kind) for one in _choices(part)]


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
    reader = Reader(source, os.environ)
    made = reader.table(key or "settings", kind, dict(table))
    if reader.mistakes or made is None:
        raise ConfigError(reader.mistakes)
    return made
