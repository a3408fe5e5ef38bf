"""What one platform brings to the demo: its accounts in the hub, its app on the phones, its greeting."""

import contextlib
import json
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from sandbox.helpdesk import Helpdesk, new_webhook_secret
from sandbox.http import free_port
from sandbox.phones import App, Person

Made = TypeVar("Made")


class DemoSecrets:
    """Everything secret in the demo; all of it is made up at the first start.

    They are kept because the hub's database knows the accounts by their ids; the page's token is
    new at every start.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None, path: Path | None = None) -> None:
        self._kept = dict(kept or {})
        self._path = path
        self.page_token = secrets.token_urlsafe(24)
        self.webhook_secret = self.text("webhook_secret", new_webhook_secret)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._kept)})"

    @classmethod
    def load_or_make(cls, path: Path) -> "DemoSecrets":
        """The secrets in *path* (mode 0600); a file that is missing or damaged is begun anew."""
        with contextlib.suppress(OSError, ValueError):
            document = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(document, dict):
                return cls(document, path)
        return cls(None, path)

    def text(self, key: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(16)) -> str:
        """The text kept under *key*, made when there is none."""
        if not isinstance(self._kept.get(key), str):
            self._keep(key, make())
        return str(self._kept[key])

    def record(self, key: str, kind: type[Made]) -> Made:
        """The dataclass of type *kind* kept under *key*; its defaults make a new one."""
        with contextlib.suppress(TypeError, KeyError):
            return kind(**self._kept[key])
        made = kind()
        self._keep(key, asdict(made))  # type: ignore[call-overload]
        return made

    def _keep(self, key: str, value: Any) -> None:
        self._kept[key] = value
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._kept, file)
        draft.replace(self._path)


class DemoPorts:
    """Where the demo listens, all on 127.0.0.1: a port for each name that is asked for."""

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        self._ports = dict(given or {})

    def __getitem__(self, name: str) -> int:
        """The port called *name*; a free one at the first asking, which whoever is quick may take."""
        if name not in self._ports:
            self._ports[name] = free_port()
        return self._ports[name]


@dataclass(frozen=True, slots=True)
class Place:
    """What a part of the demo is given to begin with."""

    hub_url: str
    ports: DemoPorts
    secrets: DemoSecrets
    people: Sequence[Person] = field(default=())


class DemoPart(ABC):
    """One simulated platform of the demo.

    A subclass makes its simulator in ``__init__`` and sets :attr:`app` where it has a chat; see
    "Add a phone" in ``docs/how-to/write-a-simulator.md``.
    """

    name: ClassVar[str]
    """How it is called on the terminal."""

    app: App | None = None

    @abstractmethod
    def __init__(self, place: Place) -> None:
        """Make the simulator; nothing listens yet."""

    @abstractmethod
    def settings_toml(self) -> str:
        """The hub's ``[accounts.…]`` of this platform, in the format of ``config/hub.toml``."""

    @abstractmethod
    async def start(self) -> None:
        """Listen."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop listening; also after a start that failed half-way."""

    @abstractmethod
    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        """Carry one message there and back through the hub; how many seconds that took.

        Raises:
            TimeoutError: the answer did not come in time.
            ConnectionError: the hub did not take the message.
        """

    def names(self, people: Sequence[Person]) -> dict[str, str]:
        """An address book: who is behind an id of this platform."""
        if self.app is None:
            return {}
        return {self.app.address(person): person.name for person in people}


def quoted(value: Any) -> str:
    """A TOML value: JSON's texts and lists are among TOML's. People read it, so 您好 stays 您好."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def account_toml(name: str, channel: str, **settings: Any) -> str:
    """One ``[accounts.NAME]``; texts are quoted, lists of texts too."""
    lines = [f"[accounts.{name}]", f"channel = {quoted(channel)}"]
    lines += [f"{key} = {quoted(value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"
