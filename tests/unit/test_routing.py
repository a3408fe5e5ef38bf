"""Routing: the first rule whose every field fits."""

import time

from hub.ingest import Facts
from hub.routing import Router
from hub.settings import Route

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
    started = time.monotonic()
    router.choose(facts("a" * 50_000 + "b"))
    assert time.monotonic() - started < 1.0
