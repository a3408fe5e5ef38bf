"""What an app on the phones of the demo is: a small table that the page draws.

No app brings JavaScript of its own. It says which chats, tools and switches it has, and
what each does; the page draws them all in the same way.
"""

import base64
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sandbox.files import File

Json = dict[str, Any]

MAX_FIELD = 10_000
MAX_FILE_BYTES = 10 * 1024 * 1024


class NotPossible(Exception):
    """What was asked of a phone or a switch cannot be done; the text says why."""


class Words(NamedTuple):
    """A label in the two languages of the page."""

    en: str
    zh: str

    def as_json(self) -> Json:
        return self._asdict()


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up customer; how a platform calls them is for the app to say."""

    key: str
    name: str
    mail: str

    @property
    def unionid(self) -> str:
        """How WeChat calls this person at every account of the shop."""
        digest = hashlib.sha256(f"union:{self.key}".encode()).digest()
        return "oU" + base64.urlsafe_b64encode(digest).decode()[:26]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to fill in, with what stands there at first; an ``options`` field is a choice."""

    key: str
    label: Words
    value: str = ""
    kind: Literal["text", "long", "number"] = "text"
    options: tuple[tuple[str, Words], ...] = ()

    def as_json(self) -> Json:
        options = [{"key": key, "label": label.as_json()} for key, label in self.options]
        label = self.label.as_json()
        return {
            "key": self.key,
            "label": label,
            "value": self.value,
            "kind": self.kind,
            "options": options,
        }

    def read(self, asked: Mapping[str, Any]) -> str:
        """The value of this field in *asked*, its own where there is none.

        Raises:
            NotPossible: it is empty, no number, or none of the options.
        """
        value = asked.get(self.key, self.value)
        text = str(value)[:MAX_FIELD] if isinstance(value, str | int | float) else ""
        if not text.strip():
            raise NotPossible(f"{self.key} is empty")
        if self.kind == "number" and not _is_number(text):
            raise NotPossible(f"{self.key} is not a number")
        if self.options and text not in dict(self.options):
            raise NotPossible(f"{self.key}: no such choice")
        return text


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody does in a chat: who, where, what was filled in, and the file that was picked."""

    person: Person
    chat: str
    fields: Mapping[str, str]
    file: File | None = None

    def number(self, key: str) -> float:
        return float(self.fields[key])

    @property
    def picked(self) -> File:
        """The file, where the tool asks for one."""
        if self.file is None:
            raise NotPossible("pick a file")
        return self.file


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that can be done in a chat.

    *accept* (as in HTML, ``"image/*"``) makes it ask for a file; *sample* is sent when none is
    picked. *when*: only while one may write, only while one may not, or always.
    """

    key: str
    label: Words
    icon: str
    act: Callable[[Given], Awaitable[None]]
    fields: tuple[Field, ...] = ()
    accept: str | None = None
    sample: File | None = None
    when: Literal["open", "closed", "always"] = "open"

    def as_json(self) -> Json:
        return {
            "key": self.key,
            "label": self.label.as_json(),
            "icon": self.icon,
            "fields": [field.as_json() for field in self.fields],
            "accept": self.accept,
            "has_sample": self.sample is not None,
            "when": self.when,
        }

    async def use(
        self, person: Person, chat: str, asked: Mapping[str, Any], file: File | None
    ) -> None:
        """Do it.

        Raises:
            NotPossible: a field or the file is missing or wrong.
        """
        fields = read_fields(self.fields, asked)
        chosen = (file or self.sample) if self.accept else None
        if self.accept and chosen is None:
            raise NotPossible("pick a file")
        if chosen is not None and len(chosen.content) > MAX_FILE_BYTES:
            raise NotPossible("the file is larger than 10 MB")
        await self.act(Given(person, chat, fields, chosen))


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation on the phone: with the account alone, or a group."""

    key: str
    title: Words
    is_group: bool = False

    def as_json(self) -> Json:
        return {"key": self.key, "title": self.title.as_json(), "is_group": self.is_group}


CLOSED = Words("You cannot write here now", "现在不能在这里发言")


@dataclass(frozen=True, slots=True)
class AppSpec:
    """An app: its name, how it looks, and what can be done in it.

    *write* is what the text line at the bottom does (its one field is ``text``), *choose* what a
    tap on a choice in a bubble does (its fields are ``choice`` and ``label``); None: not there.
    *colour* is that of the app (``#rrggbb``), *icon* one of those in ``static/dom.js``.
    """

    key: str
    name: Words
    icon: str
    colour: str
    chats: tuple[Chat, ...]
    write: Tool | None
    choose: Tool | None = None
    tools: tuple[Tool, ...] = ()
    closed: Words = CLOSED
    """What the text line says while one may not write."""

    def tool(self, key: str) -> Tool:
        """
        Raises:
            NotPossible: there is none of that name.
        """
        for tool in (self.write, self.choose, *self.tools):
            if tool is not None and tool.key == key:
                return tool
        raise NotPossible("no such action")

    def chat(self, key: str) -> Chat:
        """
        Raises:
            NotPossible: there is none of that name.
        """
        for chat in self.chats:
            if chat.key == key:
                return chat
        raise NotPossible("no such chat")

    def as_json(self) -> Json:
        return {
            "key": self.key,
            "name": self.name.as_json(),
            "icon": self.icon,
            "colour": self.colour,
            "chats": [chat.as_json() for chat in self.chats],
            "can_write": self.write is not None,
            "tools": [tool.as_json() for tool in self.tools],
            "closed": self.closed.as_json(),
        }


TEXT = Words("Text", "文字")


def writing(act: Callable[[Given], Awaitable[None]]) -> Tool:
    """The text line at the bottom of a chat."""
    return Tool("text", TEXT, "send", act, (Field("text", TEXT, kind="long"),))


def choosing(act: Callable[[Given], Awaitable[None]]) -> Tool:
    """A tap on a choice in a bubble."""
    return Tool(
        "choice",
        Words("Choice", "选项"),
        "check",
        act,
        (Field("choice", Words("Id", "编号")), Field("label", TEXT)),
    )


def read_fields(fields: Sequence[Field], asked: Mapping[str, Any]) -> dict[str, str]:
    """
    Raises:
        NotPossible: one of them is wrong.
    """
    return {field.key: field.read(asked) for field in fields}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
