"""How the state of a draft and the status of a message move."""

import itertools

import pytest

from hub.outbox.states import after, worst

STATES = (
    "queued",
    "sending",
    "sent",
    "delivered",
    "read",
    "held",
    "unknown",
    "failed",
    "cancelled",
)
REPORTS = ("sent", "delivered", "read", "held", "unknown", "failed")


@pytest.mark.parametrize(
    "reports, expected",
    [
        (("delivered", "sent"), "delivered"),
        (("read", "delivered", "sent"), "read"),
        (("delivered", "failed"), "delivered"),
        (("failed", "delivered"), "delivered"),
        (("held", "sent"), "sent"),
        (("sent", "unknown"), "sent"),
        (("failed", "sent"), "failed"),
    ],
)
def test_reports_in_any_order(reports: tuple[str, ...], expected: str) -> None:
    """What is higher stays; proof of delivery beats a report of failure."""
    state = "sending"
    for report in reports:
        state = after(state, report)  # type: ignore[arg-type]
    assert state == expected


def test_no_report_takes_back_what_is_known() -> None:
    """Once delivered, no sequence of reports ends lower."""
    for reports in itertools.product(REPORTS, repeat=3):
        state = "delivered"
        for report in reports:
            state = after(state, report)  # type: ignore[arg-type]
        assert state in ("delivered", "read")


def test_what_was_never_tried_is_not_moved_by_reports() -> None:
    """A report on a queued draft is about something else."""
    assert {after("queued", report) for report in REPORTS} == {"queued"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "says, expected",
    [
        ((), "queued"),
        (("queued", "queued"), "queued"),
        (("sent", "queued"), "sending"),
        (("sending",), "sending"),
        (("delivered", "sent"), "sent"),
        (("read", "delivered"), "delivered"),
        (("sent", "unknown", "queued"), "unknown"),
        (("held", "sent"), "held"),
        (("unknown", "cancelled"), "failed"),
        (("failed", "unknown"), "failed"),
    ],
)
def test_a_message_is_the_worst_of_its_drafts(says: tuple[str, ...], expected: str) -> None:
    """The agent sees the part that is worst off."""
    assert worst(says) == expected


def test_every_combination_has_a_status() -> None:
    """Nothing is in no state."""
    for says in itertools.product(STATES, repeat=3):
        assert worst(says) in STATES[:-1]
