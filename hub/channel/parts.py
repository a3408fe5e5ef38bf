"""The middle and the way out: what normalizes, sends, fetches files and checks an account."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from hub.channel.account import Account
from hub.model import Address, Allowance, Attachment, Draft, InboundEvent, Receipt, Reply, Result


class Normalizer(Protocol):
    """From a raw event to what it means: pure, synchronous, deterministic."""

    def __call__(self, event: InboundEvent, account: Account[Any], /) -> Iterable[Result]:
        """An authentic event never raises for its content: what cannot be read is ``unsupported``."""
        ...


class Sender(Protocol):
    """How replies leave."""

    def compose(self, reply: Reply, allowances: Sequence[Allowance]) -> Sequence[Draft]:
        """The platform calls that say *reply*, in order. Pure.

        Splits, merges and downgrades (and says so in ``Draft.note``). Runs when the reply is accepted
        and again when its lane is claimed, while nothing has left. An empty *allowances* means that
        the core knows of none.

        Raises:
            WindowClosed: the platform allows no reply now.
            Unsupported: this channel cannot carry it.
        """
        ...

    async def send(self, draft: Draft, results: Mapping[str, Any]) -> Receipt:
        """Make exactly one platform call; *results* are those of the drafts before it.

        Raises:
            SendError: the narrowest class that fits.
        """
        ...


@runtime_checkable
class Reconciler(Protocol):
    """Optional power of a sender: find out what became of a call that nobody answered."""

    async def reconcile(self, draft: Draft) -> Receipt | None:
        """Ask the platform whether *draft* arrived; makes no message.

        None: it cannot be told yet. A receipt of status ``failed`` says that it never arrived, so
        that it may be sent again; any other says what became of it. Raises SendError like ``send``.
        """
        ...


@runtime_checkable
class Typist(Protocol):
    """Optional power of a sender: show the customer that somebody is writing an answer."""

    async def typing(self, to: Address, *, on: bool) -> bool:
        """Whether the platform shows it (*on*) or has ended it; False where it does not allow that now.

        Raises:
            SendError: the platform could not be asked.
        """
        ...


class Restraint(NamedTuple):
    """How much an account says: *automatic_a_day* answers of machines to one contact, *answers_an_hour*
    of any kind to one contact (0: any number), and *calls* of the whole account, (count, seconds) each.
    """

    automatic_a_day: int
    answers_an_hour: int = 0
    calls: tuple[tuple[int, float], ...] = ()


@runtime_checkable
class Restrained(Protocol):
    """Optional power of a sender: machines answer one another for ever unless somebody stops."""

    def restraint(self) -> Restraint:
        """The limits of this account."""
        ...


class MediaSource(Protocol):
    """Optional: fetch an attachment that the platform keeps for a while."""

    def open(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """The bytes, in pieces. Raises SendError."""
        ...


class Check(Struct, frozen=True):
    """One finding of ``hub check``: *advice* says what to do, or what to paste where."""

    ok: bool
    name: str
    detail: str
    advice: str | None = None


class Checker(Protocol):
    """Optional: try the account's credentials and settings against the real platform."""

    def check(self, public_url: str | None) -> AsyncIterator[Check]:
        """The findings, as they come. *public_url* is where the hub can be reached from outside."""
        ...
