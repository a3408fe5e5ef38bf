"""Routing: the first rule whose every field fits."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from hub.ingest import Facts
from hub.routing import Router
from hub.settings import QueueSettings, Route

ROUTES = [
    Route(queue="refunds", text="(?i)refund|退款"),
    Route(queue="photos", channel="wechat", kind="image"),
    Route(queue="mail", account="support", sticky=False),
]


def facts(
    text: str = "hello", *, channel: str = "wechat", account: str = "shop", kind: str = "text"
) -> Facts:
    return Facts(channel, account, kind, text, None, "ann", True)


def test_the_first_fitting_rule_wins() -> None:
    """A text that fits the first rule goes there, whatever the others say."""
    router = Router(ROUTES, "inbox")
    assert router.choose(facts("我要退款", account="support")).queue == "refunds"
    assert router.choose(facts(kind="image")).queue == "photos"
    assert router.choose(facts(account="support")) == ("mail", False)


def test_no_rule_leads_to_the_default_queue() -> None:
    """The default queue takes what no rule takes."""
    assert Router(ROUTES, "inbox").choose(facts()) == ("inbox", True)


def test_explaining_says_why_each_rule_let_it_pass() -> None:
    """Up to the one that wins."""
    told = Router(ROUTES, "inbox").explain(facts(account="support"))
    assert [one.fits for one in told] == [False, False, True]
    assert told[1].reason == "kind is 'text', not 'image'"


def test_a_pattern_cannot_stall_the_hub() -> None:
    """A pattern that is exponential elsewhere runs in linear time on RE2."""
    router = Router([Route(queue="a", text="(a+)+$")], "inbox")
    started = time.process_time()
    router.choose(facts("a" * 50_000 + "b"))
    assert time.process_time() - started < 1.0


MONDAY_NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "route, fitting, other",
    [
        ({"subject": "(?i)invoice"}, {"subject": "Invoice 17"}, {"subject": None}),
        ({"sender": "@vip[.]example$"}, {"sender": "a@vip.example"}, {"sender": "a@b.example"}),
        ({"tag": "vip"}, {"tags": ["vip"]}, {"tags": []}),
        ({"contact": "known"}, {"knows_contact": True}, {"knows_contact": False}),
        ({"contact": "new"}, {"knows_contact": False}, {"knows_contact": True}),
        (
            {"hours": ("mon-fri 09:00-18:00",), "time_zone": "Asia/Shanghai"},
            {"at": MONDAY_NOON},
            {"at": SUNDAY},
        ),
    ],
)
def test_each_field_decides(
    route: dict[str, Any], fitting: dict[str, Any], other: dict[str, Any]
) -> None:
    """A rule takes what fits, and says why it lets pass what does not."""
    router = Router([Route(queue="special", **route)], "inbox")
    assert router.choose(facts()._replace(**fitting)).queue == "special"
    assert router.choose(facts()._replace(**other)).queue == "inbox"
    assert router.explain(facts()._replace(**other))[0].reason


def test_a_closed_queue_hands_on() -> None:
    """To its overflow queue, which may be closed too; the last in the chain takes it."""
    queues = {
        "sales": QueueSettings(hours=("mon-fri 09:00-18:00",), overflow="night"),
        "night": QueueSettings(holidays=("2026-11-22",), overflow="anyone"),
        "anyone": QueueSettings(),
    }
    router = Router([Route(queue="sales")], "inbox", queues, "Asia/Shanghai")
    assert router.choose(facts()._replace(at=MONDAY_NOON)).queue == "sales"
    assert router.choose(facts()._replace(at=SUNDAY)).queue == "anyone"
    told = router.explain(facts()._replace(at=SUNDAY))
    assert [(one.number, one.queue) for one in told] == [
        (1, "sales"),
        (-1, "night"),
        (-1, "anyone"),
    ]
    assert told[1].reason == "sales hands on: it is closed"


def test_a_full_queue_hands_on() -> None:
    """As long as so many conversations are open in it."""
    load = {"sales": 2}
    queues = {"sales": QueueSettings(max_open=2, overflow="inbox"), "inbox": QueueSettings()}
    router = Router([Route(queue="sales")], "inbox", queues, load=lambda name: load.get(name, 0))
    assert router.choose(facts()._replace(at=SUNDAY)).queue == "inbox"
    load["sales"] = 1
    assert router.choose(facts()._replace(at=SUNDAY)).queue == "sales"


def test_queues_that_hand_on_in_a_circle_end() -> None:
    """Whoever was not asked yet takes it."""
    queues = {
        "a": QueueSettings(hours=("mon 01:00-02:00",), overflow="b"),
        "b": QueueSettings(hours=("mon 01:00-02:00",), overflow="a"),
    }
    assert Router([Route(queue="a")], "a", queues).choose(facts()._replace(at=SUNDAY)).queue == "b"
