"""Who is there: the account, its friends, its groups, what was said, and what their screens show."""

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.files import File
from sandbox.journal import Clock
from sandbox.onebot.wire import message_number, plain_text
from sandbox.phones import Screens

__all__ = ["Group", "Refused", "Said", "World"]

Segment = Mapping[str, Any]
REMEMBERED = 5000
"""NapCat knows this many of its own numbers; an older message can be neither quoted nor recalled."""

_PRIVATE, _GROUP = 1, 2


class Refused(Exception):
    """An action that cannot be done, with the code and the words of the implementation."""

    def __init__(self, retcode: int, message: str) -> None:
        super().__init__(message)
        self.retcode = retcode


@dataclass(slots=True)
class Group:
    """A group that the account is in."""

    number: int
    name: str
    members: dict[int, str] = field(default_factory=dict)
    is_muted: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One message; *peer* is a user's number, or a group's."""

    number: int
    at: int
    user_id: int
    peer: int
    is_group: bool
    segments: Sequence[Segment]


class World:
    """QQ as one account sees it. Screens are kept under ``<number>`` and ``group:<number>``."""

    def __init__(self, self_id: int, clock: Clock) -> None:
        self.self_id = self_id
        self.clock = clock
        self.friends: dict[int, str] = {}
        self.groups: dict[int, Group] = {}
        self.screens = Screens(clock)
        self.files: dict[str, File] = {}
        self.history: list[Said] = []
        self._known: OrderedDict[int, Said] = OrderedDict()
        self._count = secrets.randbelow(10**9)  # another start gives other numbers

    # -- people --------------------------------------------------------------------------------------

    def befriend(self, number: int, name: str) -> int:
        """*number* is a friend from now on."""
        self.friends[number] = name
        return number

    def found(self, number: int, name: str, members: Mapping[int, str]) -> Group:
        """A group of *members* and the account."""
        group = self.groups[number] = Group(number, name, dict(members))
        return group

    def name_of(self, number: int) -> str:
        """What a person is called, anywhere."""
        names = [
            self.friends.get(number),
            *(one.members.get(number) for one in self.groups.values()),
        ]
        return next(filter(None, names), str(number))

    # -- messages ------------------------------------------------------------------------------------

    def say(self, user_id: int, peer: int, segments: Sequence[Segment], *, is_group: bool) -> Said:
        """*user_id* says *segments* to *peer*; everybody there sees it."""
        self._count += 1
        kind = _GROUP if is_group else _PRIVATE
        number = message_number(f"74{self._count:017}|{kind}|{peer}")
        said = Said(number, int(self.clock()), user_id, peer, is_group, tuple(segments))
        self.history.append(said)
        self._known[number] = said
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._show(said)
        return said

    def _show(self, said: Said) -> None:
        own = said.user_id == self.self_id
        self.screens.show(
            f"group:{said.peer}" if said.is_group else str(said.peer),
            "account" if own else "user",
            _kind(said.segments),
            plain_text(said.segments),
            media_url=_media(said.segments),
            sender=None if own or not said.is_group else self.name_of(said.user_id),
        )

    def get(self, number: Any) -> Said:
        """The message *number*.

        Raises:
            Refused: it is forgotten, or never was.
        """
        found = self._known.get(_whole(number))
        if found is None:
            raise Refused(1200, f"消息{number}不存在")
        return found

    def forget(self) -> None:
        """After a restart the implementation knows none of its numbers; QQ still has the messages."""
        self._known.clear()

    def keep(self, file: File) -> str:
        """Store *file*; its id."""
        own = secrets.token_hex(12)
        self.files[own] = file
        return own

    def recent(self, count: int) -> list[Said]:
        """The last message of each conversation, newest first."""
        last = {(one.is_group, one.peer): one for one in self.history}
        return sorted(last.values(), key=lambda one: one.at, reverse=True)[:count]

    def told(self, peer: int, count: int, *, is_group: bool) -> list[Said]:
        """The last *count* messages of one conversation, oldest first."""
        here = [one for one in self.history if (one.peer, one.is_group) == (peer, is_group)]
        if not here:
            raise Refused(1200, "消息undefined不存在")
        return here[-count:]


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _kind(segments: Sequence[Segment]) -> str:
    kinds = {"image": "image", "record": "voice", "video": "video", "file": "file"}
    return next((kinds[one["type"]] for one in segments if one["type"] in kinds), "text")


def _media(segments: Sequence[Segment]) -> str | None:
    files = (one["data"].get("file_id") for one in segments)
    found = next(filter(None, files), None)
    return f"/files/{found}" if found else None
