"""The mailbox of the demo."""

import time
from collections.abc import Sequence

from sandbox.demo.part import DemoPart, Place, account_toml
from sandbox.helpdesk import Helpdesk
from sandbox.mail import MailPair
from sandbox.phones import Person

ACCOUNT = "support"
SHOP_ADDRESS = "support@shop.example"
SUBJECT = "Where is my order?"
GREETING = "Hello, I ordered a lamp on Monday. Could you tell me when it will arrive?"
ANSWER = "Hello Mia, your lamp left our warehouse this morning and should be with you tomorrow."


class MailPart(DemoPart):
    name = "email"

    def __init__(self, place: Place) -> None:
        self._password = place.secrets.text("mail_password")
        self._ports = place.ports["imap"], place.ports["smtp"]
        self._people = place.people
        self._thread = f"<{place.secrets.text('mail_thread')}@home.example>"
        self.mail = MailPair({SHOP_ADDRESS: self._password})

    def settings_toml(self) -> str:
        imap_port, smtp_port = self._ports
        return account_toml(
            ACCOUNT,
            "email",
            address=SHOP_ADDRESS,
            imap_host="127.0.0.1",
            imap_port=imap_port,
            imap_security="none",
            smtp_host="127.0.0.1",
            smtp_port=smtp_port,
            smtp_security="none",
            username=SHOP_ADDRESS,
            password=self._password,
            initial_lookback_days=1,
        )

    async def start(self) -> None:
        """Everyone has a mailbox, so that the shop can also write first."""
        await self.mail.start(*self._ports)
        for person in self._people:
            await self.mail.add_user(person.mail)

    async def stop(self) -> None:
        await self.mail.close()

    async def greet(self, desk: Helpdesk, timeout: float) -> float:
        """Always in the same thread: another start is no other conversation."""
        desk.answer_greeting(GREETING, ANSWER)
        await self.mail.wait_until_watched(SHOP_ADDRESS, timeout=timeout)
        person, started = self._people[1], time.monotonic()
        letter = await self.mail.send_as(
            person.mail, SHOP_ADDRESS, SUBJECT, GREETING, name=person.name, thread=(self._thread,)
        )
        await self.mail.wait_for_letter(person.mail, after=letter.number, timeout=timeout)
        return time.monotonic() - started

    def names(self, people: Sequence[Person]) -> dict[str, str]:
        return {person.mail: person.name for person in people}
