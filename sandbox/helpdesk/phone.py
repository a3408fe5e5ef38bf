"""The phones on the page: writing as a customer, and seeing the answer arrive."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.files import File
from sandbox.mail import Letter, MailPair, threads_of
from sandbox.phones import App, NotPossible, Person

Json = dict[str, Any]

PEOPLE: tuple[Person, ...] = (
    Person("lin", "林小雨", "xiaoyu.lin@home.example"),
    Person("mia", "Mia Lindqvist", "mia@lindqvist.example"),
    Person("tom", "Tom Okafor", "tom.okafor@home.example"),
)


class Phone:
    """The customers' side of the demo: the apps on their phones, and their mail."""

    def __init__(
        self,
        apps: Sequence[App],
        people: Sequence[Person] = PEOPLE,
        *,
        mail: MailPair,
        shop_address: str,
    ) -> None:
        self.people = {person.key: person for person in people}
        self.apps = {app.spec.key: app for app in apps}
        self.listeners: list[Callable[[str, Json], None]] = []
        self._mail = mail
        self._shop_address = shop_address
        self._addresses = {person.mail: person for person in people}
        for app in apps:
            app.listeners.append(lambda news: self._tell("bubble", news))
        mail.listeners.append(self._show_letter)

    def state(self) -> Json:
        """Everything the phones show."""
        return {
            "shop": self._shop_address,
            "apps": [app.as_json() for app in self.apps.values()],
            "people": [self._person_state(person) for person in self.people.values()],
        }

    # Chats ---------------------------------------------------------------

    async def act(
        self,
        key: str,
        app: str,
        chat: str,
        action: str,
        fields: Mapping[str, Any],
        file: File | None = None,
    ) -> None:
        """One thing a person does in a chat.

        Raises:
            NotPossible: and why.
        """
        await self._app(app).act(self._person(key), chat, action, fields, file)

    def file(self, app: str, media_id: str) -> File:
        """
        Raises:
            NotPossible: unknown or too old.
        """
        try:
            return self._app(app).file(media_id)
        except Exception as error:
            raise NotPossible("no such file") from error

    async def throw(self, app: str, switch: str, key: str, fields: Mapping[str, Any]) -> Json:
        """Throw a switch of the platform behind *app*, with the phone of person *key* in hand.

        Raises:
            NotPossible: and why.
        """
        owner, person = self._app(app), self._person(key)
        if owner.board is None:
            raise NotPossible("no such switch")
        await owner.board.throw(switch, {**fields, "customer": owner.address(person)})
        news = {"app": app, "pending": owner.board.pending()}
        self._tell("switches", news)
        return news

    # Mail ----------------------------------------------------------------

    async def mail(self, key: str, asked: Json, files: Sequence[File] = ()) -> None:
        """``{"subject", "text", "answering": number of a letter or null}``.

        Raises:
            NotPossible
        """
        person = self._person(key)
        text = _required_text(asked, "text")
        answering = self._letter(person, asked.get("answering"))
        subject = str(asked.get("subject") or "") or (
            _answer_subject(answering) if answering else "(no subject)"
        )
        await self._mail.send_as(
            person.mail,
            self._shop_address,
            subject[:200],
            text,
            name=person.name,
            files=files,
            answering=answering,
        )

    # ---------------------------------------------------------------------

    def _person(self, key: str) -> Person:
        person = self.people.get(key)
        if person is None:
            raise NotPossible("no such person")
        return person

    def _app(self, key: str) -> App:
        app = self.apps.get(key)
        if app is None:
            raise NotPossible("no such app")
        return app

    def _person_state(self, person: Person) -> Json:
        return {
            "key": person.key,
            "name": person.name,
            "mail": person.mail,
            "chats": {key: app.state(person) for key, app in self.apps.items()},
            "letters": self._letters(person.mail),
        }

    def _letters(self, owner: str) -> list[Json]:
        letters = self._mail.letters(owner)
        threads = threads_of(letters)
        return [letter_json(letter, threads[letter.number]) for letter in letters]

    def _letter(self, person: Person, number: object) -> Letter | None:
        if number is None:
            return None
        for letter in self._mail.letters(person.mail):
            if letter.number == number:
                return letter
        raise NotPossible("no such letter")

    def _show_letter(self, owner: str, letter: Letter) -> None:
        person = self._addresses.get(owner)
        if person is not None:
            threads = threads_of(self._mail.letters(owner))
            shown = letter_json(letter, threads.get(letter.number, letter.number))
            self._tell("letter", {"person": person.key, "letter": shown})

    def _tell(self, topic: str, news: Json) -> None:
        for listener in self.listeners:
            listener(topic, news)


def letter_json(letter: Letter, thread: int) -> Json:
    return {
        "number": letter.number,
        "thread": thread,
        "at": letter.at,
        "direction": letter.direction,
        "sender": letter.sender,
        "subject": letter.subject,
        "text": letter.text,
        "files": [
            {"filename": file.filename, "size_bytes": len(file.content)} for file in letter.files
        ],
    }


def _required_text(asked: Json, name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value.strip():
        raise NotPossible(f"{name} is empty")
    return value[:10_000]


def _answer_subject(letter: Letter) -> str:
    return letter.subject if letter.subject.lower().startswith("re:") else f"Re: {letter.subject}"
