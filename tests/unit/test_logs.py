"""Log lines: one line each, no secret, nobody's name, nothing that was said."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from hub.logs import configure, safe
from hub.model import Secret
from hub.redact import mask, redact
from tests.support.shared_material import SHARED


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Where the lines go; afterwards logging is as it was."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, structlog.get_config())
    stream = io.StringIO()
    configure("info", stream=stream)
    yield stream
    root.handlers[:], config = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(False)
    structlog.configure(**config)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_name(out: io.StringIO) -> None:
    """Below the level nothing is written."""
    log = structlog.get_logger("hub.test").bind(account="shop")
    log.info("stored", count=3, of=None, rate=0.5)
    log.debug("noise")
    (line,) = lines(out)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "stored",
        "level": "info",
        "logger": "hub.test",
        "account": "shop",
        "count": 3,
        "of": None,
        "rate": 0.5,
    }


def test_the_standard_librarys_loggers_come_out_the_same(out: io.StringIO) -> None:
    """Libraries' warnings are seen, redacted; requests and jobs' arguments are not."""
    logging.getLogger("some.library").warning("login failed for %s", "password=hunter2")
    logging.getLogger("aiohttp.access").info("GET /in/wechat/shop/topsecret")
    logging.getLogger("arq.worker").info("-> job('13800138000')")
    (line,) = lines(out)
    assert (line["event"], line["logger"]) == ("login failed for password=***", "some.library")


def test_secrets_never_reach_a_line(out: io.StringIO) -> None:
    """Neither by their name, nor in a URL, a header, a nested value or a traceback."""
    log = structlog.get_logger("hub.test")
    log.warning(
        "call GET https://a.example/?access_token=SEEDED1&b=2",
        url="https://user:SEEDED2@a.example/in/wechat/shop/SEEDED3?x=1",
        Authorization="Bearer SEEDED4444",
        headers={
            "webhook-signature": "v1,SEEDED5",
            "x": "Basic SEEDED6666",
            "n": [{"app_secret": "SEEDED7"}],
        },
        note="whsec_SEEDED8 and hub_live_abc_SEEDED9",
        answer='{"token":"SEEDED10"}',
        settings=Secret("SEEDED11"),
        json='{"corpsecret": "SEEDED12", "errcode": 0}',
        xml="<xml><Ticket><![CDATA[SEEDED13]]></Ticket></xml>",
        secret=5,
    )
    try:
        raise ValueError("https://a.example/?secret=SEEDED14")
    except ValueError:
        log.exception("failed")
    assert "SEEDED" not in out.getvalue()
    assert '\\"errcode\\": 0' in out.getvalue()
    assert "ValueError: https://a.example/?secret=***" in lines(out)[1]["exception"]


def test_what_was_said_is_counted_not_shown(out: io.StringIO) -> None:
    """A message's text is nobody's business in a log."""
    structlog.get_logger().info("x", text="I am ill", body=b"<xml/>", subject="help", html=None)
    line = lines(out)[0]
    shown = [line[name] for name in ("text", "body", "subject", "html")]
    assert shown == ["<8 characters>", "<6 bytes>", "<4 characters>", None]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("call 13800138000 now", "call 138****8000 now"),
        ("电话：138 0013 8000。", "电话：138 **** 8000。"),
        ("１３８００１３８０００", "138****8000"),
        ("+8613800138000", "+861****00"),
        ("+44 20 7946 0958", "+44****58"),
        ("身份证11010519491231002X", "身份证110*************2X"),
        ("11010519491231002x!", "110*************2x!"),
        ("110105194912310021", "110105194912310021"),
        ("card 4111 1111 1111 1111", "card ****1111"),
        ("6212345678901232", "****1232"),
        ("6212345678901233", "6212345678901233"),
        ("a.b+c@例子.公司", "a***@例子.公司"),
        ("<ann@shop.example>, bob@x.example", "<a***@shop.example>, b***@x.example"),
        ("oABCDEFGHIJKLMNOPQRSTUVWXY12", "o***XY12"),
        (
            "1700000000 1700000000123 2012-09-28T11:31:00Z",
            "1700000000 1700000000123 2012-09-28T11:31:00Z",
        ),
        ("cnv_01h455vb4pex5vsknk084sn02q", "cnv_01h455vb4pex5vsknk084sn02q"),
        ("no one here", "no one here"),
    ],
)
def test_people_are_masked(text: str, shown: str) -> None:
    """Phones, ID cards with a fitting check digit, bank cards with a fitting sum, mail, openids."""
    assert mask(text) == shown


@pytest.mark.parametrize(
    "case", ["full-width digits in phone", "ID card in text", "e-mail in text"]
)
def test_the_shared_corpus_is_masked(case: str) -> None:
    """The corpus's rows about people do not come through as they are."""
    path = SHARED / "corpora/badinput/authored/unicode.share.json"
    if not path.exists():
        pytest.skip(f"no corpus at {path} (set HUB_SHARED)")
    rows = {row["case"]: row["text"] for row in json.loads(path.read_text(encoding="utf-8"))}
    assert mask(rows[case]) != rows[case]


def test_every_text_stays_on_one_line(out: io.StringIO) -> None:
    """Line ends, terminal sequences and bidirectional marks are shown, not obeyed."""
    nasty = "a\r\nb\u2028c\x1b[31md\u202ee\x00\x85\udcff字"
    structlog.get_logger().info(nasty, name=nasty, nested=[{nasty: nasty}])
    assert len(out.getvalue().splitlines()) == 1
    assert lines(out)[0]["name"] == r"a\r\nb\u2028c\x1b[31md\u202ee\x00\x85\udcff字"


def test_an_address_shows_its_end() -> None:
    """Enough to find a person's lines, not enough to know the person."""
    assert safe("oABC-123456789", "openid") == "***6789"
    assert safe("ann@shop.example", "address") == "a***@shop.example"


def test_odd_values_do_not_break_a_line(out: io.StringIO) -> None:
    """Large numbers, deep and long values, and values of any class."""
    deep: Any = "x"
    for _ in range(50):
        deep = [deep]
    structlog.get_logger().info(
        "odd", number=1 << 80, deep=deep, long="y" * 10_000, kind=object, many=[1] * 99
    )
    line = lines(out)[0]
    assert line["number"] == str(1 << 80)
    assert len(line["long"]) < 2100
    assert len(line["many"]) == 50


def test_pretty_lines_are_safe_too() -> None:
    """On a terminal the same rules hold."""
    stream = io.StringIO()
    before = structlog.get_config()
    handlers = list(logging.getLogger().handlers)
    configure("debug", stream=stream, pretty=True)
    structlog.get_logger("hub.test").info("hello\x1b[2J", secret="SEEDED", mail="ann@shop.example")
    structlog.configure(**before)
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)
    assert "\x1b[2J" not in stream.getvalue()
    assert "SEEDED" not in stream.getvalue()
    assert "a***@shop.example" in stream.getvalue()


def test_the_same_text_is_redacted_once() -> None:
    """What is hidden stays as it is when it passes by again."""
    once = redact("https://a:b@c.example/?token=x&sign=y Bearer abcdefgh")
    assert redact(once) == once == "https://***@c.example/?token=***&sign=*** Bearer ***"
