"""What the platform accepts as a customer-service message, and how the phone shows it.

Source: https://developers.weixin.qq.com/doc/offiaccount/Customer_Service/Customer_Service_Messages.html
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.wechat.customers import Bubble, Customers
from sandbox.wechat.errors import PlatformError
from sandbox.wechat.media import MediaStore

MAX_TEXT_BYTES = 2048
MAX_ARTICLES = 1

_MENU_LINK = re.compile(
    r'<a href="weixin://bizmsgmenu\?msgmenucontent=(?P<text>[^"&]*)&msgmenuid=(?P<id>[^"&]*)">'
)
_UNICODE_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True)
class Shown:
    """How an accepted message looks on the phone."""

    kind: str
    text: str
    media_id: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


def read_request(body: bytes) -> dict[str, Any]:
    """The JSON object of an API call.

    Raises:
        PlatformError: 44002 empty, 40033 ``\\uXXXX`` escapes, 47001 not a JSON object.
    """
    if not body:
        raise PlatformError(44002)
    if _UNICODE_ESCAPE.search(body):
        raise PlatformError(40033)
    try:
        document = json.loads(body.decode("utf-8"))
    except ValueError as error:
        raise PlatformError(47001, "not JSON") from error
    if not isinstance(document, dict):
        raise PlatformError(47001, "not an object")
    return document


def check_message(request: Mapping[str, Any], media: MediaStore) -> Shown:
    """Check the content of a ``custom/send`` call; says how it would look.

    Raises:
        PlatformError: the code that the platform gives for the fault.
    """
    kind = request.get("msgtype")
    checker = _CHECKERS.get(kind) if isinstance(kind, str) else None
    if checker is None:
        raise PlatformError(40008)
    content = request.get(str(kind))
    if not isinstance(content, dict):
        raise PlatformError(47001, f"no object under {kind}")
    return checker(content, media)


def deliver(
    request: Mapping[str, Any],
    customers: Customers,
    media: MediaStore,
    now: float,
    media_url: Callable[[str], str],
) -> Bubble:
    """Check a ``custom/send`` call, use up one reply, and show it on the phone.

    Raises:
        PlatformError: nothing was shown.
    """
    customer = customers.get(request.get("touser"))
    shown = check_message(request, media)
    customer.take_reply(now)
    customer.typing_until = 0.0
    url = media_url(shown.media_id) if shown.media_id else None
    return customers.show(
        customer.openid,
        "account",
        shown.kind,
        shown.text,
        media_url=url,
        choices=shown.choices,
        details=shown.details,
    )


def _text(content: Mapping[str, Any], media: MediaStore) -> Shown:
    text = _checked_text(content.get("content"))
    return Shown("text", text, choices=choices_in(text))


def choices_in(text: str) -> tuple[tuple[str, str], ...]:
    """The menu inside a text: links that write for the user when they are tapped (id, label)."""
    return tuple((found["id"], found["text"]) for found in _MENU_LINK.finditer(text))


def answer_shown(reply: Mapping[str, str], media: MediaStore) -> Shown:
    """How a passive reply looks; its fields stand under their paths (``Image/MediaId``)."""
    kind = reply["MsgType"]
    if kind == "text":
        text = reply.get("Content", "")
        return Shown("text", text, choices=choices_in(text), details=dict(reply))
    if kind == "news":
        details = {"url": reply.get("Articles/item/Url", ""), **reply}
        return Shown("news", reply.get("Articles/item/Title", ""), details=details)
    media_id = reply.get(f"{kind.capitalize()}/MediaId")
    try:
        found = media.get(media_id, kind).media_id if media_id else None
    except PlatformError:
        found = None
    return Shown(kind, f"[{kind}]", found, details=dict(reply))


def _checked_text(value: object) -> str:
    if not isinstance(value, str):
        raise PlatformError(47001, "content is not a text")
    if not value:
        raise PlatformError(44004)
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise PlatformError(45002)
    return value


def _image(content: Mapping[str, Any], media: MediaStore) -> Shown:
    return Shown("image", "[image]", media.get(content.get("media_id"), "image").media_id)


def _voice(content: Mapping[str, Any], media: MediaStore) -> Shown:
    return Shown("voice", "[voice]", media.get(content.get("media_id"), "voice").media_id)


def _video(content: Mapping[str, Any], media: MediaStore) -> Shown:
    found = media.get(content.get("media_id"), "video")
    if content.get("thumb_media_id"):
        media.get(content["thumb_media_id"], "image", "thumb")
    return Shown("video", str(content.get("title") or "[video]"), found.media_id)


def _music(content: Mapping[str, Any], media: MediaStore) -> Shown:
    media.get(content.get("thumb_media_id"), "image", "thumb")
    _required(content, "musicurl", "hqmusicurl")
    return Shown(
        "music", str(content.get("title") or "[music]"), details={"url": content["musicurl"]}
    )


def _news(content: Mapping[str, Any], media: MediaStore) -> Shown:
    articles = content.get("articles")
    if not isinstance(articles, list) or not articles or not isinstance(articles[0], dict):
        raise PlatformError(47001, "articles")
    if len(articles) > MAX_ARTICLES:
        raise PlatformError(45008)
    article = articles[0]
    return Shown(
        "news",
        str(article.get("title", "")),
        details={name: str(article.get(name, "")) for name in ("description", "url", "picurl")},
    )


def _mpnews(content: Mapping[str, Any], media: MediaStore) -> Shown:
    _required(content, "media_id")
    return Shown("news", "[article]", details={"media_id": content["media_id"]})


def _article(content: Mapping[str, Any], media: MediaStore) -> Shown:
    _required(content, "article_id")
    return Shown("news", "[article]", details={"article_id": content["article_id"]})


def _menu(content: Mapping[str, Any], media: MediaStore) -> Shown:
    items = content.get("list")
    if not isinstance(items, list) or not items:
        raise PlatformError(47001, "list")
    choices = tuple(
        (str(item["id"]), str(item["content"]))
        for item in items
        if isinstance(item, dict) and {"id", "content"} <= item.keys()
    )
    if len(choices) != len(items):
        raise PlatformError(47001, "list")
    title, footer = (str(content.get(name) or "") for name in ("head_content", "tail_content"))
    return Shown("menu", title, choices=choices, details={"footer": footer})


def _card(content: Mapping[str, Any], media: MediaStore) -> Shown:
    _required(content, "card_id")
    return Shown("card", "[card]", details={"card_id": content["card_id"]})


def _mini_program(content: Mapping[str, Any], media: MediaStore) -> Shown:
    _required(content, "appid", "pagepath", "title")
    media.get(content.get("thumb_media_id"), "image", "thumb")
    return Shown(
        "miniprogrampage",
        str(content["title"]),
        details={"appid": content["appid"], "pagepath": content["pagepath"]},
    )


def _required(content: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not isinstance(content.get(name), str) or not content[name]:
            raise PlatformError(47001, name)


_CHECKERS: dict[str, Callable[[Mapping[str, Any], MediaStore], Shown]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "music": _music,
    "news": _news,
    "mpnews": _mpnews,
    "mpnewsarticle": _article,
    "msgmenu": _menu,
    "wxcard": _card,
    "miniprogrampage": _mini_program,
}
