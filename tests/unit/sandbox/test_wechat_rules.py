"""The platform's rules, as the simulator enforces them, under a clock that tests turn."""

import json

import pytest

from sandbox.faults import Fault, FaultBox
from sandbox.wechat.customers import Customers
from sandbox.wechat.errors import PlatformError
from sandbox.wechat.media import MEGABYTE, MediaStore
from sandbox.wechat.sending import check_message, deliver, read_request
from sandbox.wechat.tokens import TokenOffice

JPEG = b"\xff\xd8\xff" + b"\0" * 100
HOUR = 3600


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def code_of(error: pytest.ExceptionInfo[PlatformError]) -> int:
    return error.value.code


# Reply window and count --------------------------------------------------


def replies_possible(customers: Customers, clock: Clock, openid: str = "oAlice") -> int:
    count = 0
    while True:
        try:
            customers.get(openid).take_reply(clock())
        except PlatformError:
            return count
        count += 1


@pytest.mark.parametrize(
    "trigger, count, seconds",
    [("message", 5, 48 * HOUR), ("click", 3, 60), ("subscribe", 3, 60), ("scan", 3, 60)],
)
def test_each_trigger_opens_its_own_allowance(
    clock: Clock, trigger: str, count: int, seconds: int
) -> None:
    """So many replies and no more (45047); after the time none (45015)."""
    customers = Customers(clock)
    customers.meet("oAlice").open_allowance(trigger, clock())

    assert replies_possible(customers, clock) == count
    with pytest.raises(PlatformError) as used_up:
        customers.get("oAlice").take_reply(clock())
    clock.now += seconds + 1
    with pytest.raises(PlatformError) as too_late:
        customers.get("oAlice").take_reply(clock())

    assert (code_of(used_up), code_of(too_late)) == (45047, 45015)


def test_a_new_message_starts_the_count_afresh(clock: Clock) -> None:
    """Five replies again, not five more."""
    customers = Customers(clock)
    customers.meet("oAlice").open_allowance("message", clock())
    customers.get("oAlice").take_reply(clock())
    customers.get("oAlice").open_allowance("message", clock())

    assert replies_possible(customers, clock) == 5


def test_the_allowance_that_ends_first_is_used_first(clock: Clock) -> None:
    """Replies within the minute after a click leave those of the message untouched."""
    customers = Customers(clock)
    customers.meet("oAlice").open_allowance("message", clock())
    customers.meet("oAlice").open_allowance("click", clock())
    for _ in range(3):
        customers.get("oAlice").take_reply(clock())
    clock.now += 61

    assert replies_possible(customers, clock) == 5


def test_who_unfollows_cannot_be_answered(clock: Clock) -> None:
    """45015 also says that the subscription is cancelled."""
    customers = Customers(clock)
    customers.meet("oAlice").open_allowance("message", clock())
    customers.meet("oAlice").is_following = False

    with pytest.raises(PlatformError) as refused:
        customers.get("oAlice").take_reply(clock())

    assert code_of(refused) == 45015


# Content -----------------------------------------------------------------


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", 44002),
        (b"{", 47001),
        (b"[]", 47001),
        (b'{"text":{"content":"\\u4f60\\u597d"}}', 40033),
        (b"\xff\xfe", 47001),
    ],
)
def test_an_unreadable_request_is_refused(body: bytes, code: int) -> None:
    """Empty, no JSON, no object, or Chinese written as escapes."""
    with pytest.raises(PlatformError) as refused:
        read_request(body)

    assert code_of(refused) == code


def test_a_backslash_that_the_customer_should_see_is_no_escape() -> None:
    """The text ``\\u4f60`` itself, correctly escaped, is accepted."""
    body = json.dumps({"content": r"\u4f60"}).encode()

    assert read_request(body) == {"content": r"\u4f60"}


def message(kind: str, **content: object) -> dict[str, object]:
    return {"touser": "oAlice", "msgtype": kind, kind: content}


@pytest.mark.parametrize(
    "request_, code",
    [
        (message("text", content="好" * 682 + "ab"), None),  # 2048 bytes
        (message("text", content="好" * 683), 45002),  # 2049 bytes
        (message("text", content=""), 44004),
        (message("text", content=7), 47001),
        ({"touser": "oAlice", "msgtype": "text"}, 47001),
        (message("papyrus", content="x"), 40008),
        (message("image", media_id="nobody knows it"), 40007),
        (message("voice", media_id=None), 40007),
        (message("news", articles=[{"title": "a"}, {"title": "b"}]), 45008),
        (message("news", articles=[{"title": "a", "url": "https://shop.example"}]), None),
        (message("msgmenu", head_content="?", list=[{"id": "1", "content": "满意"}]), None),
        (message("msgmenu", head_content="?", list=[]), 47001),
        (message("msgmenu", head_content="?", list=["1"]), 47001),
        (message("miniprogrampage", appid="wx1", pagepath="p", title="t"), 40007),
    ],
)
def test_content_is_checked(request_: dict[str, object], code: int | None, clock: Clock) -> None:
    """Each fault has the platform's own code."""
    try:
        check_message(request_, MediaStore(clock))
        found = None
    except PlatformError as error:
        found = error.code

    assert found == code


def test_a_refused_message_costs_no_reply(clock: Clock) -> None:
    """Only what is shown is counted."""
    customers = Customers(clock)
    customers.meet("oAlice").open_allowance("message", clock())
    too_long = message("text", content="x" * 2049)

    with pytest.raises(PlatformError):
        deliver(too_long, customers, MediaStore(clock), clock(), str)

    assert customers.get("oAlice").remaining_replies(clock()) == 5


def test_an_unknown_openid_is_refused(clock: Clock) -> None:
    """40003, also for an openid that is no text."""
    for openid in ("oStranger", None, 7):
        with pytest.raises(PlatformError) as refused:
            Customers(clock).get(openid)
        assert code_of(refused) == 40003


# Media -------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, filename, content, code",
    [
        ("image", "a.jpg", JPEG, None),
        ("image", "a.svg", b"<svg/>", 40005),
        ("image", "a.jpg", b"<html></html>", 40005),
        ("image", "a.jpg", JPEG + b"\0" * 10 * MEGABYTE, 40009),
        ("voice", "a.amr", b"#!AMR\n" + b"\0" * 2 * MEGABYTE, 40010),
        ("voice", "a.wav", b"RIFF....", 40005),
        ("thumb", "a.jpg", JPEG + b"\0" * 64 * 1024, 40012),
        ("file", "a.pdf", b"%PDF-1.7", 40004),
        ("image", "a.jpg", b"", 40006),
    ],
)
def test_uploads_are_checked(
    kind: str, filename: str, content: bytes, code: int | None, clock: Clock
) -> None:
    """Kind, file type and size, each with the platform's own code."""
    try:
        MediaStore(clock).upload(kind, filename, content)
        found = None
    except PlatformError as error:
        found = error.code

    assert found == code


def test_media_are_kept_three_days(clock: Clock) -> None:
    """After that the id is worth nothing."""
    media = MediaStore(clock)
    kept = media.upload("image", "a.jpg", JPEG)
    clock.now += 3 * 24 * HOUR + 1

    with pytest.raises(PlatformError) as refused:
        media.get(kept.media_id)

    assert code_of(refused) == 40007


# Tokens ------------------------------------------------------------------


def refusal(office: TokenOffice, token: str | None) -> int | None:
    try:
        office.check(token)
    except PlatformError as error:
        return error.code
    return None


def test_the_stable_token_is_the_same_for_all(clock: Clock) -> None:
    """Every caller gets it, with the seconds that are left."""
    office = TokenOffice(clock)
    first, seconds = office.stable()
    clock.now += 1000

    assert seconds == 7200
    assert office.stable() == (first, 6200)


def test_a_renewed_stable_token_leaves_the_old_one_good_for_five_minutes(clock: Clock) -> None:
    """In the last five minutes callers get a new one; both work until the old one ends."""
    office = TokenOffice(clock)
    old, _ = office.stable()
    clock.now += 6901
    new, _ = office.stable()

    assert new != old
    assert (refusal(office, old), refusal(office, new)) == (None, None)
    clock.now += 300
    assert (refusal(office, old), refusal(office, new)) == (42001, None)


def test_a_forced_refresh_ends_the_old_token_at_once_and_is_rationed(clock: Clock) -> None:
    """30 seconds apart, 20 a day."""
    office = TokenOffice(clock)
    old, _ = office.stable()
    office.stable(force_refresh=True)
    with pytest.raises(PlatformError) as too_soon:
        office.stable(force_refresh=True)
    for _ in range(19):
        clock.now += 31
        office.stable(force_refresh=True)
    clock.now += 31
    with pytest.raises(PlatformError) as too_often:
        office.stable(force_refresh=True)

    assert refusal(office, old) == 40001
    assert (code_of(too_soon), code_of(too_often)) == (45011, 45009)


def test_the_classic_call_makes_a_new_token_every_time(clock: Clock) -> None:
    """The last one ends five minutes later; the stable token lives beside it."""
    office = TokenOffice(clock)
    stable, _ = office.stable()
    old, _ = office.classic()
    new, _ = office.classic()
    assert [refusal(office, token) for token in (stable, old, new)] == [None, None, None]
    clock.now += 301

    assert [refusal(office, token) for token in (stable, old, new)] == [None, 42001, None]


def test_tokens_can_be_taken_away(clock: Clock) -> None:
    """Missing, unknown, expired and revoked are told apart."""
    office = TokenOffice(clock)
    token, _ = office.stable()
    office.expire_all()
    expired = refusal(office, token)
    office.revoke_all()

    assert (refusal(office, None), refusal(office, "x")) == (41001, 40001)
    assert (expired, refusal(office, token)) == (42001, 40001)


# Faults ------------------------------------------------------------------


def test_a_fault_strikes_so_many_calls_of_its_path() -> None:
    """Other paths go well, and afterwards all do."""
    box = FaultBox()
    box.add(Fault("errcode", count=2, path="/cgi-bin/message", code=-1))
    paths = ["/cgi-bin/token", *["/cgi-bin/message/custom/send"] * 3]

    struck = [box.take(path) is not None for path in paths]

    assert struck == [False, True, True, False]


def test_an_unknown_fault_is_refused() -> None:
    """A typing mistake must not make a test pass in silence."""
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("explode")  # type: ignore[arg-type]
