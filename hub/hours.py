"""Business hours: days of the week and times of day in a time zone, holidays, and days worked instead."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["DAYS", "Hours", "zone_of"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
_LINE = re.compile(r"(?P<days>[a-z,-]+)\s+(?P<from>\d{1,2}:\d{2})-(?P<to>\d{1,2}:\d{2})")
_YEARLY = re.compile(r"\d{2}-\d{2}")


def zone_of(name: str) -> ZoneInfo:
    """The time zone *name*.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"found {name!r}, wants a name such as Asia/Shanghai") from error


class Hours:
    """When something is open.

    *lines* are ``mon-fri 09:00-18:00``, ``sat,sun 10:00-24:00`` or ``fri 22:00-06:00`` (till the next
    morning); *holidays* are ``2026-10-01``, ``2026-10-01/2026-10-07`` or, each year, ``12-25``;
    *workdays* are dates that have a Monday's hours, whatever day they are, also among holidays. Without
    *lines* it is open all the time but for holidays.
    """

    def __init__(
        self,
        lines: Sequence[str],
        time_zone: str = "UTC",
        holidays: Iterable[str] = (),
        workdays: Iterable[str] = (),
    ) -> None:
        """Raises ValueError for what it cannot read."""
        self._zone = zone_of(time_zone)
        self._week: list[list[tuple[int, int]]] = [[] for _ in DAYS]
        self._always = not lines
        for line in lines:
            for day, span in _spans(line):
                self._week[day].append(span)
        self._yearly: set[str] = set()
        self._holidays: set[date] = set()
        for text in holidays:
            if _YEARLY.fullmatch(text):
                date.fromisoformat(f"2024-{text}")
                self._yearly.add(text)
            else:
                self._holidays.update(_dates(text))
        self._workdays = {day for text in workdays for day in _dates(text)}

    def is_open(self, at: datetime) -> bool:
        """Whether *at* (aware) is within the hours."""
        here = at.astimezone(self._zone)
        minute = here.hour * 60 + here.minute
        today, yesterday = here.date(), here.date() - timedelta(days=1)
        return any(start <= minute < end for start, end in self._spans_of(today)) or any(
            minute < end - DAY_MINUTES for _, end in self._spans_of(yesterday)
        )

    def _spans_of(self, day: date) -> Sequence[tuple[int, int]]:
        if day in self._workdays:
            return self._week[0] or ((0, DAY_MINUTES),)
        if day in self._holidays or f"{day:%m-%d}" in self._yearly:
            return ()
        return ((0, DAY_MINUTES),) if self._always else self._week[day.weekday()]


def _spans(line: str) -> Iterator[tuple[int, tuple[int, int]]]:
    """(weekday, (from, to)) in minutes; *to* beyond a day's end is the next morning."""
    found = _LINE.fullmatch(line.strip().lower())
    if found is None:
        raise ValueError(f"found {line!r}, wants days and hours such as mon-fri 09:00-18:00")
    start, end = _minute(found["from"]), _minute(found["to"])
    if start == end or start >= DAY_MINUTES:
        raise ValueError(f"found {line!r}, its hours have no length")
    for day in _days(found["days"]):
        yield day, (start, end if end > start else end + DAY_MINUTES)


def _minute(text: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > DAY_MINUTES:
        raise ValueError(f"found {text!r}, wants a time of day up to 24:00")
    return hours * 60 + minutes


def _days(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"found {part!r}, wants days out of {', '.join(DAYS)}")
        day = DAYS.index(first)
        yield day
        while last and DAYS[day] != last:
            day = (day + 1) % 7
            yield day


def _dates(text: str) -> Iterator[date]:
    first, _, last = text.partition("/")
    day, end = date.fromisoformat(first), date.fromisoformat(last or first)
    if not timedelta() <= end - day <= timedelta(days=366):
        raise ValueError(f"found {text!r}, wants a day, or two of one year with / between them")
    for number in range((end - day).days + 1):
        yield day + timedelta(days=number)
