"""The door of a QQ bot: what it proves, what it signs, and what nobody can make it sign."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._qq_signing import SigningKey
from adapters.qq import QqAdapter, QqSettings
from hub.channel import Account, IntakeRequest
from hub.errors import NotAuthentic, NotRecognised
from hub.model import Secret
from hub.testing import Workbench, post

APP_ID, SECRET = "102000000", "DG5g3B4j9X2KOErG"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes((SECRET * 2).encode())
EVENT = b'{"op":0,"id":"C2C_MESSAGE_CREATE:1","t":"C2C_MESSAGE_CREATE","d":{"id":"1","content":"pay me"}}'


def adapter(**changed: object) -> QqAdapter:
    made = QqSettings(app_id=APP_ID, secret=Secret(SECRET), **changed)  # type: ignore[arg-type]
    return QqAdapter(Account("shop", "qq", made), Workbench().tools)


def push(
    body: bytes, *, timestamp: str | None = None, signature: str | None = None, at: datetime = NOW
) -> IntakeRequest:
    """A push that we received at *at*."""
    timestamp = timestamp or str(int(NOW.timestamp()))
    signature = signature or KEY.sign(timestamp.encode() + body).hex()
    request = post(
        "/in/qq/shop",
        "",
        body,
        x_bot_appid=APP_ID,
        x_signature_timestamp=timestamp,
        x_signature_ed25519=signature,
    )
    return msgspec.structs.replace(request, received_at=at)


def check(event_ts: object, plain_token: object, **more: str) -> IntakeRequest:
    """An address check, unsigned as the platform sends it."""
    asked = {"op": 13, "d": {"event_ts": event_ts, "plain_token": plain_token}}
    return post("/in/qq/shop", "", msgspec.json.encode(asked), x_bot_appid=APP_ID, **more)


@pytest.mark.parametrize("length", [1, 2, 12, 16, 28, 31, 32, 33, 40, 64])
def test_a_secret_of_any_length_is_a_seed(length: int) -> None:
    """Repeated until there are 32 bytes, then cut."""
    secret = ("0123456789abcdef" * 4)[:length]
    seed = secret
    while len(seed) < 32:
        seed *= 2
    expected = Ed25519PrivateKey.from_private_bytes(seed[:32].encode()).public_key()
    assert SigningKey(secret).public_key == expected.public_bytes_raw()


def test_an_empty_secret_is_a_mistake() -> None:
    """It is told before a key is made of it."""
    made = QqSettings(app_id=APP_ID, secret=Secret(""))
    assert [name for name, _ in made.mistakes()] == ["secret"]


async def test_a_genuine_event_is_taken() -> None:
    intake = await adapter().accept(push(EVENT))
    assert [one.dedupe_key for one in intake.events] == ["C2C_MESSAGE_CREATE:1"]
    assert intake.response.body == b'{"op":12,"d":0}'


@pytest.mark.parametrize("age, taken", [(23.9, True), (24.1, False), (-0.08, True), (-0.09, False)])
async def test_an_event_of_another_time_is_refused(age: float, taken: bool) -> None:
    """Older than a day, or more than five minutes ahead; what is newer is caught as a repeat."""
    request = push(EVENT, at=NOW + timedelta(hours=age))
    if taken:
        assert (await adapter().accept(request)).events
    else:
        with pytest.raises(NotAuthentic):
            await adapter().accept(request)


@pytest.mark.parametrize(
    "header, value",
    [
        ("x-signature-ed25519", None),
        ("x-signature-ed25519", ""),
        ("x-signature-ed25519", "z" * 128),
        ("x-signature-ed25519", "00" * 63),
        ("x-signature-ed25519", "ü" * 128),
        ("x-signature-timestamp", None),
        ("x-signature-timestamp", ""),
        ("x-signature-timestamp", "1e9"),
        ("x-signature-timestamp", "١٧٦٧"),
        ("x-signature-timestamp", "9" * 17),
        ("x-bot-appid", None),
        ("x-bot-appid", "102000001"),
    ],
)
async def test_malformed_proof_is_refused(header: str, value: str | None) -> None:
    """Never a 500, whatever stands in the headers."""
    request = push(EVENT)
    headers = {name: text for name, text in request.headers.items() if name != header}
    headers |= {header: value} if value is not None else {}
    with pytest.raises(NotAuthentic):
        await adapter().accept(msgspec.structs.replace(request, headers=headers))


async def test_high_bits_of_a_signature_are_refused() -> None:
    """The platform's own rule: the last byte's three high bits are nought."""
    raw = bytearray(bytes.fromhex(push(EVENT).headers["x-signature-ed25519"]))
    raw[63] |= 0b1110_0000
    with pytest.raises(NotAuthentic):
        await adapter().accept(push(EVENT, signature=raw.hex()))


async def test_what_is_signed_is_verified_for_the_address_check_too() -> None:
    body = b'{"op":13,"d":{"plain_token":"abc","event_ts":"1"}}'
    assert (await adapter().accept(push(body))).response.status == 200
    with pytest.raises(NotAuthentic):
        await adapter().accept(push(body, signature="00" * 64))


@pytest.mark.parametrize(
    "event_ts, plain_token",
    [
        ("1767323045", EVENT.decode()),
        ('1767323045{"op":0}', "abc"),
        ("1767323045", "abc{"),
        ("1767323045", 'abc"'),
        ("1767323045", "abc\n"),
        ("1767323045\n", "abc"),
        ("", "abc"),
        ("1767323045", ""),
        ("1767323045", "a" * 129),
        ("1" * 17, "abc"),
        (1.5, "abc"),
        (True, "abc"),
        (-1, "abc"),
        (None, "abc"),
        ("1767323045", 7),
        ("1767323045", ["abc"]),
        ("１７６７", "abc"),
    ],
)
async def test_an_address_check_of_another_form_is_not_signed(
    event_ts: object, plain_token: object
) -> None:
    with pytest.raises(NotAuthentic):
        await adapter().accept(check(event_ts, plain_token))


async def test_address_checks_are_few() -> None:
    """More than thirty in a minute are refused; a minute later they may be made again."""
    door = adapter()
    for _ in range(30):
        await door.accept(check("1725442341", "abc"))
    with pytest.raises(NotAuthentic):
        await door.accept(check("1725442341", "abc"))
    later = msgspec.structs.replace(check("1", "abc"), received_at=NOW + timedelta(seconds=61))
    assert (await door.accept(later)).response.status == 200


def forgeries(signed: bytes) -> Iterator[tuple[str, bytes]]:
    """Every way of cutting what was signed into a timestamp and a body."""
    for cut in range(len(signed) + 1):
        yield signed[:cut].decode("latin-1"), signed[cut:]


TOKENS = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"[A-Za-z0-9_\-+/=]{0,60}", fullmatch=True),
    st.sampled_from(["{", '{"op":0}', '0{"op":0,"t":"C2C_MESSAGE_CREATE","d":{}}', "0" * 16]),
)
TIMES = st.one_of(
    st.integers(), st.text(max_size=40), st.from_regex(r"[0-9]{1,30}", fullmatch=True)
)


@settings(max_examples=300, deadline=None)
@given(event_ts=TIMES, plain_token=TOKENS)
async def test_no_forged_event_can_be_signed_through_us(
    event_ts: int | str, plain_token: str
) -> None:
    """Whatever an address check asks for: its answer never proves an event, however it is cut."""
    door = adapter(max_age_hours=720)
    try:
        answer = (await door.accept(check(event_ts, plain_token))).response
    except NotAuthentic:
        return
    signature = msgspec.json.decode(answer.body)["signature"]
    signed = f"{event_ts}{plain_token}".encode()
    KEY.public_key().verify(bytes.fromhex(signature), signed)
    for timestamp, body in forgeries(signed):
        at = NOW
        if timestamp.isdigit() and len(timestamp) < 12:
            at = datetime.fromtimestamp(int(timestamp), UTC)
        request = push(body, timestamp=timestamp or " ", signature=signature, at=at)
        with pytest.raises((NotAuthentic, NotRecognised)):
            await door.accept(request)


async def test_the_check_above_would_see_an_oracle() -> None:
    """The proof itself: a door that signs anything is caught by the same cuts."""
    signature = KEY.sign(b"1767323045" + EVENT).hex()
    taken = []
    for timestamp, body in forgeries(b"1767323045" + EVENT):
        request = push(body, timestamp=timestamp or " ", signature=signature)
        try:
            taken.append((await adapter().accept(request)).events)
        except (NotAuthentic, NotRecognised):
            continue
    assert len(taken) == 1


async def test_a_tap_rings_for_its_acknowledgement() -> None:
    """Once it is stored; a message rings nobody."""
    tap = b'{"op":0,"id":"INTERACTION_CREATE:1","t":"INTERACTION_CREATE","d":{"id":"tap-1"}}'
    (bell,) = (await adapter().accept(push(tap))).bells
    assert (bell.key, bell.facts) == ("interaction", {"id": "tap-1"})
    assert not (await adapter().accept(push(EVENT))).bells
