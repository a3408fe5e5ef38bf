"""Business hours: days, times, zones, holidays, and days worked instead."""

from datetime import datetime

import pytest

from hub.hours import Hours

OFFICE = ["mon-fri 09:00-12:00", "mon-fri 13:30-18:00", "sat 10:00-14:00"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "time, is_open",
    [
        ("2026-11-23T09:00+08:00", True),  # a Monday
        ("2026-11-23T08:59+08:00", False),
        ("2026-11-23T12:00+08:00", False),
        ("2026-11-23T17:59+08:00", True),
        ("2026-11-23T01:00Z", True),
        ("2026-11-28T13:59+08:00", True),
        ("2026-11-29T11:00+08:00", False),
    ],
)
def test_hours_are_of_the_time_zone(time: str, is_open: bool) -> None:
    """An end is not within."""
    assert Hours(OFFICE, "Asia/Shanghai").is_open(at(time)) is is_open


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    """Also across the end of the week, and not on a holiday's evening."""
    night = Hours(["sun-thu 22:00-06:00"], "UTC", holidays=["2026-11-25"])
    assert night.is_open(at("2026-11-22T23:00Z"))
    assert night.is_open(at("2026-11-23T05:59Z"))
    assert not night.is_open(at("2026-11-28T01:00Z"))  # Friday's night is none of them
    assert not night.is_open(at("2026-11-25T23:00Z"))
    assert night.is_open(at("2026-11-25T05:00Z")), "the night before began on a working day"


def test_the_clock_change_moves_nothing() -> None:
    """Nine is nine, on both sides of it."""
    hours = Hours(["mon-sun 09:00-10:00"], "Europe/Berlin")
    assert hours.is_open(at("2026-10-24T07:30Z"))
    assert hours.is_open(at("2026-10-25T08:30Z"))
    assert not hours.is_open(at("2026-10-25T07:30Z"))


def test_holidays_and_days_worked_instead() -> None:
    """The week of 1 October is free; the Saturday after it has a Monday's hours."""
    hours = Hours(
        OFFICE,
        "Asia/Shanghai",
        holidays=["2026-10-01/2026-10-07", "01-01"],
        workdays=["2026-10-10"],
    )
    assert not hours.is_open(at("2026-10-01T10:00+08:00"))
    assert not hours.is_open(at("2026-10-07T10:00+08:00"))
    assert hours.is_open(at("2026-10-08T10:00+08:00"))
    assert hours.is_open(at("2026-10-10T17:00+08:00"))
    assert not hours.is_open(at("2027-01-01T10:00+08:00"))
    assert not hours.is_open(at("2031-01-01T10:00+08:00"))
    Hours([], holidays=["9999-12-31"])  # the last day that there is


@pytest.mark.parametrize(
    "line",
    [
        *("9-18", "mon 09:00-09:00", "mon 25:00-26:00", "someday 09:00-10:00", "mon 09:61-10:00"),
        *("mon- 09:00-10:00", ""),
    ],
)
def test_what_cannot_be_read_is_said(line: str) -> None:
    """By name."""
    with pytest.raises(ValueError, match="found"):
        Hours([line])


@pytest.mark.parametrize("day", ["2026-13-01", "13-40", "2026-10-07/2026-10-01", "soon"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    """Of holidays and of days worked instead."""
    with pytest.raises(ValueError):
        Hours([], holidays=[day])
