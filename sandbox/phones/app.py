"""An app on the phones of the demo: the customers' side of one simulated platform."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sandbox.files import File
from sandbox.phones.bubbles import Bubble, Screens
from sandbox.phones.spec import AppSpec, Chat, Json, NotPossible, Person
from sandbox.phones.switches import SwitchBoard

News = Callable[[Json], None]


class App(ABC):
    """What the page needs to know of one platform. A subclass says :attr:`spec` and three methods.

    *screens* are the chats of the simulator; *board* its switches.
    """

    def __init__(
        self, screens: Screens, people: Sequence[Person], board: SwitchBoard | None = None
    ) -> None:
        self.people = tuple(people)
        self.board = board
        self.listeners: list[News] = []
        self._screens = screens
        screens.listeners.append(self._show)

    @property
    @abstractmethod
    def spec(self) -> AppSpec:
        """Name, chats and tools; always the same object."""

    @abstractmethod
    def address(self, person: Person) -> str:
        """How the platform calls *person*."""

    @abstractmethod
    def file(self, media_id: str) -> File:
        """A file of any chat; whatever it raises is shown as "not there"."""

    def screen_key(self, person: Person, chat: Chat) -> str:
        """Under which key :class:`Screens` keeps this chat: in a group, that of the group."""
        return self.address(person)

    def may_write(self, person: Person, chat: Chat) -> bool:
        """Whether the platform lets *person* write here now."""
        return True

    async def act(
        self, person: Person, chat: str, action: str, asked: Mapping[str, Any], file: File | None
    ) -> None:
        """Do what the tool *action* does.

        Raises:
            NotPossible: and why.
        """
        await self.spec.tool(action).use(person, self.spec.chat(chat).key, asked, file)

    def state(self, person: Person) -> Json:
        """Every chat of *person*: ``{chat: {"open", "bubbles"}}``."""
        return {chat.key: self._chat_state(person, chat) for chat in self.spec.chats}

    def offered(self, person: Person, chat: str, choice: str) -> Bubble:
        """The newest bubble that offers *choice*.

        Raises:
            NotPossible: there is none any more.
        """
        bubbles = self._screens.bubbles(self.screen_key(person, self.spec.chat(chat)))
        for bubble in reversed(bubbles):
            if choice in dict(bubble.choices):
                return bubble
        raise NotPossible("no such choice")

    def as_json(self) -> Json:
        board = self.board.as_json() if self.board else {"switches": [], "pending": []}
        return self.spec.as_json() | board

    def _chat_state(self, person: Person, chat: Chat) -> Json:
        bubbles = self._screens.bubbles(self.screen_key(person, chat))
        return {
            "open": self.may_write(person, chat),
            "bubbles": [bubble_json(bubble) for bubble in bubbles],
        }

    def _show(self, key: str, bubble: Bubble) -> None:
        for person in self.people:
            for chat in self.spec.chats:
                if self.screen_key(person, chat) == key:
                    self._tell(person, chat, bubble)

    def _tell(self, person: Person, chat: Chat, bubble: Bubble) -> None:
        news = {
            "person": person.key,
            "app": self.spec.key,
            "chat": chat.key,
            "bubble": bubble_json(bubble),
            "open": self.may_write(person, chat),
        }
        for listener in self.listeners:
            listener(news)


SHOWN_DETAILS = ("title", "description", "url", "footer")


def bubble_json(bubble: Bubble) -> Json:
    """As the page gets it: the id of its file instead of a link, and no platform's own fields."""
    document = asdict(bubble)
    document["media_id"] = bubble.media_url.rpartition("/")[2] if bubble.media_url else None
    details = {name.lower(): value for name, value in bubble.details.items()}
    document["details"] = {name: str(details[name]) for name in SHOWN_DETAILS if details.get(name)}
    del document["media_url"]
    return document
