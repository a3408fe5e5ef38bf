"""The conversations that a batch belongs to: found and locked, or made."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from hub.ids import new_id, show_id
from hub.ingest.choosing import Choose, facts_of
from hub.ingest.said import Said, name_of
from hub.model import Address, Choice, Message, Notice
from hub.store import Transaction
from hub.store import filing as rows
from hub.store.conversations import ConversationRow, Key, lock_conversations
from hub.store.inbox import short_key
from hub.text import clean, single_line

__all__ = ["Places"]

_NOBODY = UUID(int=0)


class Places:
    """Who talks where in one batch."""

    def __init__(self, tx: Transaction, choose: Choose, now: datetime) -> None:
        self._tx = tx
        self._choose = choose
        self._now = now
        self._by_key: dict[Key, ConversationRow] = {}
        self._by_id: dict[UUID, ConversationRow] = {}
        self._threads: dict[Key, UUID] = {}
        self._contacts: dict[Address, UUID] = {}
        self._mark = _NOBODY
        """Contacts with a lower id were there before this batch."""
        self._menus: dict[rows.Pick, UUID] = {}

    # -- what there is -------------------------------------------------------------------------------

    async def gather(self, said: Sequence[Said]) -> None:
        """Load and lock what *said* refers to, and make the contacts that are missing."""
        hints = [
            (one.account, short_key(hint))
            for one in said
            for hint in (*_open_hints(one.one), *one.one.thread_hints)
        ]
        self._threads = await rows.find_threads(self._tx, hints)
        places = [one.place for one in said if one.place]
        keys = {key for place in places for key in (place.own, place.apart)}
        for found in await lock_conversations(self._tx, keys, self._threads.values()):
            self._add(found)
        names: dict[Address, str | None] = {}
        for one in said:
            place = self._find(one)
            if (
                one.place and place and place[1] is None
            ):  # whoever is named once in a batch has a name
                names[one.place.home] = names.get(one.place.home) or name_of(one.one)
        self._mark = new_id()
        self._contacts = await rows.contacts_of(self._tx, names, self._now)
        await self._find_menus(said)

    async def _find_menus(self, said: Sequence[Said]) -> None:
        """Find our menus that customers have picked from, for platforms that name the choice only."""
        picks = []
        for one in said:
            message = one.one
            if not isinstance(message, Message) or message.choice is None or one.place is None:
                continue
            places = (self._by_key.get(key) for key in (one.place.own, one.place.apart))
            picks += [pick for place in places if place and (pick := _pick(place, message))]
        if picks:
            self._menus = await rows.menus_of(self._tx, picks)

    def _add(self, conversation: ConversationRow) -> None:
        self._by_key[conversation.account, conversation.thread_key] = conversation
        self._by_id[conversation.id] = conversation

    # -- where it belongs ----------------------------------------------------------------------------

    @property
    def made(self) -> list[ConversationRow]:
        """The conversations that are new, in the order in which they are locked."""
        made = [one for one in self._by_id.values() if one.is_new]
        return sorted(made, key=lambda one: one.id.bytes)

    def conversation_of(self, said: Said) -> ConversationRow | None:
        """The conversation that *said* belongs to, made when it is the first; None: it has none."""
        place = self._find(said)
        if place is None:
            return None
        key, found = place
        return found or self._new(said, key)

    def _find(self, said: Said) -> tuple[Key, ConversationRow | None] | None:
        """The key of the conversation that *said* belongs to, and the conversation if there is one.

        None: it belongs to none, as a notice about a thread that is not known.
        """
        one, place = said.one, said.place
        if place is None:
            return None
        for hint in _open_hints(one):
            if found := self._led_to(said.account, hint):
                return place.own, found
        for hint in one.thread_hints:
            found = self._led_to(said.account, hint)
            if found and (found.is_group or found.address == place.home):
                return place.own, found
        if isinstance(one, Notice) and one.thread_hints:
            return None
        found = self._by_key.get(place.own)
        if found and not found.is_group and found.address != place.home:
            # A reference to somebody else's thread proves nothing: whoever sends it talks apart.
            return place.apart, self._by_key.get(place.apart)
        return place.own, found

    def _led_to(self, account: str, hint: str) -> ConversationRow | None:
        return self._by_id.get(self._threads.get((account, short_key(hint)), _NOBODY))

    def _new(self, said: Said, key: Key) -> ConversationRow:
        one, home = said.one, said.place.home if said.place else None
        assert home is not None  # noqa: S101
        contact = self._contacts[home]
        facts = facts_of(one, self._now, is_new=True, knows_contact=contact < self._mark)
        subject = one.subject if isinstance(one, Message) else None
        made = ConversationRow(
            id=new_id(),
            account=key[0],
            channel=said.read.row.channel,
            thread_key=key[1],
            contact_id=contact,
            contact_name=name_of(one),
            address=home,
            is_group=bool(one.conversation and one.conversation.is_group),
            queue=self._choose(facts).queue,
            state="open",
            case_number=1,
            last_seq=0,
            subject=single_line(subject) if subject else None,
            tags=[],
            reply_context="{}",
            last_inbound_at=None,
            created_at=self._now,
            is_new=True,
        )
        self._add(made)
        return made

    def leads(self, key: Key, conversation: ConversationRow) -> None:
        """From now on the external id *key* leads to *conversation*, unless it leads elsewhere."""
        self._threads.setdefault(key, conversation.id)

    # -- what else is known of it --------------------------------------------------------------------

    def choice(self, message: Message, conversation: ConversationRow) -> Choice | None:
        """What *message* picks, with the menu that it picks from."""
        menu = self._menus.get(pick) if (pick := _pick(conversation, message)) else None
        if menu is None or message.choice is None:
            return message.choice
        return Choice(message.choice.id, message.choice.label, show_id("msg", menu))

    def relation(self, said: Said, conversation: ConversationRow) -> Mapping[str, Any]:
        """What the agent should know of a sender who is not the customer, or names another's mails.

        ``is_other_participant``: somebody whom the tag of a mail to the customer has reached.
        ``related_conversation``: the message names another customer's, which proves nothing.
        """
        sender = said.one.sender
        if conversation.is_group or sender is None or sender.role != "contact":
            return {}
        if said.place and conversation.address != said.place.home:
            return {"is_other_participant": True}
        for hint in said.one.thread_hints:
            led = self._led_to(conversation.account, hint)
            if led and led.id != conversation.id and not led.is_group:
                return {"related_conversation": show_id("cnv", led.id)}
        return {}


def _open_hints(one: Message | Notice) -> tuple[str, ...]:
    return one.open_hints if isinstance(one, Message) else ()


def _pick(place: ConversationRow, message: Message) -> rows.Pick | None:
    choice = message.choice
    if choice is None or choice.menu_id is not None:
        return None
    return rows.Pick(place.id, clean(choice.id), clean(choice.label) if choice.label else None)
