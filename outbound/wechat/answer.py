"""Passive replies (被动回复): what goes inside the HTTP answer to a push. Pure.

For accounts that have no right to customer-service messages. One answer carries one message; a
``transfer_customer_service`` is none of ours: it would take the customer away from the hub.

Source: https://developers.weixin.qq.com/doc/subscription/guide/product/message/Passive_user_reply_message.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from hub.errors import Unsupported, WindowClosed
from hub.model import Draft, Link, Menu, Reply
from outbound._wechat_family import filled_in
from outbound.wechat.compose import TEXT_LIMIT, Card, Composer, Ways, article_of, menu_as_text

__all__ = ["ANSWER", "body_of", "compose_answer", "content_of"]

ANSWER = "ANSWER"
_KINDS = frozenset({"text", "image", "voice", "video", "news"})
_FILES = {"image": "Image", "voice": "Voice", "video": "Video"}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def compose_answer(reply: Reply, allowed: int | None, ways: Ways) -> Sequence[Draft]:
    """The parts of an answer that say *reply*; *allowed* is 0 when no push waits for one now.

    Raises:
        WindowClosed: it has to wait for the customer's next message.
        Unsupported: there is nothing to say, or something that cannot be said here.
    """
    drafts = _AnswerComposer(reply, ways).apart()
    if not drafts:
        raise Unsupported("there is nothing to say")
    if allowed == 0 and any(draft.only_in_answer for draft in drafts):
        raise WindowClosed("it goes out in the answer to the customer's next message")
    return drafts


class _AnswerComposer(Composer):
    """Says in answers what else would be calls; templates stay calls."""

    def __init__(self, reply: Reply, ways: Ways) -> None:
        super().__init__(reply, ways)
        if self.lines or self.cards:
            self.notes.append("goes out in the answer to the customer's message")

    def say_text(self, part: str) -> Draft:
        return self._answer({"MsgType": "text", "Content": part}, text=part)

    def say_file(self, kind: str, name: str) -> Draft:
        return self._answer({"MsgType": kind, _FILES[kind]: {"MediaId": f"{{{{{name}}}}}"}})

    def link(self, link: Link) -> Iterator[Card]:
        if link.mini_program:
            self.lines.append(self.mini_program_line(link, link.mini_program))
            return
        shown = article_of(link)
        item = {
            "Title": shown["title"],
            "Description": shown["description"],
            "PicUrl": shown["picurl"],
            "Url": shown["url"],
        }
        yield Card(
            (
                self._answer(
                    {"MsgType": "news", "ArticleCount": 1, "Articles": {"item": item}},
                ),
            )
        )

    def menu(self, menu: Menu) -> Iterator[Card]:
        self.notes.append("menu sent as text: an answer has none")
        self.lines.append(menu_as_text(menu))
        yield from ()

    def _answer(self, content: Mapping[str, Any], text: str | None = None) -> Draft:
        return Draft(method=ANSWER, url="answer:", json=content, text=text, only_in_answer=True)


def content_of(drafts: Sequence[Draft], results: Mapping[str, Any]) -> Mapping[str, Any]:
    """What one answer with all of *drafts* says; texts become one.

    Raises:
        Unsupported: they do not go into one answer.
    """
    contents = [filled_in(draft.json, results) for draft in drafts if draft.only_in_answer]
    if len(contents) < len(drafts) or not contents:
        raise Unsupported("this is no part of an answer")
    kinds = {content["MsgType"] for content in contents}
    if not kinds <= _KINDS:
        raise Unsupported(f"an answer cannot be {', '.join(sorted(kinds - _KINDS))}")
    if len(contents) == 1:
        return dict(contents[0])
    said = "\n".join(str(content.get("Content", "")) for content in contents)
    if kinds != {"text"} or len(said.encode()) > TEXT_LIMIT:
        raise Unsupported("one answer carries one text or one file")
    return {"MsgType": "text", "Content": said}


def body_of(
    content: Mapping[str, Any], *, sender: str, receiver: str, at: datetime, as_json: bool
) -> bytes:
    """The message as the platform reads it, in the data format of the push."""
    fields = {
        "ToUserName": receiver,
        "FromUserName": sender,
        "CreateTime": int(at.timestamp()),
        **content,
    }
    return msgspec.json.encode(fields) if as_json else xml_of(fields)


def xml_of(fields: Mapping[str, Any]) -> bytes:
    """*fields* in the platform's XML: numbers stand bare, texts in CDATA that they cannot leave."""
    return f"<xml>{_elements(fields)}</xml>".encode()


def _elements(fields: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _elements(value)
    if isinstance(value, int):
        return str(value)
    text = _NOT_XML.sub("\ufffd", str(value)).replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{text}]]>"
