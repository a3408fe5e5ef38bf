"""The mails that many projects collected: what their sources state is what the hub sees."""

import pytest

from tests.corpus import __main__ as corpus
from tests.support import shared_material as shared

pytestmark = shared.needs("corpora/email")


@pytest.fixture(scope="module")
def outcome() -> corpus.Outcome:
    return corpus.run([])


def test_no_mail_breaks_or_delays_the_parser(outcome: corpus.Outcome) -> None:
    """No exception, and none takes 2 s."""
    assert outcome.mails > 400
    assert outcome.broken == []


def test_what_the_sources_state_is_seen(outcome: corpus.Outcome) -> None:
    """At least 97 of 100 statements are met; docs/channels/email.md explains the others."""
    assert outcome.total.total() > 700
    assert outcome.share >= 0.97, outcome.misses


def test_a_core_parses_a_hundred_mails_a_second(outcome: corpus.Outcome) -> None:
    """The mails of the corpus as they come, in processor time."""
    assert outcome.mails / outcome.seconds > 100
