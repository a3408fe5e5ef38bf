"""What the conformance kit has to know about a channel: one record, most of it optional."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, structs

from hub.channel import Account, Channel, HttpAnswer, IntakeRequest
from hub.errors import SendError
from hub.model import Address, InboundEvent, Reply, Secret
from hub.testing.tools import HttpCall

__all__ = ["ChannelKit", "Platform", "post"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def post(path: str, query: str, body: bytes, **headers: str) -> IntakeRequest:
    """A POST as the web server hands it over; header names are written with ``_``."""
    named = {name.replace("_", "-").lower(): text for name, text in headers.items()}
    return IntakeRequest("POST", path, query, named, body, NOW)


class Platform(Struct, frozen=True, kw_only=True):
    """How the platform answers a sender, as scripted HTTP.

    *support* answers what is not the message itself (tokens, uploads) and gives None for the call
    that says it. *said* is the answer of a message taken. *refusals* are answers of the platform with
    the class that each must become, by a name; *unknown* is an error code that nobody knows.
    *expired* is "your token is no longer good". *doubtful* is what HTTP 500 means for a message.
    """

    said: HttpAnswer
    support: Callable[[HttpCall], HttpAnswer | None] = lambda _call: None
    refusals: Mapping[str, tuple[HttpAnswer, type[SendError]]] = {}
    unknown: HttpAnswer | None = None
    expired: HttpAnswer | None = None


class ChannelKit(Struct, frozen=True, kw_only=True):
    """A channel and what its checks need; a check whose part is missing is left out.

    *sample* makes a genuine request that brings the n-th message; made twice for one n it is what the
    platform sends again (the same message; a nonce may differ). *sealed* puts any bytes into a
    genuine request, *event* makes the event of a pulled channel from any bytes, and *samples* are such
    events. *proof* names what carries the proof, as ``query:NAME`` or ``header:name``. *to* is somebody
    to write to, *reply_context* what a message of theirs leaves behind for the answer.
    """

    channel: Channel
    settings: Struct
    to: Address
    sample: Callable[[int], IntakeRequest] | None = None
    sealed: Callable[[bytes], IntakeRequest] | None = None
    event: Callable[[bytes], InboundEvent] | None = None
    samples: Sequence[InboundEvent] = ()
    handshake: IntakeRequest | None = None
    proof: Sequence[str] = ()
    reply_context: Mapping[str, Any] = {}
    platform: Platform | None = None
    sends_by_http: bool = True

    @property
    def gaps(self) -> tuple[str, ...]:
        """What the kit should bring, for the roles that the channel has, and does not."""
        pushed, pulled = bool(self.channel.adapter), bool(self.channel.listener)
        spoken = bool(self.channel.sender) and self.sends_by_http
        wanted = {
            "sample": pushed and self.sample is None,
            "sealed": pushed and self.sealed is None,
            "proof": pushed and self.channel.capabilities.signed and not self.proof,
            "event": pulled and self.event is None,
            "samples": pulled and not self.samples,
            "platform": spoken and self.platform is None,
        }
        return tuple(name for name, lacking in wanted.items() if lacking)

    @property
    def account(self) -> Account[Any]:
        """The account that everything is tried with."""
        return Account("conformance", self.channel.key, self.settings)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen: every Secret in the settings."""
        return tuple(_secrets(structs.asdict(self.settings)))

    def reply(self, **content: Any) -> Reply:
        """A reply to *to*."""
        kept = {"thread_key": self.to.value, "reply_context": self.reply_context}
        return Reply(to=self.to, **{**kept, **content})


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)
