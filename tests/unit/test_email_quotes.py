"""New text told from quotation and signature, as the clients that people use write them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizers.email.quotes import split_reply
from tests.mailkit import message

REPLY = "好的，收到。\n请问什么时候发货？"

# Each is what one client puts below the new text; the addresses are made up.
BELOW = {
    "qq": "------------------ 原始邮件 ------------------\n发件人: \"客服\" <kf@shop.example>;\n"
    "发送时间: 2026年3月5日(星期四) 上午10:20\n收件人: \"张三\"<zs@qq.example>;\n主题: 订单\n\n您好",
    "qq, spaces of HTML": "------------------&nbsp;原始邮件&nbsp;------------------\n"
    "发件人: kf\n发送时间: 2026\n\n您好",
    "qq in English": "---------------- Original ------------------\nFrom: \"kf\" <kf@x.example>;\nDate: x",
    "wecom mail": "------------------ Original ------------------\nFrom: kf\nSubject: x\n\nhi",
    "163": "在 2026-03-05 10:20:11，\"客服\" <kf@shop.example> 写道：\n>您好\n>谢谢",
    "163, nothing marked": "At 2026-03-05 10:20:11, \"kf\" <kf@shop.example> wrote:\n\n您好，已处理。",
    "163 app": "---- 回复的原邮件 ----\n发件人\tkf<kf@shop.example>\n日期\t2026年3月5日\n\n您好",
    "foxmail": "发件人： 客服\n发送时间： 2026-03-05 10:20\n收件人： 张三\n抄送： 李四\n主题： 订单\n\n您好",
    "outlook": "发件人: 客服 <kf@x.example>\n发送时间: 2026年3月5日 10:20\n收件人: 张三\n主题: 订单\n\n您好",
    "outlook mobile": "________________________________\n发件人: 客服 <kf@x.example>\n已发送: 星期四\n"
    "收件人: 张三\n主题: 订单\n\n您好",
    "gmail": "客服 <kf@shop.example> 于2026年3月5日周四 10:20写道：\n\n> 您好",
    "gmail, Taiwan": "客服 <kf@shop.example> 於 2026年3月5日 週四 上午10:20寫道：\n\n> 您好",
    "apple": "> 在 2026年3月5日，上午10:20，客服 <kf@shop.example> 写道：\n> \n> 您好",
    "139": "----邮件原文----\n发件人：客服 <kf@x.example>\n抄　送： (无)\n发送时间：2026\n\n您好",
    "aliyun": "-" * 66 + "\n发件人:客服<kf@x.example>\n日　期:2026年3月\n收件人:张三\n主　题:订单\n\n您好",
    "sina": "----- 原始邮件 -----\n发件人：<kf@x.example>\n收件人：zs\n\n您好",
    "gmail in English": "On Thu, Mar 5, 2026 at 10:20 AM Support <kf@x.example> wrote:\n\n> hello\n>> again",
    "attribution on three lines": "On Thu, Mar 5, 2026 at 10:20 AM, Support of the Shop\n"
    "<kf@shop.example>\nwrote:\n\n> hello",
    "outlook in English": "From: Support <kf@shop.example>\nSent: Thursday, March 5, 2026 10:20 AM\n"
    "To: Anna\nSubject: RE: order\n\nhello",
    "outlook, bold": "*From:* Support <kf@x.example>\n*Sent:* Thursday\n*To:* Anna\n\nhello",
    "original message": "-----Original Message-----\nFrom: kf@x.example\nSent: Monday\n\nhello",
    "thunderbird in German": "Am 05.03.26 um 10:20 schrieb Support:\n> hallo",
    "yahoo in French": "Le jeudi 5 mars 2026 à 10:20, Support <kf@x.example> a écrit :\n\nbonjour",
    "only marks": "> hello\n> there",
}  # fmt: skip


@pytest.mark.parametrize("client", BELOW)
def test_what_a_client_quotes_is_no_reply(client: str) -> None:
    """The new text stands alone, and what is quoted is kept beside it."""
    split = split_reply(f"{REPLY}\n\n{BELOW[client]}")
    assert split.reply == REPLY
    assert split.quoted is not None
    assert split.quoted.split("\n")[-1] in BELOW[client]


@pytest.mark.parametrize(
    "text, reply, signature",
    [
        ("Hello\n\n-- \nAnna\nShop Ltd", "Hello", "-- \nAnna\nShop Ltd"),
        ("Hello\n\nSent from my iPhone", "Hello", "Sent from my iPhone"),
        ("好的\n\n发自我的iPhone", "好的", "发自我的iPhone"),
        ("好的\n\n来自我的华为手机", "好的", "来自我的华为手机"),
        ("好的\n\n获取 Outlook for iOS", "好的", "获取 Outlook for iOS"),
        ("好的\n\n签名由 网易邮箱大师 定制", "好的", "签名由 网易邮箱大师 定制"),
        (
            "Where is it?\n\nBest regards,\nAnna Smith",
            "Where is it?",
            "Best regards,\nAnna Smith",
        ),
        ("好的\n\n张三\nzhangsan@corp.example", "好的", "张三\nzhangsan@corp.example"),
    ],
)
def test_signatures_stand_apart(text: str, reply: str, signature: str) -> None:
    """What programs and people put below every mail."""
    assert split_reply(text)[:2] == (reply, signature)


@pytest.mark.parametrize(
    "text",
    [
        "发件人：请填写您的姓名",  # one such line is content
        "From: the station it takes ten minutes.",
        "On Monday I wrote: please call me.",
        "Dear shop,\n\nThank you very much for your answer. The parcel came on Monday.",
        "Regards to your mother!",
        "他在信里写道：一切都好。",
        "Sent from the warehouse yesterday. Did it arrive?\n\nPlease look. I need it soon.",
    ],
)
def test_prose_is_not_cut(text: str) -> None:
    """When in doubt everything is the reply."""
    assert split_reply(text) == (text, None, None)


def test_answers_between_the_lines_stay_whole() -> None:
    """Without the questions such answers say nothing."""
    text = (
        "On 5 Mar 2026, shop <a@b.example> wrote:\n> Which size?\n\nXL\n\n> Which colour?\n\nblue"
    )
    assert split_reply(text).reply == text


def test_an_answer_below_the_quotation_is_found() -> None:
    """Some people answer below."""
    split = split_reply("On 5 Mar 2026, shop <a@b.example> wrote:\n> Which size?\n\nXL please")
    assert split.reply == "XL please"
    assert split.quoted == "On 5 Mar 2026, shop <a@b.example> wrote:\n> Which size?"


def test_a_mail_of_nothing_but_quotation_is_shown() -> None:
    """Nothing is better than an empty message."""
    text = "-----Original Message-----\nFrom: a@b.example\nSent: Monday\n\nhello"
    assert split_reply(text).reply == text


@pytest.mark.parametrize(
    "quotation",
    [
        '<div class="gmail_quote"><div>On Thu Anna wrote:</div><blockquote>old</blockquote></div>',
        '<blockquote type="cite">old</blockquote>',
        '<div id="appendonsend"></div><hr><div id="divRplyFwdMsg">From: a</div><div>old</div>',
        '<div id="isReplyContent">old</div>',
        '<includetail><div>old</div></includetail>',
    ],
)  # fmt: skip
def test_the_marks_of_clients_in_html_are_read(quotation: str) -> None:
    """Clients mark the quotation in HTML, where words alone would not tell."""
    raw = f"From: a@b.example\r\nContent-Type: text/html\r\n\r\n<p>new</p>{quotation}".encode()
    found = message(raw)
    assert found.extra["text_reply"] == "new"
    assert "old" in found.text


@given(st.text(max_size=400))
def test_nothing_is_lost(text: str) -> None:
    """Every word of a mail is in one of the parts."""
    split = split_reply(text)
    whole = " ".join(part or "" for part in split)
    assert sorted("".join(text.split())) == sorted("".join(whole.split()))


@pytest.mark.parametrize(
    "line",
    ["On 1 " + "a" * 395 + ":", "> 1:2 " * 60 + ":", "From: x", "1:11 <a@b> " * 40 + ":", "在 1：", "a:"],
)  # fmt: skip
def test_hostile_lines_take_no_time(line: str) -> None:
    """Patterns do not explode."""
    began = time.process_time()
    split_reply("\n".join([line] * (200_000 // len(line))))
    assert time.process_time() - began < 1.5
