"""A member gets no more than the platform lets through: it drops the rest without a word."""

from datetime import UTC, datetime, timedelta

import pytest

from hub.errors import RateLimited
from outbound.wecom.pace import MemberPace
from sandbox.wecom.members import Members

AT = datetime(2026, 1, 2, tzinfo=UTC)


def test_thirty_in_a_minute_and_the_next_one_waits() -> None:
    """For as long as the first of the thirty stands in the minute; others are not concerned."""
    pace = MemberPace()
    for second in range(30):
        pace.take("lin", AT + timedelta(seconds=second))
    with pytest.raises(RateLimited) as told:
        pace.take("LIN", AT + timedelta(seconds=40))
    pace.take("mia", AT + timedelta(seconds=40))
    pace.take("lin", AT + timedelta(seconds=60))
    assert told.value.retry_after == 20.0
    assert "30 messages in a minute" in told.value.detail


def test_a_thousand_in_an_hour() -> None:
    """Said at a pace that keeps within the minute."""
    pace = MemberPace()
    for number in range(1000):
        pace.take("lin", AT + timedelta(seconds=3 * number))
    with pytest.raises(RateLimited, match="1000 messages in an hour") as told:
        pace.take("lin", AT + timedelta(seconds=3000))
    assert told.value.retry_after == 600.0


def test_what_is_refused_is_not_counted() -> None:
    """Asking again and again does not put it off."""
    pace = MemberPace()
    for _ in range(30):
        pace.take("lin", AT)
    for second in range(1, 60):
        with pytest.raises(RateLimited):
            pace.take("lin", AT + timedelta(seconds=second))
    pace.take("lin", AT + timedelta(seconds=60))


def test_what_is_forgotten_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who was written to within the hour."""
    monkeypatch.setattr("outbound.wecom.pace._MOST_MEMBERS", 2)
    pace = MemberPace()
    for number, who in enumerate(("old", "lin", "mia")):
        pace.take(who, AT + timedelta(minutes=40 * number))
    for _ in range(29):
        pace.take("lin", AT + timedelta(minutes=80))
    pace.take("lin", AT + timedelta(minutes=80, seconds=1))
    assert set(pace._sent) == {"lin", "mia"}


def test_the_simulator_drops_what_the_platform_drops() -> None:
    """The thirty-first within a minute is not heard."""
    now = 1_790_000_000.0
    members = Members(lambda: now)
    heard = [members.hears("lin") for _ in range(31)]
    now += 60
    assert heard == [True] * 30 + [False]
    assert members.hears("lin")
