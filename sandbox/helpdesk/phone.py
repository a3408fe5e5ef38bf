"""The phone on the page: writing as a customer, and seeing the answer arrive."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.mail import File, Letter, MailPair
from sandbox.wechat import Bubble, UserAction, WeChatSimulator
from sandbox.wechat import messages as actions

Json = dict[str, Any]

MAX_PICTURE_BYTES = 5 * 1024 * 1024
_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class NotPossible(Exception):
    """What was asked of the phone cannot be done; the text says why."""


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up customer, reachable on WeChat and by mail."""

    key: str
    name: str
    mail: str

    def openid(self, app_id: str) -> str:
        """Always the same for an account, and different in every account, as on the platform."""
        digest = hashlib.sha256(f"{app_id}:{self.key}".encode()).digest()
        return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


PEOPLE: tuple[Person, ...] = (
    Person("lin", "林小雨", "xiaoyu.lin@home.example"),
    Person("mia", "Mia Lindqvist", "mia@lindqvist.example"),
    Person("tom", "Tom Okafor", "tom.okafor@home.example"),
)


class Phone:
    """The customers' side of the demo: their WeChat and their mail."""

    def __init__(
        self,
        wechat: WeChatSimulator,
        mail: MailPair,
        shop_address: str,
        people: Sequence[Person] = PEOPLE,
    ) -> None:
        self.people = {person.key: person for person in people}
        self.listeners: list[Callable[[str, Json], None]] = []
        self._wechat = wechat
        self._mail = mail
        self._shop_address = shop_address
        self._openids = {person.openid(wechat.credentials.app_id): person for person in people}
        self._addresses = {person.mail: person for person in people}
        wechat.customers.listeners.append(self._show_bubble)
        mail.listeners.append(self._show_letter)

    @property
    def names(self) -> dict[str, str]:
        """An address book: who is behind an openid or a mail address."""
        by_openid = {openid: person.name for openid, person in self._openids.items()}
        return by_openid | {person.mail: person.name for person in self.people.values()}

    async def open_mailboxes(self) -> None:
        """Give everyone a mailbox, so that the shop can also write first."""
        for person in self.people.values():
            await self._mail.add_user(person.mail)

    def openid(self, key: str) -> str:
        return self._person(key).openid(self._wechat.credentials.app_id)

    def state(self) -> Json:
        """Everything the phone shows."""
        return {
            "shop": self._shop_address,
            "people": [self._person_state(person) for person in self.people.values()],
        }

    # WeChat --------------------------------------------------------------

    async def wechat(self, key: str, asked: Json) -> None:
        """One thing a user does in the chat: ``{"action": "text", "text": "…"}`` and so on.

        Raises:
            NotPossible
        """
        make = {
            "text": self._text,
            "menu": self._menu,
            "location": self._location,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "scan": self._scan,
        }.get(str(asked.get("action")))
        if make is None:
            raise NotPossible("no such action")
        await self._wechat.push(make(self.openid(key), asked))

    async def wechat_picture(self, key: str, content: bytes, filename: str) -> None:
        """
        Raises:
            NotPossible: not a picture, or too large.
        """
        if len(content) > MAX_PICTURE_BYTES:
            raise NotPossible("the picture is larger than 5 MB")
        if picture_type(content) is None:
            raise NotPossible("only PNG, JPEG and GIF pictures")
        await self._wechat.push_image(self.openid(key), content, filename)

    def picture(self, media_id: str) -> tuple[str, bytes]:
        """
        Raises:
            PlatformError: unknown or too old.
        """
        media = self._wechat.media.get(media_id)
        return picture_type(media.content) or "application/octet-stream", media.content

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

    def _person_state(self, person: Person) -> Json:
        openid = self.openid(person.key)
        customer = self._wechat.customers.meet(openid)
        return {
            "key": person.key,
            "name": person.name,
            "mail": person.mail,
            "following": customer.is_following,
            "bubbles": [bubble_json(bubble) for bubble in customer.bubbles],
            "letters": [letter_json(letter) for letter in self._mail.letters(person.mail)],
        }

    def _letter(self, person: Person, number: object) -> Letter | None:
        if number is None:
            return None
        for letter in self._mail.letters(person.mail):
            if letter.number == number:
                return letter
        raise NotPossible("no such letter")

    def _show_bubble(self, openid: str, bubble: Bubble) -> None:
        person = self._openids.get(openid)
        if person is not None:
            following = self._wechat.customers.meet(openid).is_following
            self._tell(
                "bubble",
                {"person": person.key, "bubble": bubble_json(bubble), "following": following},
            )

    def _show_letter(self, owner: str, letter: Letter) -> None:
        person = self._addresses.get(owner)
        if person is not None:
            self._tell("letter", {"person": person.key, "letter": letter_json(letter)})

    def _tell(self, topic: str, news: Json) -> None:
        for listener in self.listeners:
            listener(topic, news)

    def _text(self, openid: str, asked: Json) -> UserAction:
        return actions.text(openid, _required_text(asked, "text"))

    def _menu(self, openid: str, asked: Json) -> UserAction:
        return actions.text(
            openid, _required_text(asked, "text"), menu_choice=str(asked.get("choice") or "")
        )

    def _location(self, openid: str, asked: Json) -> UserAction:
        try:
            latitude, longitude = float(asked["latitude"]), float(asked["longitude"])
        except (KeyError, TypeError, ValueError) as error:
            raise NotPossible("a location needs latitude and longitude") from error
        return actions.location(openid, latitude, longitude, str(asked.get("label") or ""))

    def _subscribe(self, openid: str, asked: Json) -> UserAction:
        return actions.subscribe(openid)

    def _unsubscribe(self, openid: str, asked: Json) -> UserAction:
        return actions.unsubscribe(openid)

    def _scan(self, openid: str, asked: Json) -> UserAction:
        return actions.scan(openid, "poster", "sandbox")


def picture_type(content: bytes) -> str | None:
    """The MIME type by the first bytes; None when it is no picture that is shown."""
    return next((kind for start, kind in _PICTURES.items() if content.startswith(start)), None)


def bubble_json(bubble: Bubble) -> Json:
    document = asdict(bubble)
    document["media_id"] = bubble.media_url.rpartition("/")[2] if bubble.media_url else None
    del document["media_url"]
    return document


def letter_json(letter: Letter) -> Json:
    return {
        "number": letter.number,
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
