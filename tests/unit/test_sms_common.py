"""Numbers in one form, templates, and files that lead inside."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sms_aliyun import CHANNEL as ALIYUN
from adapters.sms_aliyun import AliyunSettings
from adapters.sms_twilio import CHANNEL as TWILIO
from adapters.sms_twilio import TwilioSettings
from hub.channel import Account, HttpAnswer
from hub.errors import NeedsTemplate, NotRecognised
from hub.fetch import Fetcher, Forbidden
from hub.guard import policy_for
from hub.model import Address, Attachment, Reply, Secret, Template
from hub.phones import e164, is_e164
from hub.testing import HttpCall, Workbench, post
from outbound._sms_templates import SmsTemplate, TemplateBook
from outbound.sms_twilio import TwilioMedia

NUMBER = "+8613800138000"


@pytest.mark.parametrize(
    "written",
    [
        "13800138000",
        "+86 138 0013 8000",
        "0086 138-0013-8000",
        "8613800138000",
        "１３８００１３８０００",
    ],
)
def test_one_number_is_one_address(written: str) -> None:
    """However it is written, here and where somebody is written to first."""
    assert e164(written, "CN") == NUMBER
    settings = AliyunSettings(access_key_id="i", access_key_secret=Secret("s"), sign_name="店")
    assert ALIYUN.opens
    address, home = ALIYUN.opens(Address("tel", "", written), Account("a", "sms_aliyun", settings))
    assert (address.value, home.thread_key) == (NUMBER, NUMBER)


@pytest.mark.parametrize("name", ["12345", "AcmeInc", "", "not a number"])
def test_what_is_no_persons_number_stays(name: str) -> None:
    """Short codes and senders' names."""
    assert e164(name) == name


def test_no_country_is_guessed() -> None:
    """A number that somebody typed for Twilio without a plus may be of any country."""
    settings = TwilioSettings(account_sid="AC1", auth_token=Secret("t"))
    account = Account("a", "sms_twilio", settings)
    assert TWILIO.opens
    assert TWILIO.opens(Address("tel", "", "13800138000"), account)[0].value == "13800138000"
    assert TWILIO.opens(Address("tel", "", "+1 415-555-0100"), account)[0].value == "+14155550100"


@given(st.text(max_size=80))
def test_any_text_is_a_number_or_stays_short(text: str) -> None:
    """Never an exception, and what was made is made of itself."""
    made = e164(text, "CN")
    assert len(made) <= 128
    assert not is_e164(made) or e164(made, "CN") == made


@pytest.mark.parametrize("count, taken", [(1000, True), (1001, False), (300_000, False)])
async def test_a_flood_in_one_callback_is_refused(count: int, taken: bool) -> None:
    """Whoever knows the path cannot fill the database with one request."""
    settings = AliyunSettings(access_key_id="i", access_key_secret=Secret("s"), sign_name="店")
    assert ALIYUN.adapter
    adapter = ALIYUN.adapter(Account("a", "sms_aliyun", settings), Workbench().tools)
    body = b"[" + b",".join([b"{}"] * count) + b"]"
    request = post("/in/sms_aliyun/a", "", body)
    if taken:
        assert len((await adapter.accept(request)).events) == count
    else:
        with pytest.raises(NotRecognised):
            await adapter.accept(request)


# --- templates --------------------------------------------------------------------------------------

BOOK = TemplateBook(
    {
        "refund": SmsTemplate(
            id="1",
            text="退款{money}元已受理。",
            when=r"(?:已)?退款(?P<m>\d+)元?",
            params={"money": "{m}"},
        ),
        "answer": SmsTemplate(id="2", text="客服：{text}", params={"text": "{text}"}),
    },
    None,
    "店",
)


def said(text: str | None = None, **more: Any) -> str:
    reply = Reply(to=Address("tel", "", NUMBER), text=text, message_id="msg_abcdef", **more)
    return BOOK.choose(reply).text


@pytest.mark.parametrize(
    "text, read",
    [
        ("退款20元", "【店】退款20元已受理。"),
        ("退款20元已受理。", "【店】退款20元已受理。"),
        ("退款20元，另外明天发货", "【店】客服：退款20元，另外明天发货"),
        ("好的 {code} ${x}", "【店】客服：好的 {code} ${x}"),
    ],
)
def test_a_template_says_all_of_a_reply(text: str, read: str) -> None:
    """A pattern stands for the whole of it; what an agent writes is never filled in again."""
    assert said(text) == read


@pytest.mark.parametrize("text", ["很" * 36, "见 www.shop.cn", "请看\nhttps://a.example/b"])
def test_what_does_not_fit_is_refused(text: str) -> None:
    """With what was tried, and nothing is cut."""
    with pytest.raises(NeedsTemplate, match="answer"):
        said(text)


def test_a_template_wants_its_variables() -> None:
    """By name, all of them and no others."""
    assert said(template=Template("refund", {"money": 5})) == "【店】退款5元已受理。"
    for params in ({}, {"money": "5", "more": "x"}, {"money": ""}):
        with pytest.raises(NeedsTemplate):
            said(template=Template("refund", params))


# --- files ------------------------------------------------------------------------------------------

SETTINGS = TwilioSettings(account_sid="AC1", auth_token=Secret("a-token"))


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://metadata.google.internal/",
        "file:///etc/passwd",
        "https://user:pass@api.twilio.com/",
        "https://2130706433/",
    ],
)
async def test_a_file_that_leads_inside_is_refused(url: str) -> None:
    """As it stands in the callback, without a packet: under the account's own policy."""
    bench = Workbench()
    policy = policy_for([SETTINGS.api_base])._replace(allow_http=True)
    fetcher = Fetcher(policy)
    bench.http = fetcher  # type: ignore[assignment]
    media = TwilioMedia(Account("shop", "sms_twilio", SETTINGS), bench.tools)
    attachment = Attachment(kind="image", source={"url": url})
    with pytest.raises(Forbidden):
        _ = [piece async for piece in media.open(attachment)]
    await fetcher.close()


async def test_credentials_stay_at_home() -> None:
    """They go to the platform's own host, and not along a redirect."""

    def script(call: HttpCall) -> HttpAnswer:
        if "api.twilio.com" in call.url:
            return HttpAnswer(307, {"location": "https://cdn.example/file"}, b"")
        return HttpAnswer(200, {}, b"a picture")

    bench = Workbench(script)
    media = TwilioMedia(Account("shop", "sms_twilio", SETTINGS), bench.tools)
    attachment = Attachment(kind="image", source={"url": "https://api.twilio.com/Media/1"})
    assert [piece async for piece in media.open(attachment)] == [b"a picture"]
    assert ["authorization" in call.headers for call in bench.http.calls] == [True, False]
