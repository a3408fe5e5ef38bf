"""Templates of the connector that is known by settings only: nothing breaks out of its place."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Rejected
from outbound.helpdesks._requests import Request, Signing, written
from outbound.helpdesks._templates import (
    escape_braces,
    fill,
    fill_header,
    fill_path,
    fill_text,
    wrong_holes,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = '"}],{text}${HOME}\r\nX-Evil: 1\n&a=b#?/../%2e%2e;\u2028<script>\\'


def filled(request: Request, text: str, **more: Any) -> Any:
    return written(
        request,
        {"text": text, "ticket": "7"},
        signing=more.get("signing"),
        headers=more.get("headers", {}),
        query=more.get("query", {}),
        now=NOW,
    )


@given(st.text())
def test_what_a_customer_writes_stays_one_value(text: str) -> None:
    """In JSON, in a form, in a query: read back, it is what was written, and nothing stands beside it."""
    said = text.replace("\0", "").encode("utf-8", "replace").decode()
    as_json = Request(path="/a", json={"a": {"b": "{text}", "c": ["- {text}"]}, "public": False})
    assert json.loads(filled(as_json, said).body) == {
        "a": {"b": said, "c": [f"- {said}"]},
        "public": False,
    }
    as_form = Request(path="/a", form={"b": "{text}", "public": "0"}, query={"q": "{text}"})
    made = filled(as_form, said)
    assert parse_qs(made.body.decode(), keep_blank_values=True) == {"b": [said], "public": ["0"]}
    assert made.query == {"q": said}


@given(st.text(min_size=1))
def test_a_value_stays_in_its_segment(text: str) -> None:
    """Or is refused."""
    try:
        path = fill_path("/tickets/{ticket}/notes", {"ticket": text.replace("\ud800", "")})
    except (Rejected, UnicodeEncodeError):
        return
    assert path.count("/") == 3
    assert not set(path) & set("?#\\ \r\n")
    assert path.isascii()


@pytest.mark.parametrize("ticket", ["", "..", ".", None])
def test_a_path_leads_nowhere_else(ticket: Any) -> None:
    """An empty segment, or one that means another folder."""
    with pytest.raises(Rejected):
        fill_path("/tickets/{ticket}", {"ticket": ticket})


@given(st.text())
def test_a_header_stays_one_line(text: str) -> None:
    """Of printable ASCII."""
    try:
        made = fill_header("Bearer {text}", {"text": text})
    except UnicodeEncodeError:
        return
    assert made.isprintable()
    assert made.isascii()


def test_what_was_filled_in_is_not_looked_at_again() -> None:
    """A customer who knows the names gets them back as he wrote them."""
    values = {"text": "{token} {text} ${HOME}", "token": "secret"}
    assert fill_text("{text}", values) == "{token} {text} ${HOME}"
    assert fill({"a": "{text}"}, values) == {"a": "{token} {text} ${HOME}"}


def test_a_hole_alone_keeps_its_type() -> None:
    """A number stays one; text wants to be made one."""
    values = {"a": 7, "b": "8", "c": ["x"], "d": None}
    assert fill(["{a}", "{b}", "{b:number}", "{c}", "{d}", "{a}!"], values) == [
        7,
        "8",
        8,
        ["x"],
        None,
        "7!",
    ]
    with pytest.raises(Rejected):
        fill("{b:number}", {"b": "8; DROP"})


def test_filters() -> None:
    """HTML for fields that take it; braces for helpdesks that render what they get."""
    assert fill_text("{a:html}", {"a": "<b>&\n"}) == "&lt;b&gt;&amp;<br>"
    assert fill_text("{a:braces}", {"a": "{{ x }} 100%}"}) == escape_braces("{{ x }} 100%}")


def test_hostile_text_in_every_place_at_once() -> None:
    """The request has the shape of its template."""
    request = Request(
        path="/t/{text}",
        query={"q": "{text}"},
        headers={"X-Said": "{text}"},
        json={"said": "{text}"},
    )
    made = filled(request, EVIL)
    assert made.path.count("/") == 2
    assert set(made.headers) == {"x-said", "content-type"}
    assert "\n" not in made.headers["x-said"]
    assert json.loads(made.body) == {"said": EVIL}


def test_a_signature_is_over_the_body_as_it_goes_out() -> None:
    """By an independent reading of Qiyu's rule."""
    import hashlib

    request = Request(
        path="/send", json={"content": "{text}"}, query={"sum": "{signature}", "t": "{ts}"}
    )
    signing = Signing(over="s3cret{body_md5}{ts}", algorithm="sha1")
    made = filled(request, "在吗", signing=signing)
    at = str(int(NOW.timestamp()))
    inner = hashlib.md5(made.body).hexdigest()
    assert made.query == {"sum": hashlib.sha1(f"s3cret{inner}{at}".encode()).hexdigest(), "t": at}


def test_holes_that_nothing_fills_are_named() -> None:
    """With what could stand there; braces that are no hole are left alone."""
    known = frozenset({"text"})
    assert list(wrong_holes({"a": ["{text}", "{text:html}", "{} { } {1} {'x': 1}"]}, known)) == []
    for text in ("{Text}", "{ text }", "{txet}", "{text:shout}", "{text:}"):
        assert len(list(wrong_holes(text, known))) == 1, text
