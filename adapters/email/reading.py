"""Single mails, read as events; what cannot be read is passed over after a few tries, and told."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from adapters.email.mailbox import MAX_UIDS_PER_FETCH, ConnectionLost, Facts, Mailbox, Refused
from hub.model import InboundEvent
from outbound.email import EmailSettings

__all__ = ["MAX_TRIES", "MailReader", "Place", "Read"]

MAX_TRIES = 3
_MAX_HEAD_BYTES = 256 * 1024


class Place(NamedTuple):
    """A folder with the numbering that its UIDs belong to."""

    folder: str
    uid_validity: int


class Read(NamedTuple):
    """What became of the mail *uid*: an *event*, or None when it is gone from the server.

    *is_gap*: the server does not hand it out; the event stands for it, so that somebody looks.
    """

    uid: int
    event: InboundEvent | None = None
    arrived_at: datetime | None = None
    is_gap: bool = False


class MailReader:
    """Reads mails of one mailbox, and remembers over reconnects what went wrong with which."""

    def __init__(self, settings: EmailSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._tries: dict[tuple[Place, int], int] = {}
        self._careful_left = 0

    @property
    def chunk(self) -> int:
        """How many mails to ask for at once: one, after a question about many broke the connection."""
        return 1 if self._careful_left else MAX_UIDS_PER_FETCH

    async def read(
        self, mailbox: Mailbox, place: Place, uids: Sequence[int]
    ) -> AsyncIterator[Read]:
        """Each of *uids* in order.

        Raises:
            ConnectionLost: the try is counted; after MAX_TRIES the mail is passed over.
        """
        facts = await self._facts(mailbox, place, uids)
        for uid in uids:
            if uid not in facts and not self._tries.get((place, uid)):
                yield Read(uid)
                continue
            yield await self._read_one(mailbox, place, uid, facts.get(uid))
            self._tries.pop((place, uid), None)
            self._careful_left = max(0, self._careful_left - 1)

    async def read_again(self, mailbox: Mailbox, place: Place, uid: int) -> Read:
        """One more try at a mail that was passed over before."""
        self._tries[place, uid] = MAX_TRIES - 1
        try:
            return await self._read_one(mailbox, place, uid, None)
        finally:
            self._tries.pop((place, uid), None)

    def _failed(self, place: Place, uid: int) -> int:
        self._tries[place, uid] = self._tries.get((place, uid), 0) + 1
        return self._tries[place, uid]

    async def _facts(self, mailbox: Mailbox, place: Place, uids: Sequence[int]) -> dict[int, Facts]:
        """The facts of *uids*; one by one when the server does not give them together."""
        wanted = [uid for uid in uids if self._tries.get((place, uid), 0) < MAX_TRIES]
        try:
            return await mailbox.facts(wanted) if wanted else {}
        except Refused:
            found: dict[int, Facts] = {}
            for uid in wanted:
                try:
                    found |= await mailbox.facts([uid])
                except Refused:
                    self._failed(place, uid)
            return found
        except ConnectionLost:
            if len(wanted) == 1:
                self._failed(place, wanted[0])
            self._careful_left = MAX_UIDS_PER_FETCH
            raise

    async def _read_one(
        self, mailbox: Mailbox, place: Place, uid: int, known: Facts | None
    ) -> Read:
        while self._tries.get((place, uid), 0) < MAX_TRIES:
            try:
                event = await self._event(mailbox, place, uid, known)
                return Read(uid, event, known.arrived_at if known else None)
            except Refused:
                self._failed(place, uid)
            except ConnectionLost:
                self._failed(place, uid)
                raise
        return Read(uid, self._gap(place, uid), None, is_gap=True)

    async def _event(
        self, mailbox: Mailbox, place: Place, uid: int, known: Facts | None
    ) -> InboundEvent | None:
        """The mail *uid* as it is, or only its header when it is too large; None when it is gone."""
        size = known.size_bytes if known else 0
        limit = self._settings.max_size_bytes
        raw = await (mailbox.head(uid) if size > limit else mailbox.raw(uid, size_bytes=size))
        if raw is None:
            return None
        size = size or len(raw)
        headers = {"size_bytes": str(size)}
        if size > limit:
            headers["oversized"] = str(size)
            raw = raw[:_MAX_HEAD_BYTES]
        if known and known.arrived_at:
            headers["internal_date"] = known.arrived_at.isoformat()
        return self._made(place, uid, raw, headers)

    def _gap(self, place: Place, uid: int) -> InboundEvent:
        reason = f"the server did not hand out mail {uid} of folder {place.folder}"
        return self._made(place, uid, b"", {"fetch_error": reason}, suffix=":gap")

    def _made(
        self,
        place: Place,
        uid: int,
        raw: bytes,
        headers: Mapping[str, str],
        suffix: str = "",
    ) -> InboundEvent:
        # References join mails of different senders into one conversation, which only the core can
        # know. So the order of a whole mailbox is kept, by one key.
        return InboundEvent(
            dedupe_key=f"imap:{place.folder}:{place.uid_validity}:{uid}{suffix}",
            order_key=f"mailbox:{self._settings.address.lower()}",
            body=raw,
            received_at=self._clock(),
            headers={"folder": place.folder, "uid": str(uid), **headers},
            proof="imap",
        )
